"""Score a study's multi-label predictions with other thresholds than its own: for docs/training.md.

Prints for every method the test macro-F1, the mean over data sets and seeds, and its difference to one
threshold per label, which is the default. With --state, what bench/keep.py trained is scored. The texts must
not be those of a reported test split.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import polars as pl
from keep import STORED, Trained
from numpy.typing import NDArray

from polysharp.core.files import read_json
from polysharp.core.labels import Indicators, Predicted, Scores, encode
from polysharp.evaluation.decisions import probabilities
from polysharp.evaluation.estimates import Tally
from polysharp.evaluation.metrics import scores
from polysharp.evaluation.thresholds import tune_thresholds

CANDIDATES = np.linspace(0.05, 0.95, 91)  # for a threshold that all labels share
PRIOR = 10  # texts with a label that count as much as the common threshold
DEFAULT = "one per label (the default)"
Split = tuple[Indicators, Scores]  # true labels and probabilities (texts, labels)


def read(run: Path) -> dict[str, Split]:
    """Return the true labels and probabilities of a cell, by split."""
    labels = read_json(run / "report.json")["labels"]
    predictions = pl.read_parquet(run / "predictions.parquet")
    return {
        split: (encode(rows["y_true"].to_list(), labels), np.array(rows["scores"].to_list()))
        for split in ("validation", "test")
        for rows in [predictions.filter(pl.col("split") == split)]
    }


def common(validation: Split) -> float:
    """Return the threshold for all labels with the highest macro-F1."""
    truth, probable = validation
    return float(max(CANDIDATES, key=lambda threshold: scores(truth, probable >= threshold)["macro_f1"]))


def per_label(validation: Split) -> NDArray[np.float64]:
    """Return the threshold of every label with the highest F1 (labels,)."""
    truth, probable = validation
    return np.array(tune_thresholds(probable, truth))


def smoothed(validation: Split) -> NDArray[np.float64]:
    """Return thresholds per label, the nearer to the common one the fewer texts have the label (labels,)."""
    positive = validation[0].sum(0)
    return (positive * per_label(validation) + PRIOR * common(validation)) / (positive + PRIOR)


def tallies(seeds: list[dict[str, Split]]) -> dict[str, Tally]:
    """Return the counts on test of a method on a data set, for every way to choose thresholds."""
    together = tuple(
        np.concatenate(parts) for parts in zip(*(seed["validation"] for seed in seeds), strict=True)
    )
    pooled, pooled_common = per_label(together), common(together)
    ways = {
        "0.5": lambda validation: 0.5,
        "one for all labels": common,
        DEFAULT: per_label,
        "one per label, smoothed": smoothed,
        "one per label, from all seeds together": lambda validation: pooled,
        "one for all labels, from all seeds together": lambda validation: pooled_common,
    }
    return {
        name: Tally.of(
            [Predicted(seed["test"][0], seed["test"][1] >= choose(seed["validation"])) for seed in seeds],
            2000,
        )
        for name, choose in ways.items()
    }


def of_state(study: Path, state: str) -> Iterator[tuple[str, list[dict[str, Split]]]]:
    """Yield for every multi-label training of bench/keep.py its method, and the splits of every seed."""
    for file in sorted(study.glob(f"{STORED}/*/*/multi/*.npz")):
        trained = Trained(file, study)
        seeds = [trained.logits(seed, state) for seed in trained.seeds]
        yield (
            file.stem,
            [
                {
                    split: (trained.truth[split], probabilities(of_split, "multi"))
                    for split, of_split in seed.items()
                }
                for seed in seeds
            ],
        )


def of_study(study: Path) -> Iterator[tuple[str, list[dict[str, Split]]]]:
    """Yield for every multi-label data set and method of a study its name, and the splits of every seed."""
    for folder in sorted(study.glob("results/runs/*/*/multi/*")):
        if runs := sorted(folder.glob("seed-*/report.json")):
            yield folder.name, [read(report.parent) for report in runs]


def main(study: Path, state: str | None) -> None:
    by_method: dict[str, list[dict[str, Tally]]] = defaultdict(list)
    for method, seeds in of_state(study, state) if state else of_study(study):
        by_method[method].append(tallies(seeds))
    print("method\tthresholds\tdata sets\ttest\tdifference\tlow\thigh")
    for method, datasets in by_method.items():
        for name in datasets[0]:
            test = np.mean([tally[name].estimate("macro_f1").mean for tally in datasets])
            differences = [tally[name].minus(tally[DEFAULT], "macro_f1") for tally in datasets]
            mean = reduce(add, differences) / len(differences)
            low, high = mean.interval()
            figures = (f"{value:.3f}" for value in (test, float(mean.mean), low, high))
            print(method, name, len(datasets), *figures, sep="\t")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="the folder in which Snakemake ran")
    parser.add_argument("--state", help="a state of bench/keep.py, such as 'epoch 4' or 'mean of 3'")
    arguments = parser.parse_args()
    main(arguments.study, arguments.state)
