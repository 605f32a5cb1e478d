"""The outcome of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polysharp.evaluation.decisions import Decision


@dataclass(frozen=True)
class Outcome:
    """The outcome of a training: logits (texts, labels) of the chosen state, and how it was chosen."""

    logits: dict[str, NDArray[np.float64]]
    decision: Decision
    best_epoch: int | None
    history: list[dict[str, Any]]
