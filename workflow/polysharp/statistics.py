"""Intervals and paired tests over seeds and test texts together. What and why: docs/statistics.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import norm, t
from statsmodels.stats.multitest import multipletests

Draws = NDArray[np.float64]
FEW_DRAWS = 20  # of which a share says little


@dataclass(frozen=True)
class Resamples:
    """What is drawn for a number of test texts: the same for every data set and method with as many.

    So methods pair; and so do languages, text by text, where they are translations of the same texts
    in the same order. Where they are not, the same places of different texts are as good as others.

    weights
        (draws, texts): how often a text is in a draw of as many texts, with replacement.
    swaps
        (draws, texts): 1 where two methods change places on a text, else 0.
    """

    weights: NDArray[np.float32]
    swaps: NDArray[np.float32]


@lru_cache(maxsize=2)  # of validation and of test
def resamples(texts: int, draws: int) -> Resamples:
    """Return the resamples of a number of texts, which it decides alone."""
    random = np.random.default_rng([texts, draws])
    places = random.integers(texts, size=(draws, texts)) + texts * np.arange(draws)[:, None]
    weights = np.bincount(places.ravel(), minlength=draws * texts).reshape(draws, texts)
    swaps = random.integers(2, size=(draws, texts))
    return Resamples(weights.astype(np.float32), swaps.astype(np.float32))


@lru_cache
def _seed_noise(seeds: int, draws: int) -> Draws:
    """Return draws of Student's t with a degree of freedom less than there are seeds; 0 for one seed."""
    if seeds < 2:
        return np.zeros(draws)
    even = t.ppf((np.arange(draws) + 0.5) / draws, seeds - 1)  # its tails are long: none left to chance
    return np.random.default_rng([seeds, draws]).permutation(even)


@dataclass(frozen=True)
class Estimate:
    """A score of one method, or several of them, as the mean over its seeds.

    observed
        (seeds,) or (seeds, scores): on the texts as they are.
    resampled
        (draws, seeds) or (draws, seeds, scores): on resampled texts.
    """

    observed: NDArray[np.float64]
    resampled: Draws
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @property
    def mean(self) -> NDArray[np.float64]:
        """Return the score, () or (scores,)."""
        return np.asarray(self.observed.mean(0))

    @property
    def seed_scale(self) -> NDArray[np.float64]:
        """Return the standard error of `mean` over seeds, () or (scores,); 0 for one seed."""
        seeds = len(self.observed)
        return np.asarray(self.observed.std(0, ddof=1) / np.sqrt(seeds)) if seeds > 1 else 0 * self.mean

    @property
    def joint_variance(self) -> NDArray[np.float64]:
        """Return the variance of `mean` by what a seed and a text do together, () or (scores,).

        Both the scores of the seeds and the resampled texts hold it: it has to be taken off once. The
        texts are many, so what is left of their part is known well; that of the seeds would not be.
        """
        seeds = len(self.observed)
        if seeds < 2:
            return 0 * self.mean
        beside = self.resampled - self.resampled.mean(1, keepdims=True)
        return np.asarray(beside.var(0).sum(0) / (seeds - 1) / seeds)

    def interval(self) -> NDArray[np.float64]:
        """Return the 95 % interval, (2,) or (2, scores).

        Texts are resampled. Seeds are too few for that: what they add is drawn from Student's t.
        """
        draws = self.resampled.mean(1)
        centre, variance = draws.mean(0), draws.var(0)
        draws = centre + (draws - centre) * _shrunk(variance, self.joint_variance)
        noise = _seed_noise(len(self.observed), len(draws)).reshape(-1, *[1] * (draws.ndim - 1))
        ends = np.percentile(draws + noise * self.seed_scale, [2.5, 97.5], axis=0)
        return np.clip(ends, *self.limits)

    def __add__(self, other: Estimate) -> Estimate:
        """Return the sum of two scores, as of two languages, draw by draw and seed by seed."""
        return Estimate(self.observed + other.observed, self.resampled + other.resampled)

    def __truediv__(self, number: int) -> Estimate:
        """Return the score divided by a number."""
        return Estimate(self.observed / number, self.resampled / number)


