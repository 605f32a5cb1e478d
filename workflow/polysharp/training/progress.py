"""The progress of a training: what a snapshot holds besides weights, moments and random states."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Progress:
    """The progress of a training. With weights, moments and random states this is what a snapshot holds.

    `step` counts the steps of all epochs, including skipped ones; `losses`, `skipped_steps` and
    `out_of_memory` are those of the current epoch; `seconds` is the time that earlier processes took.
    """

    micro_batch_size: int
    step: int = 0
    losses: list[float] = field(default_factory=list)
    skipped_steps: int = 0
    out_of_memory: int = 0
    learning_rate: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    best_value: float = -1.0
    seconds: float = 0.0
