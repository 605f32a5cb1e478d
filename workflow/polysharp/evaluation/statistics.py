"""Intervals and paired tests over seeds and test texts together, as explained in docs/statistics.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import exp, pi, sqrt
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import stdtr
from scipy.stats import norm, t

Draws = NDArray[np.float64]
Block = NDArray[np.float32]  # (draws of the block, texts)
BLOCK = 2**18  # numbers in a block: 1 MB, and 4 MB while they are drawn
KEPT = 2**22  # numbers that are kept for the next data set: 16 MB
FEW_DRAWS = 20  # too few for the share of draws to be a precise p-value


@dataclass(frozen=True)
class Resamples:
    """The random draws for a number of test texts: the same for every data set and method of that size.

    Methods are therefore paired. So are languages, text by text, if they are translations of the same
    texts in the same order; if they are not, the draws are as good as any others.

    The draws come in blocks, each an array (draws of the block, texts), so that memory does not grow with
    the number of texts. With few texts, the blocks are kept for the next data set; with many, they are
    drawn again from the same stream. The size of the blocks does not affect the numbers.
    """

    texts: int
    draws: int

    def weights(self) -> Iterable[Block]:
        """Return how often each text is in a sample of the same size, drawn with replacement."""
        return self._kept_weights if self._is_small else self._weights()

    def swaps(self) -> Iterable[Block]:
        """Return 1 where two methods are swapped on a text, else 0."""
        return self._kept_swaps if self._is_small else self._swaps()

    @property
    def _is_small(self) -> bool:
        return self.texts * self.draws <= KEPT

    @cached_property
    def _kept_weights(self) -> list[Block]:
        return list(self._weights())

    @cached_property
    def _kept_swaps(self) -> list[Block]:
        return list(self._swaps())

    def _weights(self) -> Iterator[Block]:
        for places in self._integers(self._random(), self.texts):
            places += self.texts * np.arange(len(places))[:, None]
            counts = np.bincount(places.ravel(), minlength=places.size)
            yield counts.reshape(places.shape).astype(np.float32)

    def _swaps(self) -> Iterator[Block]:
        random = self._random()
        for _ in self._integers(random, self.texts):  # swaps follow the weights in the stream
            pass
        for places in self._integers(random, 2):
            yield places.astype(np.float32)

    def _random(self) -> np.random.Generator:
        return np.random.default_rng([self.texts, self.draws])

    def _integers(self, random: np.random.Generator, end: int) -> Iterator[NDArray[np.int64]]:
        """Yield whole numbers below `end` in blocks: the same that one call for all draws would give."""
        rows = max(1, BLOCK // self.texts)
        for first in range(0, self.draws, rows):
            yield random.integers(end, size=(min(rows, self.draws - first), self.texts))


@lru_cache(maxsize=2)  # of validation and of test
def resamples(texts: int, draws: int) -> Resamples:
    """Return the resamples of a number of texts, which depend on the two numbers and nothing else."""
    return Resamples(texts, draws)


@lru_cache
def _seed_noise(seeds: int, draws: int) -> Draws:
    """Return draws from Student's t with one degree of freedom fewer than seeds; 0 for one seed."""
    if seeds < 2:
        return np.zeros(draws)
    even = t.ppf((np.arange(draws) + 0.5) / draws, seeds - 1)  # evenly spaced quantiles: its tails are long
    return np.random.default_rng([seeds, draws]).permutation(even)


@dataclass(frozen=True)
class Estimate:
    """One or several scores of a method, as the mean over its seeds.

    observed
        (seeds,) or (seeds, scores): on the original texts.
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
        """Return the variance of `mean` due to the interaction of seeds and texts, () or (scores,).

        Both the variance over seeds and that over resampled texts contain it, so it has to be subtracted
        once. It is subtracted from that over texts, which is more precise because there are many texts.
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
        return np.asarray(np.clip(ends, *self.limits))

    def __add__(self, other: Estimate) -> Estimate:
        """Return the sum of two scores, such as of two languages, draw by draw and seed by seed."""
        return Estimate(self.observed + other.observed, self.resampled + other.resampled)

    def __truediv__(self, number: int) -> Estimate:
        """Return the score divided by a number."""
        return Estimate(self.observed / number, self.resampled / number)


@dataclass(frozen=True)
class Difference(Estimate):
    """A method's score minus another's on the same texts and, where both have them, seeds.

    swapped
        (draws,): the same with the methods swapped on half of the texts, drawn at random: how large the
        difference may be by chance.
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
        """Return the two-sided p-value: how often a difference this large occurs if there is none.

        Texts are tested by approximate randomisation (Noreen 1989; Yeh 2000), seeds by Student's t. The
        sum of the two has a Behrens-Fisher distribution.
        """
        return self._p_value(self.joint_variance)

    @property
    def cautious_p_value(self) -> float:
        """Return the p-value for tests at levels far below .05, such as of many pairs of methods.

        Scores are shares of texts, so two or three seeds have equal differences more often than with
        continuous scores. The variance over seeds is then 0, and subtracting `joint_variance` would leave
        too little variance over texts. Here no more is subtracted than the variance over seeds.
        """
        return self._p_value(np.minimum(self.joint_variance, self.seed_scale**2))

    def _p_value(self, joint_variance: NDArray[np.float64]) -> float:
        size, seeds = abs(float(self.mean)), float(self.seed_scale)
        texts: Draws = self.swapped * _shrunk(np.asarray(np.mean(self.swapped**2)), joint_variance)
        noise = _seed_noise(len(self.observed), len(texts)) * seeds
        sums = np.concatenate([texts + noise, texts - noise])  # it must not matter which is the reference
        beyond = int((np.abs(sums) >= size - 1e-12).sum())
        if beyond >= FEW_DRAWS:
            return (beyond + 1) / (len(sums) + 1)
        return _tail(size, float(np.sqrt(np.mean(texts**2))), seeds, len(self.observed) - 1)


def _shrunk(variance: NDArray[np.float64], part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factor by which draws are multiplied to remove a part of their variance."""
    left = np.maximum(variance - part, 0)
    return np.sqrt(np.divide(left, variance, out=np.zeros_like(left), where=variance > 0))


def _tail(size: float, normal: float, student: float, freedom: int) -> float:
    """Return the two-sided tail of a normal variable plus a Student's t, each with its scale."""
    if student == 0:
        return float(2 * norm.sf(size / normal)) if normal else 1.0
    if normal == 0:
        return float(2 * t.sf(size / student, freedom))

    def above(z: float) -> float:  # norm.pdf(z) * t.sf(..., freedom), without their slow checks
        density = exp(-(z**2) / 2) / sqrt(2 * pi)
        return float(density * stdtr(freedom, (normal * z - size) / student))

    near = size / normal  # where the second variable's share rises
    area = float(quad(above, -12, max(12.0, near + 12), points=[0.0, near], limit=200)[0])
    return min(1.0, 2 * area)


@dataclass(frozen=True)
class Comparison:
    """A difference as reported: estimate, 95 % interval, and p-value if there is a test."""

    difference: float
    low: float
    high: float
    p_value: float | None


def compare(difference: Difference, testable: bool) -> Comparison:
    """Return a difference as reported; `testable` says whether its seeds show how much they vary."""
    low, high = difference.interval()
    p_value = difference.p_value if testable else None
    return Comparison(float(difference.mean), float(low), float(high), p_value)
