"""What bench.py measures, each in a process of its own: prints one line of JSON with seconds and scores."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()


def variants() -> dict[str, dict[str, Any]]:
    """Return the settings of the ascent of every variant that bench/variants compares."""
    import yaml

    from polysharp.config.settings import PRESETS

    configuration = yaml.safe_load((Path(__file__).parent / "variants/config.yaml").read_text())
    settings = {}
    for name, overrides in configuration["methods"].items():
        changes = dict(overrides or {})
        kind, preset, _ = PRESETS[changes.pop("base", name)]
        if kind == "finetune":
            settings[name] = {**preset, **changes}
    return settings


def cpu_seconds() -> float:
    """Return what this process has used of the processor so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def startup(arguments: argparse.Namespace) -> dict[str, Any]:
    """CPU seconds of a training process before its first batch, by part."""
    parts, before = {}, cpu_seconds()

    def done(part: str) -> None:
        nonlocal before
        now = cpu_seconds()
        parts[part], before = now - before, now

    from polysharp.cli.running import importing, limit_threads

    parts["python"] = before
    limit_threads(arguments.threads)
    with importing():
        import polysharp.training.finetuning  # noqa: F401
        from polysharp.training.hardware import accelerator
    done("imports")
    device = accelerator("auto", arguments.threads)
    done("device")
    prepare(arguments, device)
    done("model and data")
    return parts


def prepare(arguments: argparse.Namespace, device: Any, **settings: Any) -> Any:
    """Return a training that is ready to run."""
    from polysharp.config.settings import ModelSettings, TrainingSettings
    from polysharp.data.prepared import read_prepared
    from polysharp.training.finetuning import FineTuning
    from polysharp.training.inputs import PretrainedModel, SharedTrainingInputs

    reading = ModelSettings(name="-", text_prefix=arguments.prefix, max_length=arguments.max_length)
    chosen = TrainingSettings.model_validate({"batch_size": arguments.batch_size, **settings})
    data = read_prepared(arguments.data)
    return FineTuning(
        SharedTrainingInputs(PretrainedModel(arguments.model, reading), data, chosen, "macro_f1", device), 1
    )


