"""Compare rules by which one classifier of a data set is chosen on its validation texts, from bench/keep.py.

Candidates are the seeds of the methods, and their soups, all with the same state kept. Every rule chooses one
classifier per data set, whose score on test is shown with its difference to the plain maximum.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from keep import METRIC, STORED, Trained, bench_parser, show

from polysharp.core.labels import Predicted
from polysharp.evaluation.estimates import Tally

DRAWS = 2000
STATES = {"best": "best epoch", "last": "last epoch", "mean of 2": "mean of 2", "mean of 3": "mean of 3"}
REFERENCE = "highest"
COLUMNS = ["rule", "n_datasets", "soups", "test", "difference", "ci_low", "ci_high"]


class Candidate:
    """A classifier: its method, whether it is a soup, and what it predicts."""

    def __init__(self, method: str, is_soup: bool, predicted: dict[str, Predicted]) -> None:
        self.method, self.is_soup = method, is_soup
        self.validation = Tally.of([predicted["validation"]], DRAWS)
        self.test = Tally.of([predicted["test"]], DRAWS)

    @property
    def score(self) -> float:
        """Return the score on validation."""
        return float(self.validation.estimate(METRIC).mean)

    def behind(self, other: Candidate) -> float:
        """Return by how many standard errors another candidate is better on validation."""
        difference = other.validation.minus(self.validation, METRIC)
        error = difference.resampled.std()
        return float(difference.mean / error) if error else 0.0


def candidates(files: list[Path], study: Path, kept: str) -> list[Candidate]:
    """Return the candidates of a data set, in the order of the methods, soups after the seeds."""
    found = []
    for file in files:
        trained, method = Trained(file, study), file.stem
        rule = trained.chosen()[STATES[kept]]
        found += [Candidate(method, False, predicted) for predicted in rule]
        found.append(Candidate(method, True, trained.predicted("soup", kept)))
    return found


def highest(found: list[Candidate]) -> Candidate:
    """Return the first candidate with the highest score."""
    return max(found, key=lambda one: one.score)


def first_seed(found: list[Candidate]) -> Candidate:
    """Return the first seed of the first method."""
    return found[0]


def highest_seed(found: list[Candidate]) -> Candidate:
    """Return the highest without soups."""
    return highest([one for one in found if not one.is_soup])


def first_soup(found: list[Candidate]) -> Candidate:
    """Return the soup of the first method."""
    return next(one for one in found if one.is_soup)


def highest_soup(found: list[Candidate]) -> Candidate:
    """Return the highest of the soups."""
    return highest([one for one in found if one.is_soup])


def within(errors: float, found: list[Candidate]) -> Candidate:
    """Return the first candidate within so many standard errors of the highest, soups before seeds."""
    best = highest(found)
    close = [one for one in found if one.behind(best) <= errors]
    return next((one for one in close if one.is_soup), close[0])


def seed_within(errors: float, found: list[Candidate]) -> Candidate:
    """Return the same without soups."""
    return within(errors, [one for one in found if not one.is_soup])


def highest_mean(found: list[Candidate]) -> Candidate:
    """Return the highest seed of the method whose seeds have the highest mean."""
    seeds = [one for one in found if not one.is_soup]
    methods = dict.fromkeys(one.method for one in seeds)
    of_best = max(methods, key=lambda name: np.mean([one.score for one in seeds if one.method == name]))
    return highest([one for one in seeds if one.method == of_best])


RULES: dict[str, Callable[[list[Candidate]], Candidate]] = {
    REFERENCE: highest,
    "first seed of the first method": first_seed,
    "highest, without soups": highest_seed,
    "highest seed of the method with the highest mean": highest_mean,
    **{f"first within {e:g} errors, without soups": partial(seed_within, e) for e in (0.5, 1.0)},
    "soup of the first method": first_soup,
    "highest soup": highest_soup,
    **{f"soup, or first, within {e:g} errors": partial(within, e) for e in (0.5, 1.0, 2.0)},
}


def main(arguments: argparse.Namespace) -> None:
    study, first = arguments.study, f"{arguments.methods[0]}-{arguments.epochs}.npz"
    chosen: dict[str, list[Candidate]] = {}
    for file in sorted(study.glob(f"{STORED}/*/*/*/{first}")):
        files = [file.with_name(f"{method}-{arguments.epochs}.npz") for method in arguments.methods]
        if all(one.exists() for one in files):
            found = candidates(files, study, arguments.keep)
            for name, rule in RULES.items():
                chosen.setdefault(name, []).append(rule(found))
    rows = []
    for name, of_rule in chosen.items():
        differences = [
            one.test.minus(other.test, METRIC) for one, other in zip(of_rule, chosen[REFERENCE], strict=True)
        ]
        mean = sum(differences[1:], differences[0]) / len(differences)
        test = np.mean([one.test.estimate(METRIC).mean for one in of_rule])
        soups = sum(one.is_soup for one in of_rule)
        rows.append([name, len(of_rule), soups, test, float(mean.mean), *mean.interval()])
    table = pl.DataFrame(rows, schema=COLUMNS, orient="row")
    show(table, arguments.output)


if __name__ == "__main__":
    parser = bench_parser(__doc__)
    parser.add_argument("--methods", nargs="+", default=["sam", "adamw"], choices=["sam", "adamw"])
    parser.add_argument(
        "--keep", default="last", choices=list(STATES), help="the state that trainings end with"
    )
    main(parser.parse_args())
