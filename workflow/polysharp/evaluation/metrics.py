"""Scores of predicted labels, as scikit-learn defines them, over all stored labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from polysharp.core.labels import Indicators, Mask, Predicted, Scores
from polysharp.core.terms import METRICS, LabelType, Metric

NO_LABEL = ""
BINS = 15  # of probabilities
Counts = Mapping[str, NDArray[np.float64]]  # as returned by weighted_counts
AVERAGES: Mapping[LabelType, tuple[str, ...]] = {
    "single": ("macro", "weighted"),  # the micro average of single labels is the accuracy
    "multi": ("micro", "macro", "weighted", "samples"),
}


@dataclass(frozen=True)
class ReportRow:
    """One row of a classification report. The accuracy is in `f1` of its row."""

    row_type: str  # label | average | accuracy
    row: str
    precision: float | None
    recall: float | None
    f1: float
    support: int

    def as_dict(self) -> dict[str, object]:
        """Return the row as a dictionary, for JSON and tables."""
        return asdict(self)


def exact_matches(y_true: Indicators, y_pred: Indicators, unmapped: Mask | None = None) -> Mask:
    """Return whether all labels of each text are correct, (texts,); an unmapped answer never is."""
    exact: Mask = (y_true == y_pred).all(1)
    return exact if unmapped is None else exact & ~unmapped


def classification_report(
    y_true: Indicators,
    y_pred: Indicators,
    names: Sequence[str],
    label_type: LabelType,
    unmapped: Mask | None = None,
) -> list[ReportRow]:
    """Return the rows of scikit-learn's classification report, with ``zero_division=0``.

    Labels without support have a row like any other, and count in the macro average. An unmapped answer
    counts as wrong in the accuracy, and as no label in the other rows.
    """
    # Imported here because it takes seconds, which commands that only read results need not wait for.
    from sklearn.metrics import precision_recall_fscore_support

    per_label = precision_recall_fscore_support(y_true, y_pred, average=None, zero_division=0)
    rows = [
        ReportRow("label", name, float(p), float(r), float(f), int(s))
        for name, p, r, f, s in zip(names, *per_label, strict=True)
    ]
    support = int(y_true.sum())
    for average in AVERAGES[label_type]:
        p, r, f, _ = precision_recall_fscore_support(y_true, y_pred, average=average, zero_division=0)
        rows.append(ReportRow("average", f"{average} avg", float(p), float(r), float(f), support))
    accuracy = float(exact_matches(y_true, y_pred, unmapped).mean())
    return [*rows, ReportRow("accuracy", "accuracy", None, None, accuracy, len(y_true))]


def weighted_counts(
    predictions: Sequence[Predicted], blocks: Iterable[NDArray[np.float32]] | None = None
) -> list[Counts]:
    """Return true positives, predicted and actual counts per label, over weighted texts.

    Parameters
    ----------
    predictions
        True and predicted labels of the same texts, (texts, labels), for every seed of every method.
    blocks
        Weights (draws, texts), in blocks of draws: how often each text counts in each draw. They are whole
        numbers, so that sums in single precision are exact; they take a third of the time. Without blocks
        there is one draw, in which every text counts once.

    Returns
    -------
    list of dict
        For every pair of `predictions`: ``tp``, ``predicted``, ``actual``: (draws, labels); ``exact``:
        (draws, 1), the weight of the texts with all labels correct; ``samples``: (draws, 1), the weighted
        sum of the texts' own F1; ``total``: (draws, 1).
    """
    if blocks is None:
        blocks = [np.ones((1, len(predictions[0][0])), np.float32)]
    sums = [_WeightedSums(*pair) for pair in predictions]
    for weights in blocks:
        for of_pair in sums:
            of_pair.add(weights)
    return [of_pair.counts() for of_pair in sums]


class _WeightedSums:
    """The counts of one pair of true and predicted labels, block by block."""

    def __init__(self, y_true: Indicators, y_pred: Indicators, unmapped: Mask | None = None) -> None:
        both = y_true & y_pred
        sizes = y_true.sum(1) + y_pred.sum(1)
        own_f1 = np.divide(2.0 * both.sum(1), sizes, out=np.zeros(len(sizes)), where=sizes > 0)
        exact = exact_matches(y_true, y_pred, unmapped)
        self.labels = y_true.shape[1]
        # One matrix product instead of five.
        self.columns = np.column_stack([both, y_pred, y_true, exact, np.ones(len(y_true), bool)])
        # The F1 of a text is not a whole number, unless the text has one label.
        self.own_f1 = None if np.array_equal(own_f1, exact) else own_f1
        self.products: list[NDArray[np.float64]] = []
        self.samples: list[NDArray[np.float64]] = []

    def add(self, weights: NDArray[np.float32]) -> None:
        self.products.append((weights @ self.columns.astype(np.float32)).astype(float))
        if self.own_f1 is not None:
            self.samples.append((weights @ self.own_f1)[:, None])

    def counts(self) -> Counts:
        ends = np.cumsum([self.labels, self.labels, self.labels, 1])
        tp, predicted, actual, right, total = np.split(_joined(self.products), ends, axis=1)
        samples = right if self.own_f1 is None else _joined(self.samples)
        of_labels = {"tp": tp, "predicted": predicted, "actual": actual}
        return {**of_labels, "exact": right, "samples": samples, "total": total}


def _joined(blocks: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def f1_rows(counts: Counts) -> dict[str, NDArray[np.float64]]:
    """Return the f1 column of every row that a report can have, for every draw of :func:`weighted_counts`.

    Keys are ``(labels)``: (draws, labels), and the names of averages and accuracy: (draws,).
    Agrees with :func:`classification_report`; vectorised over draws for the bootstrap.
    """
    tp, predicted, actual, total = (counts[key] for key in ("tp", "predicted", "actual", "total"))

    def f1(hits: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.divide(2 * hits, sizes, out=np.zeros_like(hits), where=sizes > 0)

    labels = f1(tp, predicted + actual)
    support = actual.sum(1)
    weighted = np.divide((labels * actual).sum(1), support, out=np.zeros_like(support), where=support > 0)
    return {
        "(labels)": labels,
        "micro avg": f1(tp.sum(1), predicted.sum(1) + support),
        "macro avg": labels.mean(1),
        "weighted avg": weighted,
        "samples avg": (counts["samples"] / total)[:, 0],
        "accuracy": (counts["exact"] / total)[:, 0],
    }


def scores(y_true: Indicators, y_pred: Indicators, unmapped: Mask | None = None) -> dict[Metric, float]:
    """Return the scores by which settings, epochs, seeds and methods can be chosen."""
    rows = f1_rows(weighted_counts([Predicted(y_true, y_pred, unmapped)])[0])
    return {metric: float(rows[row][0]) for metric, row in METRICS.items()}


def confusions(y_true: Indicators, y_pred: Indicators, names: Sequence[str]) -> dict[tuple[str, str], int]:
    """Return the number of texts for each pair of labels (true, predicted).

    A correct label is paired with itself. A missed label is paired with every label that was wrongly
    predicted for the same text, or with :data:`NO_LABEL` if there is none. A label that was wrongly
    predicted for a text without missed labels is paired with :data:`NO_LABEL`, too. For single labels this
    is the confusion matrix.
    """
    found = (y_true & y_pred).sum(0)
    missed, wrong = y_true & ~y_pred, y_pred & ~y_true
    pairs = missed.T.astype(int) @ wrong
    np.fill_diagonal(pairs, found)
    alone, spare = missed[~wrong.any(1)].sum(0), wrong[~missed.any(1)].sum(0)
    counts = {(a, b): int(pairs[i, j]) for i, a in enumerate(names) for j, b in enumerate(names)}
    counts |= {(name, NO_LABEL): int(count) for name, count in zip(names, alone, strict=True)}
    counts |= {(NO_LABEL, name): int(count) for name, count in zip(names, spare, strict=True)}
    return {pair: count for pair, count in counts.items() if count}


def expected_calibration_error(y_true: Indicators, y_scores: Scores, label_type: LabelType) -> float:
    """Return how far predicted probabilities are from observed shares, in [0, 1].

    Guo et al. 2017, equation 3: decisions are put into 15 bins of equal width by their probability. The
    gap between mean probability and observed share of each bin is weighted by the bin's size. The decisions
    are the best label of every text (single), or every label of every text (multi).
    """
    if label_type == "single":
        best = y_scores.argmax(1)
        probabilities, right = y_scores.max(1), y_true[np.arange(len(y_true)), best]
    else:
        probabilities, right = y_scores.ravel(), y_true.ravel()
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, weights=probabilities - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(probabilities))
