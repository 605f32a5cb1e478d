"""Scores of predicted labels, as scikit-learn defines them, over all stored labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from polysharp.configuration import LabelType, Metric
from polysharp.labels import Indicators

AVERAGES: Mapping[LabelType, tuple[str, ...]] = {
    "single": ("macro", "weighted"),  # the micro average of single labels is the accuracy
    "multi": ("micro", "macro", "weighted", "samples"),
}


@dataclass(frozen=True)
class ReportRow:
    """One line of a classification report. Accuracy stands in `f1` of its row."""

    row_type: str  # label | average | accuracy
    row: str
    precision: float | None
    recall: float | None
    f1: float
    support: int

    def as_dict(self) -> dict[str, object]:
        """Return the row as a dictionary, for JSON and tables."""
        return asdict(self)


def classification_report(
    y_true: Indicators, y_pred: Indicators, names: Sequence[str], label_type: LabelType
) -> list[ReportRow]:
    """Return the rows of scikit-learn's classification report, with ``zero_division=0``.

    Labels without support are rows like any other, and part of the macro average.
    """
    per_label = precision_recall_fscore_support(y_true, y_pred, average=None, zero_division=0)
    rows = [
        ReportRow("label", name, float(p), float(r), float(f), int(s))
        for name, p, r, f, s in zip(names, *per_label, strict=True)
    ]
    support = int(y_true.sum())
    for average in AVERAGES[label_type]:
        p, r, f, _ = precision_recall_fscore_support(y_true, y_pred, average=average, zero_division=0)
        rows.append(ReportRow("average", f"{average} avg", float(p), float(r), float(f), support))
    accuracy = float(accuracy_score(y_true, y_pred))
    return [*rows, ReportRow("accuracy", "accuracy", None, None, accuracy, len(y_true))]


def weighted_counts(
    y_true: Indicators, y_pred: Indicators, weights: NDArray[np.float64] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Return true positives, predicted and actual counts per label, texts counted by `weights`.

    Parameters
    ----------
    weights
        (draws, texts): how often every text counts in every draw; once without weights.

    Returns
    -------
    dict
        ``tp``, ``predicted``, ``actual``: (draws, labels); ``exact``: (draws, 1), the weight of the
        texts with all labels right; ``samples``: (draws, 1), the weighted sum of the texts' own F1;
        ``total``: (draws, 1).
    """
    if weights is None:
        weights = np.ones((1, len(y_true)))
    both = y_true & y_pred
    sizes = y_true.sum(1) + y_pred.sum(1)
    own_f1 = np.divide(2.0 * both.sum(1), sizes, out=np.zeros(len(sizes)), where=sizes > 0)
    return {
        "tp": weights @ both,
        "predicted": weights @ y_pred,
        "actual": weights @ y_true,
        "exact": weights @ (y_true == y_pred).all(1)[:, None],
        "samples": weights @ own_f1[:, None],
        "total": weights.sum(1, keepdims=True),
    }


def f1_rows(
    counts: Mapping[str, NDArray[np.float64]], label_type: LabelType
) -> dict[str, NDArray[np.float64]]:
    """Return the f1 column of every row of a report, for every draw of :func:`weighted_counts`.

    Keys are ``(labels)``: (draws, labels), and the names of averages and accuracy: (draws,).
    Agrees with :func:`classification_report`; vectorised over draws for the bootstrap.
    """
    tp, predicted, actual, total = (counts[key] for key in ("tp", "predicted", "actual", "total"))

    def f1(hits: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.divide(2 * hits, sizes, out=np.zeros_like(hits), where=sizes > 0)

    labels = f1(tp, predicted + actual)
    support = actual.sum(1)
    weighted = np.divide((labels * actual).sum(1), support, out=np.zeros_like(support), where=support > 0)
    averages = {
        "micro avg": f1(tp.sum(1), predicted.sum(1) + support),
        "macro avg": labels.mean(1),
        "weighted avg": weighted,
        "samples avg": (counts["samples"] / total)[:, 0],
    }
    kept = {f"{name} avg" for name in AVERAGES[label_type]}
    return {
        "(labels)": labels,
        **{name: values for name, values in averages.items() if name in kept},
        "accuracy": (counts["exact"] / total)[:, 0],
    }


def scores(y_true: Indicators, y_pred: Indicators) -> dict[Metric, float]:
    """Return the scores by which settings, epochs, seeds and methods can be chosen."""
    rows = f1_rows(weighted_counts(y_true, y_pred), "multi")
    return {
        "macro_f1": float(rows["macro avg"][0]),
        "micro_f1": float(rows["micro avg"][0]),
        "weighted_f1": float(rows["weighted avg"][0]),
        "accuracy": float(rows["accuracy"][0]),
    }
