"""Show how much soups vary, from bench/keep.py: those of disjoint sets of seeds, beside single seeds.

Trained are, apart from seeds 1 to 3, sets such as `--seeds 4 5 6` and `--seeds 7 8 9` on some data sets.
"""

from __future__ import annotations

import argparse

import numpy as np
import polars as pl
from keep import METRIC, STORED, Trained, bench_parser, show

from polysharp.evaluation.metrics import scores

STATES = {"last": "last epoch", "mean of 2": "mean of 2", "mean of 3": "mean of 3"}
COLUMNS = [
    "dataset",
    "kept",
    "seeds",
    "mean",
    "sd",
    "soups",
    "mean_of_soups",
    "sd_of_soups",
    "lowest",
    "highest",
]


def main(arguments: argparse.Namespace) -> None:
    rows = []
    first = f"{arguments.method}-{arguments.epochs}"
    for file in sorted(arguments.study.glob(f"{STORED}/*/*/*/{first}.npz")):
        sets = [
            Trained(path, arguments.study) for path in (file, *sorted(file.parent.glob(f"{first}-seeds-*")))
        ]
        if len(sets) == 1:
            continue
        for kept, rule in STATES.items():
            seeds = [scores(*predicted["test"])[METRIC] for one in sets for predicted in one.chosen()[rule]]
            soups = [scores(*one.predicted("soup", kept)["test"])[METRIC] for one in sets]
            of_soups = [np.mean(soups), np.std(soups, ddof=1), min(soups), max(soups)]
            of_seeds = [len(seeds), np.mean(seeds), np.std(seeds, ddof=1)]
            rows.append([str(sets[0].dataset), kept, *of_seeds, len(soups), *of_soups])
    table = pl.DataFrame(rows, schema=COLUMNS, orient="row")
    show(table, arguments.output)


if __name__ == "__main__":
    parser = bench_parser(__doc__)
    parser.add_argument("--method", default="sam", choices=["sam", "adamw"])
    main(parser.parse_args())
