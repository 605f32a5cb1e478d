"""Intervals and paired tests by a bootstrap over seeds and test texts together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from polysharp.configuration import LabelType
from polysharp.labels import Indicators
from polysharp.metrics import f1_rows, weighted_counts

Draws = NDArray[np.float64]


class Bootstrap:
    """Resamples of one data set's texts and seeds, the same for every method, so that methods pair.

    Every draw takes as many texts as there are, with replacement, and as many seeds as a method
    has, with replacement; methods with the same seeds get the same ones. The statistic of a draw
    is the mean over its seeds, each scored on its texts.
    """

    def __init__(self, texts: int, seeds: int, draws: int, key: str) -> None:
        """Draw the resamples; `key`, the data set's path, decides them alone.

        Parameters
        ----------
        texts, seeds
            Number of test texts, and the highest number of seeds of a method.
        """
        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
        random = np.random.default_rng(number)
        self._weights = random.multinomial(texts, np.full(texts, 1 / texts), size=draws).astype(float)
        self._seeds = random.random((draws, seeds))

    def rows(
        self, predictions: Sequence[tuple[Indicators, Indicators]], label_type: LabelType
    ) -> dict[str, Draws]:
        """Return the f1 column of every row of the report, for every draw.

        Parameters
        ----------
        predictions
            True and predicted labels (texts, labels) of every seed.

        Returns
        -------
        dict
            As :func:`polysharp.metrics.f1_rows`.
        """
        per_seed = [f1_rows(weighted_counts(*pair, self._weights), label_type) for pair in predictions]
        chosen = (self._seeds[:, : len(per_seed)] * len(per_seed)).astype(int)  # (draws, seeds)
        draw = np.arange(len(chosen))[:, None]
        return {
            name: np.stack([rows[name] for rows in per_seed], axis=1)[draw, chosen].mean(axis=1)
            for name in per_seed[0]
        }


def interval(draws: Draws) -> tuple[float, float]:
    """Return the 95 % percentile interval of a statistic's draws."""
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """A method minus the reference on the same texts: estimate, 95 % interval, two-sided p-value."""

    estimate: float
    low: float
    high: float
    p_value: float


def paired_difference(estimate: float, draws: Draws, reference: Draws) -> Difference:
    """Compare the paired draws of two methods.

    The p-value is twice the smaller share of draws on either side of 0, counting the observed data
    as one draw more (Davison and Hinkley 1997, section 4.2), so that it is never 0.
    """
    differences = draws - reference
    smaller = min((differences <= 0).sum(), (differences >= 0).sum())
    return Difference(estimate, *interval(differences), min(1.0, 2 * (smaller + 1) / (len(draws) + 1)))


def adjusted(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return the p-values adjusted for being several, by Benjamini and Hochberg 1995."""
    if not p_values:
        return {}
    return dict(zip(p_values, map(float, false_discovery_control(list(p_values.values()))), strict=True))


def verdict(difference: Difference, p_adjusted: float) -> str:
    """Return ``better`` or ``worse`` where interval and adjusted test agree on it, else ``tie``."""
    if p_adjusted >= 0.05 or difference.low <= 0 <= difference.high:
        return "tie"
    return "better" if difference.estimate > 0 else "worse"
