"""The optimizer steps of a training, in micro-batches that fit into memory."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial

import torch
from accelerate.utils.memory import clear_device_cache
from torch import nn
from transformers import PreTrainedModel

from polysharp.core.errors import OutOfMemory
from polysharp.training.batches import Split
from polysharp.training.hardware import lacks_memory
from polysharp.training.inputs import SharedTrainingInputs
from polysharp.training.optimisation import make_loss, make_optimizer, make_schedule
from polysharp.training.progress import Progress
from polysharp.training.randomness import random_state, set_random_state
from polysharp.training.sam import Ascent, Step, normalisation_parameters, sam_step

log = logging.getLogger("polysharp.training.steps")


class _PassTooLarge(Exception):
    """A pass that did not fit into memory."""


class Steps:
    """The steps of one training: loss, optimizer, learning rates, and the passes over micro-batches.

    Parameters
    ----------
    model
        Already on its device.
    train
        The training texts; batches refer to their rows.
    progress
        Updated by every step.
    """

    def __init__(
        self, model: PreTrainedModel, inputs: SharedTrainingInputs, train: Split, progress: Progress
    ) -> None:
        settings = inputs.settings
        self._model, self._train, self._progress = model, train, progress
        self._settings, self._device, self._tokenizer = settings, inputs.device, inputs.tokenizer
        self.parameters = list(model.parameters())
        self.climbing = self.parameters
        if settings.ascent_parameters == "normalisation":
            self.climbing = normalisation_parameters(model)
        self.loss = make_loss(train.truth, inputs.data.label_type, settings.class_weights)
        self.loss.to(self._device.device)
        self.optimizer = make_optimizer(model, settings)
        self.per_epoch = -(-len(train.token_ids) // settings.batch_size)
        self.total = self.per_epoch * settings.epochs
        self.schedule = make_schedule(self.optimizer, settings, self.total)
        self._distributed: nn.Module = model

    def distribute(self) -> None:
        """If several processes train one model, have the gradients of the descent averaged."""
        if self._device.num_processes > 1:
            self._distributed = nn.parallel.DistributedDataParallel(
                self._model,
                device_ids=[self._device.device] if self._device.device.type == "cuda" else None,
                find_unused_parameters=True,  # BERT's pooler, which mean pooling does not use
                forward_sync_buffers=False,  # positions and used rows are the same in all processes
            )

    def take(self, rows: list[int]) -> Step:
        """Take the next step, on the training texts `rows`.

        Raises
        ------
        OutOfMemory
            When not even one text fits into memory.
        """
        progress = self._progress
        progress.learning_rate = self.optimizer.param_groups[0]["lr"]  # the encoder's
        step = self._in_fitting_parts(rows)
        self.schedule.step()
        progress.step += 1
        progress.losses.append(step.loss)
        progress.skipped_steps += step.skipped
        return step

    def anywhere(self, flag: bool) -> bool:
        """Return whether the flag is true in any process."""
        if self._device.num_processes == 1:
            return flag
        return bool(self._device.reduce(torch.tensor(float(flag), device=self._device.device)).item())

    def _in_fitting_parts(self, rows: list[int]) -> Step:
        """Take a step; if memory runs out, take it again in smaller micro-batches."""
        world, rank = self._device.num_processes, self._device.process_index
        # A process without texts still takes part in the averaging, with a weight of 0.
        mine, weight = (rows[rank::world], world / len(rows)) if rank < len(rows) else (rows[:1], 0.0)
        progress, settings = self._progress, self._settings
        ascent = self._ascent(mine, weight)
        while True:
            drawn = random_state(self._device.device)
            try:
                return sam_step(
                    partial(self.backward, mine, weight, synchronised=True),
                    self.parameters,
                    self.optimizer,
                    settings.max_grad_norm,
                    ascent,
                    everywhere=lambda finite: not self.anywhere(not finite),
                )
            except _PassTooLarge:
                pass  # the weights are unchanged; outside this block its tensors can be freed
            self.optimizer.zero_grad()
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
            set_random_state(drawn, self._device.device)

    def _ascent(self, rows: Sequence[int], weight: float) -> Ascent | None:
        """Return the ascent of the next step, or None if it has none."""
        settings = self._settings
        first = self.total - round(settings.ascent_phase * self.total)
        if settings.rho == 0 or self._progress.step < first:
            return None
        part = spread(rows, settings.ascent_share)
        return Ascent(
            partial(self.backward, part, weight * len(rows) / len(part), synchronised=False),
            self.climbing,
            settings.rho,
            settings.eta if settings.neighbourhood == "adaptive" else None,
        )

    def backward(self, rows: list[int], weight: float, *, synchronised: bool) -> float:
        """Add the gradient of the weighted sum of the losses of the training texts `rows`; return the sum."""
        train, size = self._train, self._progress.micro_batch_size
        device = self._device
        total = torch.zeros((), device=device.device)
        for start in range(0, len(rows), size):
            micro = rows[start : start + size]
            last = start + size >= len(rows)
            with nullcontext() if synchronised and last else device.no_sync(self._distributed):
                try:
                    batch = self._tokenizer.batch([train.token_ids[row] for row in micro]).to(device.device)
                    with device.autocast():
                        logits = self._distributed(**batch).logits
                    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
                    truth = torch.from_numpy(train.truth[micro]).to(logits)
                    losses = self.loss(logits, truth).reshape(len(micro), -1)
                    loss = losses.mean(dim=1).sum() * weight
                    device.backward(loss)
                except RuntimeError as error:
                    if not lacks_memory(error):
                        raise
                    raise _PassTooLarge from None
            total += loss.detach()
        return total.item()


def spread(rows: Sequence[int], share: float) -> list[int]:
    """Return a share of the rows, at least one: evenly spaced, because batches are sorted by length."""
    count = max(1, round(share * len(rows)))
    return [rows[(2 * index + 1) * len(rows) // (2 * count)] for index in range(count)]
