"""From logits to probabilities, thresholds and a score on validation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from polysharp.core.labels import Indicators, Scores, decide
from polysharp.core.terms import LabelType, Metric
from polysharp.evaluation.metrics import scores
from polysharp.evaluation.thresholds import tune_thresholds


@dataclass(frozen=True)
class Decision:
    """Scores and thresholds on validation, and the value of the selection metric."""

    scores: Scores
    thresholds: list[float] | None
    value: float


def probabilities(logits: NDArray[np.float64], label_type: LabelType) -> Scores:
    """Return the softmax over the labels (single), or the sigmoid of each label (multi)."""
    found: Scores = softmax(logits, axis=1) if label_type == "single" else expit(logits)
    return found


def judge(logits: NDArray[np.float64], truth: Indicators, label_type: LabelType, metric: Metric) -> Decision:
    """Return the scores of validation texts, the thresholds tuned on them (multi), and the metric's value."""
    predicted = probabilities(logits, label_type)
    thresholds = tune_thresholds(predicted, truth) if label_type == "multi" else None
    return Decision(predicted, thresholds, scores(truth, decide(predicted, thresholds))[metric])
