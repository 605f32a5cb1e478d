"""The words that everything shares: kinds of labels, metrics, kinds of methods, splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

LabelType = Literal["single", "multi"]
LABEL_TYPES: tuple[LabelType, ...] = get_args(LabelType)
Metric = Literal["macro_f1", "micro_f1", "weighted_f1", "accuracy"]
# The row of a classification report that each metric is: one of those of evaluation.metrics.f1_rows.
METRICS: Mapping[Metric, str] = {
    "macro_f1": "macro avg",
    "micro_f1": "micro avg",
    "weighted_f1": "weighted avg",
    "accuracy": "accuracy",
}
Kind = Literal["finetune", "probe", "tfidf", "outside"]
SPLITS = ("train", "validation", "test")
REPORTED = SPLITS[1:]  # the ones that scores are of


def metric_in_words(metric: str) -> str:
    """Return how people write a metric, as "macro F1" for ``macro_f1``."""
    return metric.replace("_f1", " F1").replace("_", " ")
