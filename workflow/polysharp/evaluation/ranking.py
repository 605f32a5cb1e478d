"""What is claimed of methods: verdicts against the reference, and which methods of a data set are best.

What the claims are worth is in docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polysharp.core.terms import Metric
from polysharp.evaluation.estimates import Tally
from polysharp.evaluation.statistics import Comparison, compare

LEVEL = 0.05  # probability of any false claim in a table


def adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p-values adjusted for being several, by Holm 1979; what is None is no test."""
    tests = [value for value in p_values if value is not None]
    values = iter(_step_down(tests, np.arange(len(tests), 0, -1)).tolist())
    return [None if value is None else next(values) for value in p_values]


def _step_down(p_values: ArrayLike, tests: ArrayLike) -> NDArray[np.float64]:
    """Return adjusted p-values: from the smallest on, each is multiplied by how many tests are left."""
    values = np.asarray(p_values, float)
    order = np.argsort(values)
    result = np.empty_like(values)
    result[order] = np.minimum(np.maximum.accumulate(values[order] * tests), 1)
    return result


def verdict(comparison: Comparison, p_adjusted: float | None) -> str:
    """Return ``better`` or ``worse`` if the interval and the adjusted test agree on it, else ``tie``."""
    if p_adjusted is None or p_adjusted >= LEVEL or not comparison.excludes_zero:
        return "tie"
    return "better" if comparison.difference > 0 else "worse"


@dataclass(frozen=True)
class Ranking:
    """The methods of one data set, compared with the one that has the highest score on test.

    behind
        By method, all but the highest: the highest method's score minus this method's.
    """

    highest: str
    behind: Mapping[str, Comparison]

    @classmethod
    def of(
        cls, tallies: Mapping[str, Tally], metric: Metric, testable: Callable[[str, str], bool]
    ) -> Ranking:
        """Compare the methods of a data set; `testable` says whether two of them can be tested."""
        highest = max(tallies, key=lambda method: float(tallies[method].estimate(metric).mean))
        return cls(
            highest,
            {
                method: compare(tallies[highest].minus(tally, metric), testable(highest, method))
                for method, tally in tallies.items()
                if method != highest
            },
        )

    @property
    def p_values(self) -> dict[str, float]:
        """Return p-values of the claim that a method is not the best, adjusted within the data set.

        The highest method is found on the same texts on which it is then tested, so that counting its
        comparisons alone would claim too much. As long as `m` methods are left, any of their m (m - 1) / 2
        pairs could have been the one that is tested: the smallest p-value is multiplied by that number,
        its method leaves, and so on with the others. A method that is excluded needs a smaller
        adjusted p-value than all that are excluded after it.

        These are the steps of the model confidence set (Hansen, Lunde & Nason 2011, Econometrica 79,
        453-497), each with Bonferroni's test that all methods left are equal. If several methods are the
        best ones, one of them is excluded with the probability of the level, at most: while all of them
        are left, it takes a p-value below the level divided by the number of their pairs, or more.
        """
        # A difference whose interval includes 0 is not claimed, whatever its test says.
        values = [
            1.0 if found.p_value is None or not found.excludes_zero else found.p_value
            for found in self.behind.values()
        ]
        left = np.arange(len(values) + 1, 1, -1)
        return dict(zip(self.behind, _step_down(values, left * (left - 1) / 2).tolist(), strict=True))


def standings(rankings: Sequence[Ranking]) -> list[dict[str, str]]:
    """Return for every data set which method is ``best``, or which methods ``tie`` for it.

    Methods that are excluded are not in the result. Over all data sets the probability of any false
    claim is at most :data:`LEVEL`, by Holm's method: each data set gets an equal share of it, and data
    sets in which one method alone is left pass their share on to the others.
    """
    p_values = [ranking.p_values for ranking in rankings]
    decided = adjusted([max(of_dataset.values()) for of_dataset in p_values])
    undecided = sum(p_value is None or p_value >= LEVEL for p_value in decided)
    level = LEVEL / max(undecided, 1)
    result = []
    for ranking, of_dataset in zip(rankings, p_values, strict=True):
        left = [ranking.highest, *(method for method, p_value in of_dataset.items() if p_value >= level)]
        result.append(dict.fromkeys(left, "best" if len(left) == 1 else "tie"))
    return result
