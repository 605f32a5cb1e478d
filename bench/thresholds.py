"""Score a study's multi-label predictions with other thresholds than its own: for docs/training.md.

Prints, for every method, test macro-F1, the mean over data sets and seeds: with 0.5 for every label, with
the one threshold for all that is best on validation, and with the study's own, one per label.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import polars as pl

from polysharp.core.files import read_json
from polysharp.core.labels import encode
from polysharp.evaluation.metrics import scores

CANDIDATES = np.linspace(0.05, 0.95, 91)


def scored(run: Path) -> list[float]:
    """Return a cell's test macro-F1 with 0.5, a common threshold, and its own."""
    report = read_json(run / "report.json")
    predictions = pl.read_parquet(run / "predictions.parquet")
    splits = {}
    for split in ("validation", "test"):
        rows = predictions.filter(pl.col("split") == split)
        splits[split] = encode(rows["y_true"].to_list(), report["labels"]), np.array(rows["scores"].to_list())

    def macro_f1(split: str, thresholds: float | np.ndarray) -> float:
        truth, probabilities = splits[split]
        return scores(truth, probabilities >= thresholds)["macro_f1"]

    common = max(CANDIDATES, key=lambda threshold: macro_f1("validation", threshold))
    return [macro_f1("test", chosen) for chosen in (0.5, common, np.array(report["thresholds"]))]


def main(study: Path) -> None:
    by_method: dict[str, list[list[float]]] = defaultdict(list)
    for report in sorted(study.glob("results/runs/*/*/multi/*/seed-*/report.json")):
        by_method[report.parts[-3]].append(scored(report.parent))
    print("method\t0.5\tcommon\tper label")
    for method, values in by_method.items():
        print(method, *(f"{mean:.3f}" for mean in np.mean(values, axis=0)), sep="\t")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="the folder in which Snakemake ran")
    main(parser.parse_args().study)