@dataclass(frozen=True)
class Difference(Estimate):
    """A method's score minus another's on the same texts and, where both have them, seeds.

    swapped
        (draws,): the same where the methods change places on half of the texts, drawn at random: what
        it may come to where there is no difference.
    """

    swapped: Draws
    limits: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def __add__(self, other: Estimate) -> Difference:
        """Return the sum of two differences."""
        assert isinstance(other, Difference)
        total = super().__add__(other)
        return Difference(total.observed, total.resampled, self.swapped + other.swapped)

    def __truediv__(self, number: int) -> Difference:
        """Return the difference divided by a number."""
        part = super().__truediv__(number)
        return Difference(part.observed, part.resampled, self.swapped / number)

    @property
    def p_value(self) -> float:
        """Return how often a difference as large comes about where there is none; two-sided.

        Over texts by approximate randomisation (Noreen 1989; Yeh 2000), over seeds by Student's t: the
        sum of the two is a Behrens-Fisher distribution.
        """
        size, seeds = abs(float(self.mean)), float(self.seed_scale)
        texts: Draws = self.swapped * _shrunk(np.asarray(np.mean(self.swapped**2)), self.joint_variance)
        noise = _seed_noise(len(self.observed), len(texts)) * seeds
        sums = np.concatenate([texts + noise, texts - noise])  # who is the reference must not matter
        beyond = int((np.abs(sums) >= size - 1e-12).sum())
        if beyond >= FEW_DRAWS:
            return (beyond + 1) / (len(sums) + 1)
        return _tail(size, float(np.sqrt(np.mean(texts**2))), seeds, len(self.observed) - 1)


def _shrunk(variance: NDArray[np.float64], part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by what draws have to be multiplied to lose a part of their variance."""
    left = np.maximum(variance - part, 0)
    return np.sqrt(np.divide(left, variance, out=np.zeros_like(left), where=variance > 0))


def _tail(size: float, normal: float, student: float, freedom: int) -> float:
    """Return the two-sided tail of a normal variable plus a Student's t, each with its scale."""
    if student == 0:
        return float(2 * norm.sf(size / normal)) if normal else 1.0
    if normal == 0:
        return float(2 * t.sf(size / student, freedom))

    def above(z: float) -> float:
        return float(norm.pdf(z) * t.sf((size - normal * z) / student, freedom))

    near = size / normal  # where the second variable's share rises
    return min(1.0, 2 * quad(above, -12, max(12.0, near + 12), points=[0.0, near], limit=200)[0])


@dataclass(frozen=True)
class Comparison:
    """A difference as it is printed: estimate, 95 % interval, p-value where there is a test."""

    difference: float
    low: float
    high: float
    p_value: float | None


def compare(difference: Difference, testable: bool) -> Comparison:
    """Return what a difference comes to; `testable` where its seeds tell how much they vary."""
    low, high = difference.interval()
    p_value = difference.p_value if testable else None
    return Comparison(float(difference.mean), float(low), float(high), p_value)


def adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p-values adjusted for being several, by Holm 1979; what is None is no test."""
    tests = [value for value in p_values if value is not None]
    values = iter(multipletests(tests, method="holm")[1] if tests else ())
    return [None if value is None else float(next(values)) for value in p_values]


def verdict(comparison: Comparison, p_adjusted: float | None) -> str:
    """Return ``better`` or ``worse`` where interval and adjusted test agree on it, else ``tie``."""
    if p_adjusted is None or p_adjusted >= 0.05 or comparison.low <= 0 <= comparison.high:
        return "tie"
    return "better" if comparison.difference > 0 else "worse"
