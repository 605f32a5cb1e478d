"""The training loop of "a practical guide to multilingual RoBERTa classification", re-created to be measured.

What costs time is as in the tutorial: every text padded to the longest of its split, all in float32, the
whole embedding trained, adaptive SAM around Adam, its loss-based choice of the epoch with a save of every
better one. The one repair: labels in sorted order, without which no score of it means anything.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from pytorch_optimizer import SAM
from sklearn.metrics import accuracy_score, f1_score
from torch.utils.data import DataLoader
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_cosine_schedule_with_warmup


def train(
    model_folder: Path,
    splits: dict[str, dict[str, list[str]]],
    output: Path,
    epochs: int,
    batch_size: int,
    learning_rate: float = 1e-4,
) -> dict[str, Any]:
    """Train on `splits` (JSON contents by name); return seconds and scores per epoch, and those of test.

    Of test, too, the labels are right here: the tutorial compares them in another order.
    """
    labels = sorted(set(splits["train"]["Labels"]))
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = AutoModelForSequenceClassification.from_pretrained(
        model_folder, num_labels=len(labels), problem_type="single_label_classification"
    )
    loaders = {}
    for name, split in splits.items():
        encoded = tokenizer(split["Text"], truncation=True, padding="longest", return_tensors="pt")
        targets = torch.tensor([labels.index(label) for label in split["Labels"]])
        examples = list(zip(encoded["input_ids"], encoded["attention_mask"], targets, strict=True))
        loaders[name] = DataLoader(examples, batch_size=batch_size, shuffle=True)
    optimizer = SAM(model.parameters(), torch.optim.Adam, rho=0.05, adaptive=True, lr=learning_rate)
    steps = epochs * (len(splits["train"]["Labels"]) // batch_size)
    schedule = get_cosine_schedule_with_warmup(optimizer, steps * 0.1, steps)
    history, lowest = [], math.inf
    for _ in range(epochs):
        started = time.perf_counter()
        model.train()
        for ids, mask, targets in loaders["train"]:
            model(ids, mask, labels=targets).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.first_step(zero_grad=True)
            model(ids, mask, labels=targets).loss.backward()
            optimizer.second_step(zero_grad=True)
            schedule.step()
        seconds = time.perf_counter() - started
        loss, scores = _evaluate(model, loaders["val"])
        if loss < lowest:
            lowest = loss
            model.save_pretrained(output)
        history.append(
            {"seconds": seconds, "validation_loss": loss, "validation_macro_f1": scores["macro_f1"]}
        )
    result = {"history": history, "steps_per_epoch": len(loaders["train"])}
    if "test" in loaders:
        best = AutoModelForSequenceClassification.from_pretrained(output)
        result["test"] = _evaluate(best, loaders["test"])[1]
    return result


@torch.no_grad()
def _evaluate(model: torch.nn.Module, loader: DataLoader[Any]) -> tuple[float, dict[str, float]]:
    model.eval()
    losses, truth, predicted = [], [], []
    for ids, mask, targets in loader:
        result = model(ids, mask, labels=targets)
        losses.append(result.loss)
        truth += targets.tolist()
        predicted += result.logits.argmax(dim=1).tolist()
    scores = {
        "macro_f1": float(f1_score(truth, predicted, average="macro", zero_division=0)),
        "accuracy": float(accuracy_score(truth, predicted)),
    }
    return float(torch.stack(losses).mean()), scores
