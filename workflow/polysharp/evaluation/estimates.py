"""The scores of methods on one data set, or on several, over seeds and resampled texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np

from polysharp.core.labels import Predicted
from polysharp.core.terms import METRICS, Metric
from polysharp.evaluation.metrics import Counts, f1_rows, weighted_counts
from polysharp.evaluation.statistics import Difference, Draws, Estimate, resamples

Predictions = Sequence[Predicted]  # of every seed


@dataclass(frozen=True)
class Tally:
    """The counts of one method for every seed, from which its scores are computed.

    Tallies of data sets with the same labels can be added: the sum is the tally of all their texts together.

    observed, resampled
        Counts on the original texts, and on resampled texts.
    swapped
        Counts on only the texts on which methods are swapped; empty if nothing is compared.
    """

    observed: tuple[Counts, ...]
    resampled: tuple[Counts, ...]
    swapped: tuple[Counts, ...]

    @classmethod
    def of(cls, predictions: Predictions, draws: int, compared: bool = True) -> Tally:
        """Return the counts of one method on one data set."""
        return tallies({"": predictions}, draws, compared)[""]

    @cached_property
    def rows(self) -> dict[str, Estimate]:
        """Return every row of a classification report, named as in `f1_rows`."""
        observed = [f1_rows(of_seed) for of_seed in self.observed]
        resampled = [f1_rows(of_seed) for of_seed in self.resampled]
        return {
            name: Estimate(
                np.concatenate([rows[name] for rows in observed]),
                np.stack([rows[name] for rows in resampled], axis=1),
            )
            for name in observed[0]
        }

    def __add__(self, other: Tally) -> Tally:
        """Return the counts of the texts of both."""
        return Tally(
            _sums(self.observed, other.observed),
            _sums(self.resampled, other.resampled),
            _sums(self.swapped, other.swapped),
        )

    def estimate(self, metric: Metric) -> Estimate:
        """Return a score."""
        return self.rows[METRICS[metric]]

    def minus(self, other: Tally, metric: Metric) -> Difference:
        """Return how much higher a score is than another method's, seed by seed."""
        seeds = max(len(self.observed), len(other.observed))
        ours, theirs = self._repeated(seeds), other._repeated(seeds)
        mine, its = self.estimate(metric), other.estimate(metric)
        swapped = [
            _exchanged(a, a_swapped, b_swapped, metric) - _exchanged(b, b_swapped, a_swapped, metric)
            for a, a_swapped, b, b_swapped in zip(
                ours.observed, ours.swapped, theirs.observed, theirs.swapped, strict=True
            )
        ]
        return Difference(
            mine.observed - its.observed, mine.resampled - its.resampled, np.mean(swapped, axis=0)
        )

    def _repeated(self, seeds: int) -> Tally:
        """Return the tally repeated for each of so many seeds, if the method has no randomness."""
        if len(self.observed) == seeds:
            return self
        return Tally(self.observed * seeds, self.resampled * seeds, self.swapped * seeds)


def tallies(predictions: Mapping[str, Predictions], draws: int, compared: bool = True) -> dict[str, Tally]:
    """Return the counts of methods on the same texts, which are resampled once for all of them."""
    pairs = [pair for of_method in predictions.values() for pair in of_method]
    drawn = resamples(len(pairs[0][0]), draws)
    observed = iter(weighted_counts(pairs))
    resampled = iter(weighted_counts(pairs, drawn.weights()))
    swapped = iter(weighted_counts(pairs, drawn.swaps()) if compared else ())
    return {
        method: Tally(*(tuple(islice(counts, len(seeds))) for counts in (observed, resampled, swapped)))
        for method, seeds in predictions.items()
    }


def _sums(ours: Sequence[Counts], theirs: Sequence[Counts]) -> tuple[Counts, ...]:
    return tuple({key: a[key] + b[key] for key in a} for a, b in zip(ours, theirs, strict=True))


def _exchanged(own: Counts, own_swapped: Counts, other_swapped: Counts, metric: Metric) -> Draws:
    """Return the score of one method, with the other's predictions on the swapped texts."""
    mixed = {key: own[key] - own_swapped[key] + other_swapped[key] for key in own}
    return f1_rows(mixed)[METRICS[metric]]


@dataclass(frozen=True)
class Scored:
    """The methods of one data set, by their names: counts, scores, differences to the reference."""

    tallies: Mapping[str, Tally]
    estimates: Mapping[str, Estimate]
    differences: Mapping[str, Difference]


def score(tallies: Mapping[str, Tally], metric: Metric, reference: str | None) -> Scored:
    """Return the scores of methods on the same texts, and their differences from the reference's."""
    estimates = {method: tally.estimate(metric) for method, tally in tallies.items()}
    differences = {
        method: tally.minus(tallies[reference], metric)
        for method, tally in tallies.items()
        if reference is not None and reference in tallies and method != reference
    }
    return Scored(tallies, estimates, differences)
