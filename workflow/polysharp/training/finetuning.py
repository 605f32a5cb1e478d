"""Fine-tuning on few examples: probe, head, SAM, and the state that is kept in the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast_object_list, gather_object
from numpy.typing import NDArray

from polysharp.core.errors import Interrupted, NotFinite
from polysharp.evaluation.decisions import Decision, judge
from polysharp.models.classifier import PooledClassifier, set_head
from polysharp.results.outcome import Outcome
from polysharp.training.batches import infer, training_batches
from polysharp.training.hardware import enough_memory
from polysharp.training.inputs import SharedTrainingInputs, save_classifier
from polysharp.training.kept import Kept
from polysharp.training.progress import Progress
from polysharp.training.randomness import random_state, seed_everything, set_random_state
from polysharp.training.snapshots import Snapshots
from polysharp.training.steps import Steps
from polysharp.training.used_rows import restore_rows, use_rows

log = logging.getLogger("polysharp.training.finetuning")
PROGRESS_SECONDS = 10  # between two lines of progress within an epoch


class FineTuning:
    """One fine-tuning, from a prepared model to the state that is kept."""

    @enough_memory()  # for the weights
    def __init__(self, inputs: SharedTrainingInputs, seed: int) -> None:
        """Load the model, and initialise its head with `seed`; nothing is trained yet."""
        self._started = time.monotonic()
        seed_everything(seed)
        self._inputs, self.seed = inputs, seed
        self.settings, self.metric, self.device = inputs.settings, inputs.metric, inputs.device
        self.label_type, self.labels = inputs.data.label_type, inputs.data.labels
        self.tokenizer, self.splits = inputs.tokenizer, inputs.splits(seed)
        self.model = inputs.model()
        ids = {token for split in self.splits.values() for row in split.token_ids for token in row}
        self._full_embedding = use_rows(self.model, ids | {self.tokenizer.pretrained.pad_token_id})
        self.model.to(inputs.device.device)
        self._progress = Progress(self.settings.micro_batch_size or self.settings.batch_size)
        self.steps = Steps(self.model, inputs, self.splits["train"], self._progress)
        self._kept = Kept(self.settings)

    @enough_memory()  # for the optimizer and evaluation, where smaller micro-batches do not help
    def run(self, snapshots: Snapshots | None = None) -> Outcome:
        """Train, and leave the model in the state that `keep` in the settings names.

        With `best`, the state before the first step (the probe, if the head starts from it) is a candidate,
        like the state after every epoch; of equally good states, the earliest is taken. With `snapshots`,
        an interrupted training resumes, and gives the same bytes.

        Raises
        ------
        NotFinite
            When no gradient is finite any more, or the scores are not.
        OutOfMemory
            When not even one text fits into memory.
        Interrupted
            When a signal has requested a stop; a snapshot is written first.
        """
        progress = self._progress
        if not self._resume(snapshots):
            if self.settings.head == "probe" and isinstance(self.model, PooledClassifier):
                start = self._start_from_probe(self.model)
            else:
                start = self._logits("validation")
            self._judge(0, {}, start)
            torch.manual_seed(self.seed + self.device.process_index)  # dropout differs between processes
        self.steps.distribute()
        for epoch in range(len(progress.history), self.settings.epochs + 1):
            self._epoch(epoch, snapshots)
            self._judge(epoch, self._summary(), self._logits("validation"))
            progress.losses, progress.skipped_steps, progress.out_of_memory = [], 0, 0
            self._snapshot_if_due(snapshots)
        kept = self._kept
        for entry in progress.history:
            entry["kept"] = entry["epoch"] in kept.epochs
        self.model.load_state_dict(kept.weights, strict=False)
        if kept.epochs == [0]:
            log.info("no epoch was better on validation than the state before training, which is kept")
        validation = self._logits("validation") if kept.logits is None else kept.logits.numpy()
        logits = {"validation": validation, "test": self._logits("test")}
        return Outcome(logits, self._decide(validation), kept.epochs, progress.history)

    @property
    def earlier_seconds(self) -> float:
        """Return how many seconds earlier processes spent on this training."""
        return self._progress.seconds

    def save(self, folder: Path, thresholds: Sequence[float] | None) -> None:
        """Write model, tokenizer and thresholds into a folder that transformers can load."""
        restore_rows(self.model, self._full_embedding)
        save_classifier(self.model, self.tokenizer, thresholds, folder)

    @torch.no_grad()
    def _start_from_probe(self, model: PooledClassifier) -> NDArray[np.float64]:
        """Initialise the head with the probe's weights, and return its validation logits."""
        probe = self._inputs.probe(model, self.seed)
        set_head(model, torch.from_numpy(probe.weights.weight), torch.from_numpy(probe.weights.bias))
        pooled = torch.from_numpy(probe.validation).to(model.head.weight)
        logits: NDArray[np.float64] = model.head(pooled).double().cpu().numpy()
        return logits

    def _epoch(self, epoch: int, snapshots: Snapshots | None) -> None:
        """Train for one epoch, or for what is left of it."""
        self.model.train()
        progress, settings = self._progress, self.settings
        batches = training_batches(self.splits["train"].token_ids, settings.batch_size, self.seed, epoch)
        done = progress.step - (epoch - 1) * self.steps.per_epoch
        for number, rows in _with_progress(batches, done, epoch, settings.epochs):
            step = self.steps.take(rows)
            if progress.skipped_steps == number >= min(4, self.steps.per_epoch):
                raise NotFinite(
                    f"epoch {epoch}: the loss is {step.loss} and no gradient is finite; "
                    "expected a lower learning_rate, or precision 'float32'"
                )
            self._snapshot_if_due(snapshots)

    def _logits(self, name: str) -> NDArray[np.float64]:
        """Return the logits (texts, labels) of a split, in float32, like the published weights."""
        self.model.eval()
        split, device = self.splits[name], self.device.device
        return infer(lambda batch: self.model(**batch).logits, split, self.tokenizer, device)

    def _decide(self, logits: NDArray[np.float64]) -> Decision:
        if not np.isfinite(logits).all():
            raise NotFinite("the model's scores are not finite; expected a lower learning_rate")
        return judge(logits, self.splits["validation"].truth, self.label_type, self.metric)

    def _judge(self, epoch: int, summary: dict[str, Any], logits: NDArray[np.float64]) -> None:
        """Evaluate the current state on validation, add it to the history, and keep what has to be kept."""
        progress = self._progress
        value = self._decide(logits).value
        progress.history.append({"epoch": epoch, **summary, f"validation_{self.metric}": value})
        better = value > progress.best_value
        progress.best_value = max(value, progress.best_value)
        self._kept.add(epoch, self.model, logits, better)
        log.info(
            "epoch %d/%d: %svalidation %s %.3f%s",
            epoch,
            self.settings.epochs,
            f"loss {summary['train_loss']:.3f}, " if summary.get("train_loss") is not None else "",
            self.metric,
            value,
            " (best so far)" if better else "",
        )

    def _summary(self) -> dict[str, Any]:
        """Return the values for the history of the epoch that has just ended."""
        progress = self._progress
        loss = torch.tensor([x for x in progress.losses if np.isfinite(x)], dtype=torch.float64).mean()
        if self.device.num_processes > 1:
            loss = self.device.reduce(loss.float().to(self.device.device), "mean")
        return {
            "steps": self.steps.per_epoch,
            "skipped_steps": progress.skipped_steps,
            "out_of_memory": progress.out_of_memory,
            "micro_batch_size": progress.micro_batch_size,
            "learning_rate": progress.learning_rate,
            "train_loss": loss.item() if loss.isfinite() else None,
        }

    def _snapshot_if_due(self, snapshots: Snapshots | None) -> None:
        """Take a snapshot if one is due, and stop if a signal has requested it."""
        if snapshots is None or not self.steps.anywhere(snapshots.due):
            return
        own = {"generators": random_state(self.device.device), "losses": self._progress.losses}
        processes = gather_object([own])
        if self.device.is_main_process:
            state = {
                "model": {name: p.detach() for name, p in self.model.named_parameters()},
                "kept": self._kept.state(),
                "optimizer": self.steps.optimizer.state_dict(),
                "schedule": self.steps.schedule.state_dict(),
                "processes": processes,
                "progress": asdict(self._progress) | {"seconds": self._seconds()},
            }
            snapshots.write(self._progress.step, state)
        self.device.wait_for_everyone()
        snapshots.taken()
        if self.steps.anywhere(snapshots.asked_to_stop):
            raise Interrupted(f"stopped after step {self._progress.step}; rerun to resume there")

    def _seconds(self) -> float:
        return self._progress.seconds + time.monotonic() - self._started

    def _resume(self, snapshots: Snapshots | None) -> bool:
        """Restore the newest snapshot; return whether there was one."""
        if snapshots is None:
            return False
        names = [snapshots.newest() if self.device.is_main_process else None]
        (name,) = broadcast_object_list(names)
        if name is None:
            return False
        state = snapshots.read(name)
        log.info("resumed from the snapshot %s", name)
        self.model.load_state_dict(state["model"], strict=False)
        self._kept.restore(state["kept"], self.device.device)
        self.steps.optimizer.load_state_dict(state["optimizer"])
        self.steps.schedule.load_state_dict(state["schedule"])
        for name, value in state["progress"].items():
            setattr(self._progress, name, value)
        own = state["processes"][self.device.process_index]
        self._progress.losses = own["losses"]
        set_random_state(own["generators"], self.device.device)
        return True


def _with_progress(
    batches: Sequence[list[int]], done: int, epoch: int, epochs: int
) -> Iterator[tuple[int, list[int]]]:
    """Yield the remaining batches with their numbers, and log the progress every few seconds."""
    started = said = time.monotonic()
    for number, rows in enumerate(batches[done:], done + 1):
        yield number, rows
        now = time.monotonic()
        if now - said >= PROGRESS_SECONDS and number < len(batches):
            said = now
            left = (now - started) / (number - done) * (len(batches) - number)
            place = f"epoch {epoch}/{epochs}: step {number} of {len(batches)}"
            log.info("%s, about %.0f s left of the epoch", place, left)
