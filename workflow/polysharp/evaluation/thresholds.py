"""Decision thresholds per label, tuned on validation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polysharp.core.labels import Indicators, Scores

DEFAULT = 0.5


def tune_thresholds(scores: Scores, y_true: Indicators) -> list[float]:
    """Return the threshold of every label that gives the highest F1 on these texts.

    Candidates lie half-way between neighbouring scores; of equally good ones, the nearest to 0.5 is
    taken. A label without positive texts keeps 0.5.

    Parameters
    ----------
    scores, y_true
        (texts, labels): probabilities and true labels of the validation texts.
    """
    return [_tune(column, truth) for column, truth in zip(scores.T, y_true.T, strict=True)]


def _tune(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    if not truth.any():
        return DEFAULT
    distinct = np.unique(scores)
    lower, upper = distinct[:-1], distinct[1:]
    between = (lower + upper) / 2
    between = np.where(between > lower, between, upper)  # half-way between adjacent floats may be the lower
    candidates = np.concatenate(([distinct[0] / 2], between, [DEFAULT]))
    predicted = scores[None, :] >= candidates[:, None]
    f1 = 2 * (predicted & truth).sum(1) / (predicted.sum(1) + truth.sum())
    best = candidates[f1 >= f1.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - DEFAULT))])
