"""Fine-tuning on few examples: probe, head, SAM, the best epoch by validation."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from accelerate.utils.memory import clear_device_cache
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedModel

from polysharp.config.settings import ModelSettings, TrainingSettings
from polysharp.core.errors import Interrupted, NotFinite, OutOfMemory
from polysharp.core.files import replacing_folder
from polysharp.core.terms import Metric
from polysharp.data.prepared import PreparedData
from polysharp.evaluation.decisions import Decision, judge
from polysharp.models.classifier import PooledClassifier, PooledClassifierConfig, around, set_head
from polysharp.models.folder import quiet_transformers
from polysharp.results.outcome import Outcome
from polysharp.training.batches import Encoder, Split, encode_splits, infer, training_batches
from polysharp.training.features import features_of, probe_features
from polysharp.training.hardware import enough_memory, lacks_memory
from polysharp.training.optimisation import make_loss, make_optimizer, make_schedule
from polysharp.training.probe import LinearModel
from polysharp.training.randomness import random_state, seed_everything, set_random_state
from polysharp.training.sam import Ascent, Step, normalisation_parameters, sam_step
from polysharp.training.snapshots import Snapshots
from polysharp.training.used_rows import restore_rows, use_rows

log = logging.getLogger("polysharp.training.finetuning")
PROGRESS_SECONDS = 10  # between two lines of progress inside an epoch
_DROPOUTS = (
    "hidden_dropout_prob", "attention_probs_dropout_prob",  # BERT, RoBERTa and their kin
    "dropout", "attention_dropout", "mlp_dropout", "embedding_dropout",  # others
)  # fmt: skip


@dataclass
class Progress:
    """How far a training is. With weights, moments and generators this is what a snapshot holds.

    `step` counts the steps of all epochs, skipped ones included; `losses`, `skipped_steps` and
    `out_of_memory` are of the present epoch; `seconds` is what earlier processes took.
    """

    micro_batch_size: int
    step: int = 0
    losses: list[float] = field(default_factory=list)
    skipped_steps: int = 0
    out_of_memory: int = 0
    learning_rate: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best_value: float = -1.0
    seconds: float = 0.0


class _PassTooLarge(Exception):
    """A pass that did not fit."""


class Foundation:
    """What the trainings of one data set and method share, whatever their seeds: texts and probe."""

    def __init__(
        self,
        folder: Path,
        data: PreparedData,
        model_settings: ModelSettings,
        settings: TrainingSettings,
        metric: Metric,
        device: Accelerator,
    ) -> None:
        """Load the tokenizer of the model in `folder`."""
        self.folder, self.data, self.model_settings = folder, data, model_settings
        self.settings, self.metric, self.device = settings, metric, device
        self.encoder = Encoder(folder, model_settings)
        self._splits: dict[int | None, dict[str, Split]] = {}
        self._probes: dict[int | None, _Probe] = {}

    def splits(self, seed: int) -> dict[str, Split]:
        """Return the texts of a seed, tokenized."""
        key = self._drawn_by(seed)
        if key not in self._splits:
            self._splits[key] = encode_splits(self.data, self.encoder, self.settings.train_size, seed)
        return self._splits[key]

    def model(self) -> PreTrainedModel:
        """Return the classifier with the pre-trained weights; what they lack is drawn at random."""
        with quiet_transformers():
            return _load(self.folder, self.model_settings, self.data, self.settings.dropout)

    @torch.no_grad()
    def probe(self, model: PooledClassifier, seed: int) -> _Probe:
        """Return the probe on the features of `model`, whose encoder is still the pre-trained one."""
        key = self._drawn_by(seed)
        if key not in self._probes:
            splits = self.splits(seed)
            model.eval()
            features = {
                name: features_of(model.encoder, splits[name], self.encoder, self.device.device)
                for name in ("train", "validation")
            }
            probe, decision, chosen = probe_features(
                features, splits, self.data.label_type, self.settings, self.metric
            )
            log.info("probe: C %g, validation %s %.3f", chosen, self.metric, decision.value)
            self._probes[key] = _Probe(probe, features["validation"])
        return self._probes[key]

    def _drawn_by(self, seed: int) -> int | None:
        """Return the seed where it decides which texts are trained on, else None."""
        return seed if self.settings.train_size else None


@dataclass(frozen=True)
class _Probe:
    """A probe, and the features (texts, width) of validation that it was chosen on."""

    weights: LinearModel
    validation: NDArray[np.float64]


class FineTuning:
    """One fine-tuning, from a prepared model to the state that is best on validation."""

    @enough_memory()  # for the weights
    def __init__(self, foundation: Foundation, seed: int) -> None:
        """Load the model, and draw its head by `seed`; nothing is trained yet."""
        self._started = time.monotonic()
        seed_everything(seed)
        self._foundation, self.seed = foundation, seed
        self.settings, self.metric, self.device = foundation.settings, foundation.metric, foundation.device
        settings, device = self.settings, self.device
        self.label_type, self.labels = foundation.data.label_type, foundation.data.labels
        self.encoder, self.splits = foundation.encoder, foundation.splits(seed)
        self.model = foundation.model()
        ids = {token for split in self.splits.values() for row in split.token_ids for token in row}
        self._full_embedding = use_rows(self.model, ids | {self.encoder.tokenizer.pad_token_id})
        self.model.to(device.device)
        self._parameters = list(self.model.parameters())
        self._climbing = self._parameters
        if settings.ascent_parameters == "normalisation":
            self._climbing = normalisation_parameters(self.model)
        self._loss = make_loss(self.splits["train"].truth, self.label_type, settings.class_weights)
        self._loss.to(device.device)
        self._optimizer = make_optimizer(self.model, settings)
        self._steps_per_epoch = -(-len(self.splits["train"].token_ids) // settings.batch_size)
        self._steps = self._steps_per_epoch * settings.epochs
        self._schedule = make_schedule(self._optimizer, settings, self._steps)
        self._progress = Progress(settings.micro_batch_size or settings.batch_size)
        self._best: dict[str, Tensor] = {}  # parameters by name, and the logits of validation with them
        self._distributed: nn.Module = self.model

    @enough_memory()  # for what smaller micro-batches do not help: the optimizer, evaluation
    def run(self, snapshots: Snapshots | None = None) -> Outcome:
        """Train, and leave the model in the state that is best on validation.

        The state before the first step, which is the probe where the head starts from it, is a
        candidate like the state after every epoch. Of equally good states the earliest is taken.
        With `snapshots` the training goes on where it was, to the same bytes.

        Raises
        ------
        NotFinite
            When no gradient is finite any more, or the scores are not.
        OutOfMemory
            When not even one text fits the memory.
        Interrupted
            When a signal has asked for the end; a snapshot is written before.
        """
        progress = self._progress
        if not self._resume(snapshots):
            if self.settings.head == "probe" and isinstance(self.model, PooledClassifier):
                start = self._start_from_probe(self.model)
            else:
                start = self._logits("validation")
            self._judge(0, {}, start)
            torch.manual_seed(self.seed + self.device.process_index)  # every process drops out its own units
        self._distribute()
        for epoch in range(len(progress.history), self.settings.epochs + 1):
            self._epoch(epoch, snapshots)
            self._judge(epoch, self._summary(), self._logits("validation"))
            progress.losses, progress.skipped_steps, progress.out_of_memory = [], 0, 0
            self._snapshot_if_due(snapshots)
        for entry in progress.history:
            entry["best"] = entry["epoch"] == progress.best_epoch
        self.model.load_state_dict(self._best, strict=False)
        if progress.best_epoch == 0:
            log.info("no epoch was better on validation than the state before training, which is kept")
        logits = {"validation": self._best["validation_logits"].numpy(), "test": self._logits("test")}
        return Outcome(logits, self._decide(logits["validation"]), progress.best_epoch, progress.history)

    @property
    def earlier_seconds(self) -> float:
        """Return how long the processes took that this training was resumed from."""
        return self._progress.seconds

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

    @torch.no_grad()
    def _start_from_probe(self, model: PooledClassifier) -> NDArray[np.float64]:
        """Give the head the probe's weights, and return the logits of validation with them."""
        probe = self._foundation.probe(model, self.seed)
        set_head(model, torch.from_numpy(probe.weights.weight), torch.from_numpy(probe.weights.bias))
        pooled = torch.from_numpy(probe.validation).to(model.head.weight)
        return model.head(pooled).double().cpu().numpy()

    def _distribute(self) -> None:
        """Where several processes train one model, let the gradients of the descent be averaged."""
        if self.device.num_processes > 1:
            self._distributed = nn.parallel.DistributedDataParallel(
                self.model,
                device_ids=[self.device.device] if self.device.device.type == "cuda" else None,
                find_unused_parameters=True,  # BERT's pooler, which mean pooling passes by
                forward_sync_buffers=False,  # positions and the rows in use: the same everywhere
            )

    def _epoch(self, epoch: int, snapshots: Snapshots | None) -> None:
        """Pass over the training texts, or over those of the epoch that are left."""
        self.model.train()
        progress, settings = self._progress, self.settings
        batches = training_batches(self.splits["train"].token_ids, settings.batch_size, self.seed, epoch)
        done = progress.step - (epoch - 1) * self._steps_per_epoch
        for number, rows in _with_progress(batches, done, epoch, settings.epochs):
            progress.learning_rate = self._optimizer.param_groups[0]["lr"]  # the encoder's
            step = self._step(rows)
            self._schedule.step()
            progress.step += 1
            progress.losses.append(step.loss)
            progress.skipped_steps += step.skipped
            if progress.skipped_steps == number >= min(4, self._steps_per_epoch):
                raise NotFinite(
                    f"epoch {epoch}: the loss is {step.loss} and no gradient is finite; "
                    "expected a lower learning_rate, or precision 'float32'"
                )
            self._snapshot_if_due(snapshots)

    def _step(self, rows: list[int]) -> Step:
        """Take one step on the training texts `rows`; in smaller micro-batches where memory runs out."""
        world, rank = self.device.num_processes, self.device.process_index
        # A process without a text of its own still takes part in the averaging, with a weight of 0.
        mine, weight = (rows[rank::world], world / len(rows)) if rank < len(rows) else (rows[:1], 0.0)
        progress, settings = self._progress, self.settings
        ascent = None
        if settings.rho > 0 and progress.step >= self._steps - round(settings.ascent_phase * self._steps):
            part = _spread(mine, settings.ascent_share)
            ascent = Ascent(
                partial(self._backward, part, weight * len(mine) / len(part), synchronised=False),
                self._climbing,
                settings.rho,
                settings.eta if settings.neighbourhood == "adaptive" else None,
            )
        while True:
            drawn = random_state(self.device.device)
            try:
                return sam_step(
                    partial(self._backward, mine, weight, synchronised=True),
                    self._parameters,
                    self._optimizer,
                    settings.max_grad_norm,
                    ascent,
                    everywhere=lambda finite: not self._anywhere(not finite),
                )
            except _PassTooLarge:
                pass  # the weights are where they were; outside of this block its tensors can be freed
            self._optimizer.zero_grad()
            clear_device_cache(garbage_collection=True)
            fitting = min(progress.micro_batch_size, len(mine))
            if fitting == 1 or world > 1:
                raise OutOfMemory(
                    f"out of memory with {fitting} texts at a time; expected a lower "
                    f"{'max_length' if fitting == 1 else 'micro_batch_size'}, or more memory"
                )
            progress.micro_batch_size = -(-fitting // 2)
            progress.out_of_memory += 1
            log.warning(
                "out of memory: the step is taken again in micro-batches of %d texts",
                progress.micro_batch_size,
            )
            set_random_state(drawn, self.device.device)

    def _backward(self, rows: list[int], weight: float, *, synchronised: bool) -> float:
        """Add the gradient of the weighted sum of the losses of the training texts `rows`; return the sum."""
        train, size = self.splits["train"], self._progress.micro_batch_size
        total = torch.zeros((), device=self.device.device)
        for start in range(0, len(rows), size):
            micro = rows[start : start + size]
            last = start + size >= len(rows)
            with nullcontext() if synchronised and last else self.device.no_sync(self._distributed):
                try:
                    batch = self.encoder.batch([train.token_ids[row] for row in micro]).to(self.device.device)
                    with self.device.autocast():
                        logits = self._distributed(**batch).logits
                    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
                    truth = torch.from_numpy(train.truth[micro]).to(logits)
                    losses = self._loss(logits, truth).reshape(len(micro), -1)
                    loss = losses.mean(dim=1).sum() * weight
                    self.device.backward(loss)
                except RuntimeError as error:
                    if not lacks_memory(error):
                        raise
                    raise _PassTooLarge from None
            total += loss.detach()
        return total.item()

    def _anywhere(self, flag: bool) -> bool:
        """Return whether the flag is up in any process."""
        if self.device.num_processes == 1:
            return flag
        return bool(self.device.reduce(torch.tensor(float(flag), device=self.device.device)).item())

    def _logits(self, name: str) -> NDArray[np.float64]:
        """Return the logits (texts, labels) of a split, in float32, as which the weights are published."""
        self.model.eval()
        split, device = self.splits[name], self.device.device
        return infer(lambda batch: self.model(**batch).logits, split, self.encoder, device)

    def _decide(self, logits: NDArray[np.float64]) -> Decision:
        if not np.isfinite(logits).all():
            raise NotFinite("the model's scores are not finite; expected a lower learning_rate")
        return judge(logits, self.splits["validation"].truth, self.label_type, self.metric)

    def _judge(self, epoch: int, summary: dict[str, Any], logits: NDArray[np.float64]) -> None:
        """Judge the present state by its validation logits, note it in the history, keep it if it is best."""
        progress = self._progress
        value = self._decide(logits).value
        progress.history.append({"epoch": epoch, **summary, f"validation_{self.metric}": value})
        better = value > progress.best_value
        if better:
            progress.best_value, progress.best_epoch = value, epoch
            self._best = {name: p.detach().clone() for name, p in self.model.named_parameters()}
            self._best["validation_logits"] = torch.from_numpy(logits)
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
        """Return what the history says of the epoch that has just ended."""
        progress = self._progress
        loss = torch.tensor([x for x in progress.losses if np.isfinite(x)], dtype=torch.float64).mean()
        if self.device.num_processes > 1:
            loss = self.device.reduce(loss.float().to(self.device.device), "mean")
        return {
            "steps": self._steps_per_epoch,
            "skipped_steps": progress.skipped_steps,
            "out_of_memory": progress.out_of_memory,
            "micro_batch_size": progress.micro_batch_size,
            "learning_rate": progress.learning_rate,
            "train_loss": loss.item() if loss.isfinite() else None,
        }

    def _snapshot_if_due(self, snapshots: Snapshots | None) -> None:
        """Take a snapshot where it is time for one, and stop where a signal has asked for it."""
        if snapshots is None or not self._anywhere(snapshots.due):
            return
        own = {"generators": random_state(self.device.device), "losses": self._progress.losses}
        processes = gather_object([own])
        if self.device.is_main_process:
            state = {
                "model": {name: p.detach() for name, p in self.model.named_parameters()},
                "best": self._best,
                "optimizer": self._optimizer.state_dict(),
                "schedule": self._schedule.state_dict(),
                "processes": processes,
                "progress": asdict(self._progress) | {"seconds": self._seconds()},
            }
            snapshots.write(self._progress.step, state)
        self.device.wait_for_everyone()
        snapshots.taken()
        if self._anywhere(snapshots.asked_to_stop):
            raise Interrupted(f"stopped after step {self._progress.step}; started again it goes on there")

    def _seconds(self) -> float:
        return self._progress.seconds + time.monotonic() - self._started

    def _resume(self, snapshots: Snapshots | None) -> bool:
        """Go back to the newest snapshot; return whether there was one."""
        if snapshots is None:
            return False
        names = [snapshots.newest() if self.device.is_main_process else None]
        (name,) = broadcast_object_list(names)
        if name is None:
            return False
        state = snapshots.read(name)
        log.info("resumed from the snapshot %s", name)
        self.model.load_state_dict(state["model"], strict=False)
        self._best = state["best"]
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        for name, value in state["progress"].items():
            setattr(self._progress, name, value)
        own = state["processes"][self.device.process_index]
        self._progress.losses = own["losses"]
        set_random_state(own["generators"], self.device.device)
        return True


def _load(
    folder: Path, settings: ModelSettings, data: PreparedData, dropout: float | None
) -> PreTrainedModel:
    """Return the classifier: ours for mean pooling, transformers' own for ``cls``."""
    config = AutoConfig.from_pretrained(folder)
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
        model = AutoModelForSequenceClassification.from_pretrained(folder, config=config, dtype=torch.float32)
    else:
        encoder = AutoModel.from_pretrained(folder, config=config, dtype=torch.float32)
        model = around(encoder, PooledClassifierConfig(encoder=encoder.config, **description))
    if not torch.cuda.is_available():
        # On a CPU torch's fused attention takes longer than the plain one, backwards.
        model.set_attn_implementation("eager")
    return model


def _spread(rows: Sequence[int], share: float) -> list[int]:
    """Return a share of the rows, at least one: the middles of equal parts, as a batch lies by length."""
    count = max(1, round(share * len(rows)))
    return [rows[(2 * index + 1) * len(rows) // (2 * count)] for index in range(count)]


def _with_progress(
    batches: Sequence[list[int]], done: int, epoch: int, epochs: int
) -> Iterator[tuple[int, list[int]]]:
    """Yield the numbered batches that are left, and say every few seconds how far the epoch is."""
    started = said = time.monotonic()
    for number, rows in enumerate(batches[done:], done + 1):
        yield number, rows
        now = time.monotonic()
        if now - said >= PROGRESS_SECONDS and number < len(batches):
            said = now
            left = (now - started) / (number - done) * (len(batches) - number)
            place = f"epoch {epoch}/{epochs}: step {number} of {len(batches)}"
            log.info("%s, about %.0f s left of the epoch", place, left)
