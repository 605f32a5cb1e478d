"""Fine-tuning on few examples: probe, head, SAM, the best epoch by validation."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from polysharp.classifier import PooledClassifier, PooledClassifierConfig, mean_pool, set_head
from polysharp.configuration import LabelType, Metric, ModelSettings, ProbeSettings, TrainingSettings
from polysharp.data import PreparedData, training_rows
from polysharp.encoding import Encoder, in_order, inference_batches, training_batches
from polysharp.errors import UserError
from polysharp.files import replacing_folder
from polysharp.labels import Indicators, encode
from polysharp.models import quiet_transformers
from polysharp.probe import Decision, LinearModel, Outcome, fit_probe, judge
from polysharp.sam import sam_step
from polysharp.vocabulary import restore_rows, use_rows

log = logging.getLogger("polysharp.training")
PROGRESS_SECONDS = 10  # between two lines of progress inside an epoch
_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout")


@dataclass
class Split:
    """One split in the form that training takes: ids of the texts, token ids, indicator matrix."""

    names: list[str]
    token_ids: list[list[int]]
    truth: Indicators


def encode_splits(
    data: PreparedData, encoder: Encoder, train_size: int | None, seed: int
) -> dict[str, Split]:
    """Return training (or its drawn part), validation and test, tokenized."""
    frames = {
        "train": training_rows(data, train_size, seed),
        "validation": data.split("validation"),
        "test": data.split("test"),
    }
    splits = {
        name: Split(
            frame["id"].to_list(),
            encoder.encode(frame["text"].to_list()),
            encode(frame["labels"].to_list(), data.labels),
        )
        for name, frame in frames.items()
    }
    for name, split in splits.items():
        full = sum(len(row) == encoder.max_length for row in split.token_ids)
        log.info(
            "%s: %d texts, %d of them fill or exceed %d tokens",
            name,
            len(split.names),
            full,
            encoder.max_length,
        )
    return splits


def seed_everything(seed: int) -> None:
    """Seed every source of randomness; before the model is made, as its head is drawn at random."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def probe_encoder(
    folder: Path,
    splits: dict[str, Split],
    encoder: Encoder,
    label_type: LabelType,
    settings: ProbeSettings,
    metric: Metric,
    device: Accelerator,
) -> Outcome:
    """Fit the probe on the frozen, mean-pooled encoder in `folder`: the baseline."""
    with quiet_transformers():
        model = AutoModel.from_pretrained(folder, dtype=torch.float32).to(device.device).eval()
    features = {name: _features(model, split, encoder, device) for name, split in splits.items()}
    probe, decision, chosen = _fit_probe(features, splits, label_type, settings, metric)
    log.info("probe: C %g, validation %s %.3f", chosen, metric, decision.value)
    logits = {name: probe.logits(features[name]) for name in ("validation", "test")}
    history = [{"inverse_regularisation": chosen, f"validation_{metric}": decision.value}]
    return Outcome(logits, decision, None, history)


def _fit_probe(
    features: dict[str, NDArray[np.float64]],
    splits: dict[str, Split],
    label_type: LabelType,
    settings: ProbeSettings,
    metric: Metric,
) -> tuple[LinearModel, Decision, float]:
    train = features["train"], splits["train"].truth
    validation = features["validation"], splits["validation"].truth
    return fit_probe(train, validation, label_type, settings, metric)


@torch.no_grad()
def _features(
    model: PreTrainedModel, split: Split, encoder: Encoder, device: Accelerator
) -> NDArray[np.float64]:
    """Return mean-pooled features (texts, width), in float32 like everything that is judged."""
    batches = list(inference_batches(split.token_ids))
    outputs = []
    for rows in batches:
        batch = encoder.batch([split.token_ids[row] for row in rows]).to(device.device)
        outputs.append(mean_pool(model(**batch).last_hidden_state, batch["attention_mask"]).cpu())
    return in_order(batches, outputs).double().numpy()


