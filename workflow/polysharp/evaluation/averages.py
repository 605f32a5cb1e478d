"""Averages of methods over all languages of a task, added up one by one to save memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from polysharp.core.terms import Metric
from polysharp.evaluation.estimates import Scored, Tally, score
from polysharp.evaluation.statistics import Difference, Estimate

MEAN, POOLED = "mean of languages", "pooled"
Addend = TypeVar("Addend", Estimate, Difference, Tally)


@dataclass
class Languages:
    """The languages of one task and label type.

    labels
        The labels that all languages share; None if they differ.
    """

    expected: int = 0
    added: int = 0
    labels: list[str] | None = None
    estimates: dict[str, Estimate] = field(default_factory=dict)
    differences: dict[str, Difference] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)

    def add(self, labels: list[str], scored: Scored) -> None:
        """Add a language."""
        self.labels = labels if self.labels == labels or not self.added else None
        self.added += 1
        _add(self.estimates, scored.estimates)
        _add(self.differences, scored.differences)
        if self.labels is None:  # texts with different labels cannot be pooled
            self.tallies.clear()
        else:
            _add(self.tallies, scored.tallies)

    def averages(self, metric: Metric, reference: str | None) -> dict[str, Scored]:
        """Return the averages over the languages, by name; empty without languages."""
        if not self.added:
            return {}
        mean = Scored(
            {},
            {method: total / self.added for method, total in self.estimates.items()},
            {method: total / self.added for method, total in self.differences.items()},
        )
        return {MEAN: mean, **({POOLED: score(self.tallies, metric, reference)} if self.tallies else {})}


def _add(totals: dict[str, Addend], addends: Mapping[str, Addend]) -> None:
    for name, addend in addends.items():
        totals[name] = totals[name] + addend if name in totals else addend
