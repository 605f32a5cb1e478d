"""The weights that a training ends with: of its best epoch, of its last one, or the mean of its last ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from polysharp.config.settings import TrainingSettings


class Kept:
    """What a training ends with, collected from epoch to epoch.

    A mean is a running one, so that no more than one further copy of the weights is held, whatever the
    number of epochs.

    Attributes
    ----------
    epochs
        The epochs whose weights are kept; 0 is the state before training.
    weights
        Parameters by name.
    logits
        Validation logits (texts, labels) of the weights; None where they are a mean that was not evaluated.
    """

    def __init__(self, settings: TrainingSettings) -> None:
        self._by_score = settings.keep == "best"
        number = settings.averaged_epochs if settings.keep == "average" else 1
        self._first = max(1, settings.epochs - number + 1)
        self.epochs: list[int] = []
        self.weights: dict[str, Tensor] = {}
        self.logits: Tensor | None = None

    @torch.no_grad()
    def add(self, epoch: int, model: nn.Module, logits: NDArray[Any], best_so_far: bool) -> None:
        """Take in the state of `model` after an epoch, if it belongs to what is kept."""
        if self._by_score:
            if best_so_far:
                self._start(epoch, model, logits)
        elif epoch == self._first:
            self._start(epoch, model, logits)
        elif epoch > self._first:
            self.epochs.append(epoch)
            for name, parameter in model.named_parameters():
                self.weights[name].lerp_(parameter, 1 / len(self.epochs))
            self.logits = None

    def _start(self, epoch: int, model: nn.Module, logits: NDArray[Any]) -> None:
        self.epochs = [epoch]
        self.weights = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        self.logits = torch.from_numpy(logits)

    def state(self) -> dict[str, Any]:
        """Return what a snapshot has to hold."""
        return {"epochs": self.epochs, "weights": self.weights, "logits": self.logits}

    def restore(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Take what :meth:`state` returned, with the weights on the device of the training."""
        self.epochs, self.logits = state["epochs"], state["logits"]
        self.weights = {name: weight.to(device) for name, weight in state["weights"].items()}
