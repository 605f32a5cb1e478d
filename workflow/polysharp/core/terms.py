"""Terms used everywhere: label types, metrics, kinds of methods, splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

LabelType = Literal["single", "multi"]
LABEL_TYPES: tuple[LabelType, ...] = get_args(LabelType)
Metric = Literal["macro_f1", "micro_f1", "weighted_f1", "accuracy"]
# The row of the classification report for each metric: one of those of evaluation.metrics.f1_rows.
METRICS: Mapping[Metric, str] = {
    "macro_f1": "macro avg",
    "micro_f1": "micro avg",
    "weighted_f1": "weighted avg",
    "accuracy": "accuracy",
}
Kind = Literal["finetune", "soup", "probe", "tfidf", "outside", "published"]
PUBLISHED: Kind = "published"  # also the status of their rows: scores that were not computed here
WITH_CLASSIFIER: tuple[Kind, ...] = ("finetune", "soup")  # kinds that leave a classifier to publish
SPLITS = ("train", "validation", "test")
REPORTED = SPLITS[1:]  # the splits with scores


def metric_in_words(metric: str) -> str:
    """Return the name of a metric in prose: "macro F1" for ``macro_f1``."""
    return metric.replace("_f1", " F1").replace("_", " ")


def counted(number: int, what: str) -> str:
    """Return a number and what there are so many of, in the plural where it is not one."""
    return f"{number} {what}{'' if number == 1 else 's'}"
