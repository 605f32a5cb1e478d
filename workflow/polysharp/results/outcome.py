"""The outcome of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polysharp.evaluation.decisions import Decision


@dataclass(frozen=True)
class Outcome:
    """The outcome of a training: logits (texts, labels) of the kept state, and how it was reached.

    `epochs` are those whose weights are kept, averaged if there are several: 0 is the state before training,
    and None stands for a method without epochs.
    """

    logits: dict[str, NDArray[np.float64]]
    decision: Decision
    epochs: list[int] | None
    history: list[dict[str, Any]]
