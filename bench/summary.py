"""Summarise a study over its data sets: the mean of every method's differences to the reference.

Intervals and tests are those of docs/statistics.md. Data sets with as many test texts have the same
resamples: SIB-200's languages are translations of the same sentences, whose errors go together. Data sets
count alike, and are not resampled. Tasks are summarised apart, too. Only data sets on which all methods
are complete are taken.
"""

from __future__ import annotations

import argparse
import sys
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from polysharp.core.files import read_json
from polysharp.data.prepared import read_prepared
from polysharp.evaluation.estimates import Tally
from polysharp.evaluation.metrics import scores
from polysharp.evaluation.statistics import compare
from polysharp.results.runs import read_predictions

Scores = dict[str, dict[str, Any]]  # by method: values by seed, and the counts on test
DRAWS = 2000
COLUMNS = ["datasets", "method", "n_datasets", "n_seeds", "validation", "test", "accuracy", "difference",
           "ci_low", "ci_high", "p_value", "seconds"]  # fmt: skip


def read(results: Path, dataset: Path) -> Scores:
    """Return, for every method on a data set, its scores by seed, and its counts on test."""
    data = read_prepared(results / "data" / dataset)
    by_method = {
        folder.name: sorted(folder.glob("seed-*/report.json"))
        for folder in sorted((results / "runs" / dataset).glob("*"))
    }
    by_method = {method: reports for method, reports in by_method.items() if reports}
    read: Scores = {}
    for method, reports in by_method.items():
        seeds = [read_predictions(path.parent, data.labels) for path in reports]
        by_seed = {split: [scores(*seed[split]) for seed in seeds] for split in ("validation", "test")}
        read[method] = {
            **{split: np.array([s["macro_f1"] for s in of_split]) for split, of_split in by_seed.items()},
            "accuracy": np.array([s["accuracy"] for s in by_seed["test"]]),
            "seconds": np.array([read_json(path.parent / "costs.json")["seconds"] for path in reports]),
            "tally": Tally.of([seed["test"] for seed in seeds], DRAWS),
        }
    return read


def summarise(name: str, reads: list[Scores], reference: str) -> list[list[object]]:
    """Return a row per method: means over data sets, and the difference to the reference."""
    rows: list[list[object]] = []
    for method in reads[0]:

        def mean(column: str, method: str = method) -> float:
            return float(np.mean([one[method][column].mean() for one in reads]))

        n_seeds = min(len(one[method]["test"]) for one in reads)
        row = [name, method, len(reads), n_seeds, mean("validation"), mean("test"), mean("accuracy")]
        if method == reference:
            rows.append([*row, None, None, None, None, mean("seconds")])
            continue
        differences = [one[method]["tally"].minus(one[reference]["tally"], "macro_f1") for one in reads]
        found = compare(reduce(add, differences) / len(reads), testable=True)
        rows.append([*row, found.difference, found.low, found.high, found.p_value, mean("seconds")])
    return rows


def complete(datasets: dict[Path, Scores]) -> dict[Path, Scores]:
    """Return the data sets on which every method has as many seeds as it has anywhere."""
    expected: dict[str, int] = {}
    for methods in datasets.values():
        for method, found in methods.items():
            expected[method] = max(expected.get(method, 0), len(found["test"]))
    return {
        dataset: methods
        for dataset, methods in datasets.items()
        if {method: len(found["test"]) for method, found in methods.items()} == expected
    }


def main(arguments: argparse.Namespace) -> None:
    results = arguments.study / "results"
    folders = [path.parent.relative_to(results / "data") for path in results.glob("data/*/*/*/labels.json")]
    datasets = complete({dataset: read(results, dataset) for dataset in sorted(folders)})
    if not datasets:
        sys.exit(f"{results}: no data set on which every method is complete yet")
    groups = {"all": list(datasets.values())}
    for task in sorted({dataset.parts[0] for dataset in datasets}):
        groups[task] = [methods for dataset, methods in datasets.items() if dataset.parts[0] == task]
    rows = [row for name, reads in groups.items() for row in summarise(name, reads, arguments.reference)]
    table = pl.DataFrame(rows, schema=COLUMNS, orient="row")
    if arguments.output:
        table.write_csv(arguments.output, separator="\t", float_precision=4)
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=160, float_precision=3):
        print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="the folder in which Snakemake ran")
    parser.add_argument("--reference", required=True, help="method that the others are compared with")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the table there, too")
    main(parser.parse_args())
