"""Labels as indicator matrices, in the same order everywhere: by value if all are integers, else sorted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Indicators = NDArray[np.bool_]  # (texts, labels); single-label rows hold exactly one True
Scores = NDArray[np.float64]  # (texts, labels); probabilities
Mask = NDArray[np.bool_]  # (texts,)


_INTEGER = re.compile(r"[+-]?\d{1,1000}")  # Python converts no longer numbers


class Predicted(NamedTuple):
    """True and predicted labels of the same texts, (texts, labels).

    unmapped
        (texts,): whether an answer from elsewhere stands for no label, which differs from an answer that
        the text has none; None if there are no such answers.
    """

    truth: Indicators
    predicted: Indicators
    unmapped: Mask | None = None


def label_order(labels: Iterable[Iterable[str]]) -> list[str]:
    """Return the names of all labels that occur, in an order that is the same in every process."""
    return in_order(name for names in labels for name in names)


def in_order(names: Iterable[str]) -> list[str]:
    """Return the distinct names of labels, sorted: 2 before 10 if all are integers, else as text."""
    different = set(names)
    if all(_INTEGER.fullmatch(name) for name in different):
        return sorted(different, key=lambda name: (int(name), name))
    return sorted(different)


def encode(labels: Sequence[Sequence[str]], names: Sequence[str]) -> Indicators:
    """Return the indicator matrix (texts, labels) of lists of label names.

    Raises
    ------
    KeyError
        When a label is not in `names`.
    """
    index = {name: column for column, name in enumerate(names)}
    indicators = np.zeros((len(labels), len(names)), dtype=bool)
    for row, text_labels in enumerate(labels):
        for name in text_labels:
            indicators[row, index[name]] = True
    return indicators


def decode(indicators: Indicators, names: Sequence[str]) -> list[list[str]]:
    """Return the lists of label names of an indicator matrix (texts, labels)."""
    return [[name for name, holds in zip(names, row, strict=True) if holds] for row in indicators]


def decide(scores: Scores, thresholds: Sequence[float] | None) -> Indicators:
    """Return the predicted labels: all at or above their thresholds; without thresholds, the best one."""
    if thresholds is not None:
        return scores >= np.asarray(thresholds)
    predicted = np.zeros(scores.shape, dtype=bool)
    predicted[np.arange(len(scores)), scores.argmax(axis=1)] = True
    return predicted
