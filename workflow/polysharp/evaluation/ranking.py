"""Claims about methods: verdicts against the reference, and which methods of a data set are best.

docs/statistics.md says how reliable the claims are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polysharp.core.terms import Metric
from polysharp.evaluation.estimates import Tally
from polysharp.evaluation.statistics import Comparison, Difference

LEVEL = 0.05  # probability of any false claim in a table


def adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p-values adjusted for multiple testing (Holm 1979); None stands for no test."""
    tests = [value for value in p_values if value is not None]
    values = iter(_step_down(tests, np.arange(len(tests), 0, -1)).tolist())
    return [None if value is None else next(values) for value in p_values]


def _step_down(p_values: ArrayLike, tests: ArrayLike) -> NDArray[np.float64]:
    """Return adjusted p-values: from the smallest on, each is multiplied by the number of tests left."""
    values = np.asarray(p_values, float)
    order = np.argsort(values)
    result = np.empty_like(values)
    result[order] = np.minimum(np.maximum.accumulate(values[order] * tests), 1)
    return result


def verdict(comparison: Comparison, p_adjusted: float | None) -> str:
    """Return ``better`` or ``worse`` if the interval and the adjusted test agree on it, else ``tie``."""
    if p_adjusted is None or p_adjusted >= LEVEL or comparison.low <= 0 <= comparison.high:
        return "tie"
    return "better" if comparison.difference > 0 else "worse"


def p_value_of_claim(difference: Difference, testable: bool) -> float:
    """Return the p-value of the claim that there is a difference; 1 if none can be claimed.

    None can be claimed if the interval includes 0, or if the seeds do not show how much they vary.
    """
    low, high = difference.interval()
    return difference.cautious_p_value if testable and not low <= 0 <= high else 1.0


@dataclass(frozen=True)
class Ranking:
    """The methods of one data set, compared with the one that has the highest score on test.

    behind
        By method, without the highest: the p-value of its difference from the highest.
    """

    highest: str
    behind: Mapping[str, float]

    @classmethod
    def of(
        cls, tallies: Mapping[str, Tally], metric: Metric, testable: Callable[[str, str], bool]
    ) -> Ranking:
        """Compare the methods of a data set; `testable` says whether two of them can be tested."""
        highest = max(tallies, key=lambda method: float(tallies[method].estimate(metric).mean))
        return cls(
            highest,
            {
                method: p_value_of_claim(tallies[highest].minus(tally, metric), testable(highest, method))
                for method, tally in tallies.items()
                if method != highest
            },
        )

    @property
    def p_values(self) -> dict[str, float]:
        """Return the p-values of `behind`, adjusted within the data set.

        The highest method is found on the same texts on which it is then tested, so adjusting only for the
        comparisons with it would claim too much. With `m` methods, any of m (m - 1) / 2 pairs could have
        been the one with the smallest p-value: it is multiplied by that number. Its method is removed, and
        the next p-value is multiplied by the number of pairs of the remaining methods; no adjusted p-value
        is smaller than the one before.

        These are the steps of the model confidence set (Hansen, Lunde & Nason 2011, Econometrica 79,
        453-497), each with Bonferroni's test of the hypothesis that all remaining methods are equal. If `t`
        methods share the first place, the first of them to be removed is removed while all of them remain.
        That takes a p-value below the level divided by t (t - 1) / 2, the number of their pairs, or more.
        """
        left = np.arange(len(self.behind) + 1, 1, -1)
        adjusted_values = _step_down(list(self.behind.values()), left * (left - 1) / 2)
        return dict(zip(self.behind, adjusted_values.tolist(), strict=True))


def standings(rankings: Sequence[Ranking]) -> list[dict[str, str]]:
    """Return for every data set which method is ``best``, or which methods ``tie`` for it.

    Methods that are excluded are not in the result. Over all data sets, the probability of any false
    claim is at most :data:`LEVEL`, by Holm's method: each data set gets an equal share of it, and data
    sets in which only one method is left pass their share on to the others.
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