class FineTuning:
    """One fine-tuning, from a prepared model to the state that is best on validation."""

    def __init__(
        self,
        folder: Path,
        data: PreparedData,
        model_settings: ModelSettings,
        settings: TrainingSettings,
        metric: Metric,
        seed: int,
        device: Accelerator,
    ) -> None:
        """Load the model and tokenize the texts; nothing is trained yet."""
        seed_everything(seed)
        self.settings, self.metric, self.seed, self.device = settings, metric, seed, device
        self.label_type = data.label_type
        self.labels = data.labels
        self.encoder = Encoder(folder, model_settings)
        self.splits = encode_splits(data, self.encoder, settings.train_size, seed)
        with quiet_transformers():
            self.model = _load(folder, model_settings, data, settings.dropout)
        ids = {token for split in self.splits.values() for row in split.token_ids for token in row}
        self._full_embedding = use_rows(self.model, ids | {self.encoder.tokenizer.pad_token_id})
        self.model.to(device.device)
        self._loss = _loss(self.splits["train"].truth, data.label_type, settings.class_weights).to(
            device.device
        )

    def run(self) -> Outcome:
        """Train, and leave the model in the state that is best on validation.

        The state before the first step, which is the probe where the head starts from it, is a
        candidate like the state after every epoch. Of equally good states the earliest is taken.

        Raises
        ------
        UserError
            When the loss is not finite any more.
        """
        if self.settings.head == "probe" and isinstance(self.model, PooledClassifier):
            self._start_from_probe(self.model)
        optimizer = self._optimizer()
        steps_per_epoch = -(-len(self.splits["train"].names) // self.settings.batch_size)
        total = steps_per_epoch * self.settings.epochs
        schedule = _schedule(optimizer, self.settings, total)
        history: list[dict[str, Any]] = []
        best = self._judged(history, epoch=0, summary={})
        best_epoch, best_state = 0, self._state()
        for epoch in range(1, self.settings.epochs + 1):
            summary = self._epoch(epoch, optimizer, schedule)
            decision = self._judged(history, epoch, summary)
            if decision.value > best.value:
                best, best_epoch, best_state = decision, epoch, self._state()
        for entry in history:
            entry["best"] = entry["epoch"] == best_epoch
        self.model.load_state_dict(best_state, strict=False)
        if best_epoch == 0:
            log.info("no epoch was better on validation than the state before training, which is kept")
        logits = {name: self._logits(name) for name in ("validation", "test")}
        # Judged again from the restored state: what is reported is what is stored.
        return Outcome(logits, self._decide(logits["validation"]), best_epoch, history)

    def save(self, folder: Path, thresholds: Sequence[float] | None) -> None:
        """Write model, tokenizer and thresholds as a folder that transformers loads."""
        restore_rows(self.model, self._full_embedding)
        self.model.config.polysharp = {
            "thresholds": thresholds,
            "text_prefix": self.encoder.prefix,
            "max_length": self.encoder.max_length,
        }
        with replacing_folder(folder) as staging, quiet_transformers():
            self.model.save_pretrained(staging)
            self.encoder.tokenizer.save_pretrained(staging)

    def _start_from_probe(self, model: PooledClassifier) -> None:
        model.eval()
        features = {
            name: _features(model.encoder, self.splits[name], self.encoder, self.device)
            for name in ("train", "validation")
        }
        probe, decision, chosen = _fit_probe(
            features, self.splits, self.label_type, self.settings, self.metric
        )
        log.info("head starts from the probe: C %g, validation %s %.3f", chosen, self.metric, decision.value)
        set_head(model, torch.from_numpy(probe.weight), torch.from_numpy(probe.bias))

    def _optimizer(self) -> torch.optim.Optimizer:
        """Return AdamW; the head learns faster, and neither embeddings, norms nor biases decay."""
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        embedding = self.model.get_input_embeddings().weight
        inside = {id(parameter) for parameter in self.model.base_model.parameters()}
        for parameter in self.model.parameters():
            decays = parameter.ndim > 1 and parameter is not embedding
            groups.setdefault((id(parameter) in inside, decays), []).append(parameter)
        settings = self.settings
        return torch.optim.AdamW(
            [
                {
                    "params": parameters,
                    "lr": settings.learning_rate if encoder else settings.head_learning_rate,
                    "weight_decay": settings.weight_decay if decays else 0.0,
                }
                for (encoder, decays), parameters in groups.items()
            ]
        )

    def _epoch(
        self, epoch: int, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler
    ) -> dict[str, Any]:
        """Pass once over the training texts; return what the history says of it."""
        self.model.train()
        parameters = list(self.model.parameters())
        train = self.splits["train"]
        batches = training_batches(train.token_ids, self.settings.batch_size, self.seed, epoch)
        losses, skipped, rate = [], 0, 0.0
        for number, rows in _with_progress(batches, epoch, self.settings.epochs):
            part = _spread(rows, self.settings.ascent_share)
            rate = max(group["lr"] for group in optimizer.param_groups)
            step = sam_step(
                partial(self._backward, rows),
                parameters,
                optimizer,
                self.settings.rho,
                self.settings.max_grad_norm,
                partial(self._backward, part),
            )
            schedule.step()
            skipped += step.skipped
            losses.append(step.loss)
            if skipped > 3 and skipped == number:
                raise UserError(
                    f"epoch {epoch}: the loss is {step.loss} and no gradient is finite; "
                    "expected a lower learning_rate, or precision 'float32'"
                )
        finite = [loss for loss in losses if np.isfinite(loss)]
        return {
            "steps": len(batches),
            "skipped_steps": skipped,
            "learning_rate": rate,
            "train_loss": float(np.mean(finite)) if finite else None,
        }

    def _backward(self, rows: list[int]) -> float:
        """Compute the loss of the training texts `rows`, and add its gradient."""
        train = self.splits["train"]
        batch = self.encoder.batch([train.token_ids[row] for row in rows]).to(self.device.device)
        truth = torch.from_numpy(train.truth[rows].astype(np.float32)).to(self.device.device)
        with self.device.autocast():
            logits = self.model(**batch).logits
        loss = self._loss(logits.float(), truth)
        self.device.backward(loss)
        return loss.item()

    @torch.no_grad()
    def _logits(self, name: str) -> NDArray[np.float64]:
        """Return the logits (texts, labels) of a split, in float32, as which the weights are published."""
        self.model.eval()
        split = self.splits[name]
        batches = list(inference_batches(split.token_ids))
        outputs = []
        for rows in batches:
            batch = self.encoder.batch([split.token_ids[row] for row in rows]).to(self.device.device)
            outputs.append(self.model(**batch).logits.cpu())
        return in_order(batches, outputs).double().numpy()

    def _decide(self, logits: NDArray[np.float64]) -> Decision:
        if not np.isfinite(logits).all():
            raise UserError("the model's scores are not finite; expected a lower learning_rate")
        return judge(logits, self.splits["validation"].truth, self.label_type, self.metric)

    def _judged(self, history: list[dict[str, Any]], epoch: int, summary: dict[str, Any]) -> Decision:
        """Judge the present state on validation, and add it to the history."""
        decision = self._decide(self._logits("validation"))
        best = max((entry[f"validation_{self.metric}"] for entry in history), default=-1.0)
        history.append({"epoch": epoch, **summary, f"validation_{self.metric}": decision.value})
        log.info(
            "epoch %d/%d: %svalidation %s %.3f%s",
            epoch,
            self.settings.epochs,
            f"loss {summary['train_loss']:.3f}, " if summary.get("train_loss") is not None else "",
            self.metric,
            decision.value,
            " (best so far)" if decision.value > best else "",
        )
        return decision

    def _state(self) -> dict[str, Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self.model.named_parameters()}


def _schedule(
    optimizer: torch.optim.Optimizer, settings: TrainingSettings, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the learning rates of steps 1 to `steps` of transformers' schedules.

    Step 0 is left out: its rate is 0, it would change nothing; so would the one after the last.
    """
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]  # what torch asks for when a schedule starts after step 0
    warmup = round(settings.warmup * steps)
    if settings.schedule == "constant":
        return get_constant_schedule_with_warmup(optimizer, warmup, last_epoch=0)
    make = (
        get_cosine_schedule_with_warmup if settings.schedule == "cosine" else get_linear_schedule_with_warmup
    )
    return make(optimizer, warmup, steps + 1, last_epoch=0)


def _load(
    folder: Path, settings: ModelSettings, data: PreparedData, dropout: float | None
) -> PreTrainedModel:
    """Return the classifier: ours for mean pooling, transformers' own for ``cls``."""
    config = AutoConfig.from_pretrained(folder)
    if not torch.cuda.is_available():
        # On a CPU torch's fused attention takes half as long again as the plain one, backwards.
        config._attn_implementation = "eager"
    for name in _DROPOUTS:
        if dropout is not None and getattr(config, name, None) is not None:
            setattr(config, name, dropout)
    names = dict(enumerate(data.labels))
    description = {
        "num_labels": len(data.labels),
        "id2label": names,
        "label2id": {name: index for index, name in names.items()},
        "problem_type": f"{data.label_type}_label_classification",
    }
    if settings.pooling == "cls":
        config.update(description)
        return AutoModelForSequenceClassification.from_pretrained(folder, config=config, dtype=torch.float32)
    encoder = AutoModel.from_pretrained(folder, config=config, dtype=torch.float32)
    model = PooledClassifier(PooledClassifierConfig(encoder=encoder.config, **description))
    model.encoder = encoder
    return model


def _loss(truth: Indicators, label_type: LabelType, class_weights: str) -> nn.Module:
    """Return the loss of logits (texts, labels) against indicators, labels weighted by their rarity.

    The weights are scikit-learn's 'balanced' ones: texts / (labels * texts with the label) for
    single labels, negatives / positives for the positives of several.
    """
    counts = torch.from_numpy(truth.sum(axis=0)).float()
    balanced = class_weights == "balanced"
    if label_type == "single":
        weights = torch.where(counts > 0, len(truth) / ((counts > 0).sum() * counts.clamp(min=1)), 0.0)
        return nn.CrossEntropyLoss(weight=weights if balanced else None)
    ratio = (len(truth) - counts) / counts.clamp(min=1)
    return nn.BCEWithLogitsLoss(pos_weight=ratio.clamp(min=1e-3) if balanced else None)


def _spread(rows: Sequence[int], share: float) -> list[int]:
    """Return a share of the rows, at least one, at even distances: a batch's rows lie by length."""
    count = max(1, round(share * len(rows)))
    return [rows[index * len(rows) // count] for index in range(count)]


def _with_progress(batches: Sequence[list[int]], epoch: int, epochs: int) -> Iterator[tuple[int, list[int]]]:
    """Yield the numbered batches, and say every few seconds how far the epoch is."""
    started = said = time.monotonic()
    for number, rows in enumerate(batches, 1):
        yield number, rows
        now = time.monotonic()
        if now - said >= PROGRESS_SECONDS and number < len(batches):
            said = now
            left = (now - started) / number * (len(batches) - number)
            log.info(
                "epoch %d/%d: step %d of %d, about %.0f s left", epoch, epochs, number, len(batches), left
            )