def epochs(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of one epoch of our loop and memory of its process, repeatedly for every variant given."""
    import polysharp.training.finetuning  # noqa: F401 - once for all copies of this process

    return in_copies(_epoch, arguments, arguments.variants)


def _epoch(arguments: argparse.Namespace, variant: str) -> dict[str, Any]:
    from polysharp.training.hardware import accelerator

    device = accelerator("auto", arguments.threads)
    # As in the tutorial's loop, the model's own dropout.
    changes = {"epochs": 1, "head": "random", "dropout": None, **variants()[variant]}
    run = prepare(arguments, device, **changes)
    started = time.perf_counter()
    run._epoch(1, None)
    seconds = time.perf_counter() - started
    # Not timed, but done as by the tutorial's loop: it needs memory.
    run._judge(1, run._summary(), run._logits("validation"))
    with tempfile.TemporaryDirectory() as folder:
        run.save(Path(folder) / "classifier", None)
    return {"seconds": seconds, "steps": run._steps, "memory_mb": memory()}


def tutorial_epochs(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds of one epoch of the tutorial's loop and memory of its process, repeatedly."""
    import tutorial as _  # noqa: F401 - once for all copies of this process

    return in_copies(_tutorial_epoch, arguments, ["tutorial"])


def _tutorial_epoch(arguments: argparse.Namespace, name: str) -> dict[str, Any]:
    result = tutorial(arguments)
    seconds = result["history"][0]["seconds"]
    return {"seconds": seconds, "steps": result["steps_per_epoch"], "memory_mb": result["memory_mb"]}


def in_copies(
    measure: Callable[[argparse.Namespace, str], dict[str, Any]],
    arguments: argparse.Namespace,
    names: list[str],
) -> dict[str, list[dict[str, Any]]]:
    """Measure all names in turns, `--repeats` times, each in a copy of this process."""
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        for _ in range(arguments.repeats):
            for name in names:
                results[name].append(pool.apply(measure, (arguments, name)))
    return results


def tutorial(arguments: argparse.Namespace) -> dict[str, Any]:
    """The tutorial's loop to its end, on the same texts."""
    import torch
    from transformers import logging as transformers_logging
    from tutorial import train

    torch.set_num_threads(arguments.threads)
    transformers_logging.set_verbosity_error()
    splits = read_splits(arguments)
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(arguments.seed)
        result = train(arguments.model, splits, Path(folder), arguments.epochs, arguments.batch_size)
    return {**result, "seconds": time.perf_counter() - STARTED, "memory_mb": memory()}


def setfit(arguments: argparse.Namespace) -> dict[str, Any]:
    """SetFit: contrastive pairs, then a logistic regression; `--steps` of its contrastive steps."""
    import torch

    torch.set_num_threads(arguments.threads)
    from datasets import Dataset, disable_progress_bars
    from sentence_transformers import SentenceTransformer, models
    from setfit import SetFitModel, Trainer, TrainingArguments
    from sklearn.linear_model import LogisticRegression

    disable_progress_bars()
    splits = read_splits(arguments)
    transformer = models.Transformer(str(arguments.model), max_seq_length=arguments.max_length)
    pooling = models.Pooling(transformer.get_word_embedding_dimension(), pooling_mode="mean")
    body = SentenceTransformer(modules=[transformer, pooling], device="cpu")
    model = SetFitModel(model_body=body, model_head=LogisticRegression(max_iter=1000))
    texts = {name: [arguments.prefix + text for text in split["Text"]] for name, split in splits.items()}
    data = Dataset.from_dict({"text": texts["train"], "label": splits["train"]["Labels"]})
    settings = TrainingArguments(
        batch_size=arguments.batch_size, max_steps=arguments.steps, seed=arguments.seed, report_to="none",
        show_progress_bar=False, save_strategy="no", output_dir=tempfile.mkdtemp(),
    )  # fmt: skip
    Trainer(model=model, args=settings, train_dataset=data).train()
    return outcome(splits, lambda name: [str(label) for label in model.predict(texts[name])])


def run_classification(arguments: argparse.Namespace) -> dict[str, Any]:
    """The recipe of transformers' example script: AdamW 2e-5, 3 epochs, padding to the maximum, batch 8."""
    import numpy as np
    import torch
    from datasets import Dataset
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        Trainer,
        TrainingArguments,
        set_seed,
    )  # fmt: skip

    torch.set_num_threads(arguments.threads)
    set_seed(arguments.seed)
    splits = read_splits(arguments)
    labels = sorted(set(splits["train"]["Labels"]))
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForSequenceClassification.from_pretrained(arguments.model, num_labels=len(labels))
    sets = {}
    for name, split in splits.items():
        encoded = tokenizer(
            split["Text"], padding="max_length", truncation=True, max_length=arguments.max_length
        )
        sets[name] = Dataset.from_dict(
            {**encoded, "label": [labels.index(label) for label in split["Labels"]]}
        )
    settings = TrainingArguments(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=8, learning_rate=2e-5, num_train_epochs=3,
        seed=arguments.seed, use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(model=model, args=settings, train_dataset=sets["train"])
    trainer.train()

    def predict(name: str) -> list[str]:
        logits = np.asarray(trainer.predict(sets[name]).predictions)
        return [labels[number] for number in logits.argmax(axis=1)]

    return outcome(splits, predict)


def steps(arguments: argparse.Namespace) -> dict[str, Any]:
    """Median CPU seconds of a step of every variant, its ascents taken in turns on the same batches."""
    from polysharp.training.batches import training_batches
    from polysharp.training.hardware import accelerator
    from polysharp.training.sam import normalisation_parameters

    device = accelerator("auto", arguments.threads)
    run = prepare(arguments, device, epochs=1, head="random")
    batches = training_batches(run.splits["train"].token_ids, arguments.batch_size, 1, 1)
    run.model.train()
    changes_of = variants()
    phases = {name: changes.pop("ascent_phase", 1.0) for name, changes in changes_of.items()}
    ascents = {json.dumps(changes, sort_keys=True): changes for changes in changes_of.values()}
    seconds: dict[str, list[float]] = {ascent: [] for ascent in ascents}
    base = run.settings
    for rows in [batches[0], *batches[: arguments.steps]]:
        for ascent, changes in ascents.items():
            run.settings = base.model_copy(update={**changes, "ascent_phase": 1.0})
            names = changes.get("ascent_parameters") == "normalisation"
            run._climbing = normalisation_parameters(run.model) if names else run._parameters
            before = cpu_seconds()
            run._step(rows)
            seconds[ascent].append(cpu_seconds() - before)
    medians = {ascent: statistics.median(values[1:]) for ascent, values in seconds.items()}
    cost = {name: medians[json.dumps(changes, sort_keys=True)] for name, changes in changes_of.items()}
    of_steps = {name: phases[name] * cost[name] + (1 - phases[name]) * cost["adamw"] for name in cost}
    return {"cpu_seconds": of_steps}


def read_splits(arguments: argparse.Namespace) -> dict[str, dict[str, list[str]]]:
    """Return texts and labels of training and validation, and with `--test` of test."""
    names = ("train", "val", "test") if arguments.test else ("train", "val")
    return {name: json.loads((arguments.source / f"{name}.json").read_text()) for name in names}


def outcome(splits: dict[str, dict[str, list[str]]], predict: Callable[[str], list[str]]) -> dict[str, Any]:
    """Score what is predicted for every split but training; return it with time and memory."""
    from sklearn.metrics import accuracy_score, f1_score

    scores = {}
    for name in splits.keys() - {"train"}:
        truth, predicted = splits[name]["Labels"], predict(name)
        scores[name] = {
            "macro_f1": float(f1_score(truth, predicted, average="macro", zero_division=0)),
            "accuracy": float(accuracy_score(truth, predicted)),
        }
    return {
        "seconds": time.perf_counter() - STARTED,
        "validation_macro_f1": scores["val"]["macro_f1"],
        "test": scores.get("test"),
        "memory_mb": memory(),
    }


def memory() -> int:
    """Return the highest resident memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


WORKERS = {
    worker.__name__: worker
    for worker in (startup, epochs, tutorial_epochs, tutorial, setfit, run_classification, steps)
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("worker", choices=WORKERS)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="a prepared data set")
    parser.add_argument("--source", type=Path, help="a data set's JSON files")
    parser.add_argument("--test", action="store_true", help="score the test texts, too")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--prefix", default="")
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--variants", nargs="+", default=[], help="methods of bench/variants/config.yaml")
    options = parser.parse_args()
    json.dump(WORKERS[options.worker](options), sys.stdout)
    print()
