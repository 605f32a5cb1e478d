"""The tables of a study: report.tsv, comparison.tsv, runs.tsv, costs.tsv."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polysharp.configuration import Configuration, Metric
from polysharp.data import LABELS, read_prepared
from polysharp.files import read_json, sha256, write_json
from polysharp.labels import Indicators
from polysharp.matrix import Cell, Matrix
from polysharp.paths import Paths
from polysharp.runs import COSTS, REPORTED, read_predictions, read_report
from polysharp.sample_sheet import Dataset
from polysharp.slugs import hub_slug, model_slug
from polysharp.statistics import Bootstrap, Difference, adjusted, interval, paired_difference, verdict
from polysharp.tsv import write_table

TABLES = ("report.tsv", "comparison.tsv", "runs.tsv", "costs.tsv")
MANIFEST = "manifest.json"
CELL = ["task", "language", "label_type", "method"]
HEADLINE: Mapping[Metric, str] = {
    "macro_f1": "macro avg",
    "micro_f1": "micro avg",
    "weighted_f1": "weighted avg",
    "accuracy": "accuracy",
}
REPORT_COLUMNS = [
    *CELL, "split", "row_type", "row",
    "precision_mean", "precision_sd", "recall_mean", "recall_sd",
    "f1_mean", "f1_sd", "f1_ci_low", "f1_ci_high",
    "support", "n_seeds", "n_expected", "status", "best_seed", "best_f1",
]  # fmt: skip
COMPARISON_COLUMNS = [
    *CELL, "status", "n_seeds", "n_expected", "n_test", "metric",
    "validation_mean", "validation_sd", "test_mean", "test_sd", "test_ci_low", "test_ci_high",
    "accuracy_mean",
    "reference", "difference", "difference_ci_low", "difference_ci_high", "p_value", "p_adjusted", "verdict",
    "best_seed",
]  # fmt: skip
RUNS_COLUMNS = [
    *CELL, "seed", "status", "reason",
    *(f"{split}_{metric}" for split in REPORTED for metric in HEADLINE),
    "best_epoch", "thresholds", "model", "model_revision", "model_sha256", "data_sha256",
    "determinism", "code_sha256",
]  # fmt: skip
COSTS_COLUMNS = [*CELL, "seed", "seconds", "memory_mb", "gpu", "gpu_memory_mb", "host"]


def failures(cell: Cell, paths: Paths) -> list[Path]:
    """Return where the reasons lie for which a cell can be missing, the nearest first."""
    steps = [f"runs/{cell.path}", f"data/{cell.dataset.path}"]
    if cell.dataset.hub is not None:
        steps.append(f"sources/{hub_slug(cell.dataset.hub)}")
    if cell.kind != "tfidf":  # which needs no model
        steps.append(f"models/{model_slug(cell.dataset.model)}")
    return [paths.work / step / "failure.json" for step in steps]


@dataclass(frozen=True)
class Run:
    """What is known of a cell: its report, or why there is none."""

    cell: Cell
    status: str  # complete | failed | missing
    reason: str
    report: Mapping[str, Any]


def read_run(cell: Cell, paths: Paths) -> Run:
    """Return what is known of a cell. A report made from other settings or data counts as missing."""
    for path in failures(cell, paths):
        if path.is_file():
            return Run(cell, "failed", read_json(path)["reason"], {})
    report = read_report(paths.run(cell.path))
    if report is None:
        return Run(cell, "missing", "not trained yet, or killed; see the log", {})
    if tuple(f"{key}={json.dumps(value)}" for key, value in report["settings"].items()) != cell.settings:
        return Run(cell, "missing", "trained with other settings; not yet again with these", {})
    if (paths.data(cell.dataset.path) / LABELS).is_file() and report["data_sha256"] != _data_sha256(
        cell, paths
    ):
        return Run(cell, "missing", "trained on other data; not yet again on these", {})
    return Run(cell, "complete", "", report)


def _data_sha256(cell: Cell, paths: Paths) -> str:
    return read_prepared(paths.data(cell.dataset.path)).sha256


def best_run(runs: Iterable[Run], metric: Metric) -> Run | None:
    """Return the run that is best on validation; of equally good ones the first."""
    complete = [run for run in runs if run.report]
    return max(complete, key=lambda run: run.report["scores"]["validation"][metric], default=None)


def left_at_the_start(runs: Sequence[Run]) -> list[str]:
    """Return a line per method of which cells were no better after any epoch than before the first."""
    lines = []
    for method in dict.fromkeys(run.cell.method for run in runs if run.cell.kind == "finetune"):
        of_method = [run for run in runs if run.cell.method == method and run.report]
        kept = sum(run.report.get("best_epoch") == 0 for run in of_method)
        if kept:
            lines.append(
                f"{method}: in {kept} of {len(of_method)} cells no epoch was better on validation than the "
                "state before training, which is kept (best_epoch 0); other settings may train better"
            )
    return lines


def write_tables(matrix: Matrix, configuration: Configuration, paths: Paths) -> list[Run]:
    """Write all tables from what exists, and return all runs, in the order of the tables.

    ``manifest.json``, which names the tables with their SHA-256, is written only when every cell is
    complete, and removed otherwise.
    """
    (paths.results / MANIFEST).unlink(missing_ok=True)
    runs = [read_run(cell, paths) for cell in sorted(matrix.cells, key=_order(matrix))]
    report: list[dict[str, Any]] = []
    comparison: list[dict[str, Any]] = []
    for dataset in sorted(matrix.datasets, key=lambda d: (d.task, d.language, d.label_type)):
        block = _DatasetTables(
            dataset, matrix, configuration, paths, [r for r in runs if r.cell.dataset == dataset]
        )
        report += block.report()
        comparison += block.comparison()
    _adjust(comparison)
    contents = {
        "report.tsv": (report, REPORT_COLUMNS),
        "comparison.tsv": (comparison, COMPARISON_COLUMNS),
        "runs.tsv": ([_runs_row(run) for run in runs], RUNS_COLUMNS),
        "costs.tsv": ([_costs_row(run, paths) for run in runs], COSTS_COLUMNS),
    }
    for name, (rows, columns) in contents.items():
        write_table(rows, columns, paths.results / name)
    if all(run.status == "complete" for run in runs):
        sums = {name: sha256(paths.results / name) for name in TABLES if name != "costs.tsv"}
        write_json(paths.results / MANIFEST, {"sha256": sums})
    return runs


def _order(matrix: Matrix) -> Any:
    def key(cell: Cell) -> tuple[Any, ...]:
        data = cell.dataset
        return data.task, data.language, data.label_type, matrix.methods.index(cell.method), cell.seed

    return key


class _DatasetTables:
    """The rows of one data set in report.tsv and comparison.tsv."""

    def __init__(
        self,
        dataset: Dataset,
        matrix: Matrix,
        configuration: Configuration,
        paths: Paths,
        runs: Sequence[Run],
    ) -> None:
        self.dataset, self.configuration, self.paths = dataset, configuration, paths
        self.metric: Metric = configuration.selection_metric
        self.by_method = {m: [r for r in runs if r.cell.method == m] for m in matrix.methods}
        self.labels: list[str] = []
        self.sizes: dict[str, int] = {}
        complete = [run for run in runs if run.report]
        if complete:
            data = read_prepared(paths.data(dataset.path))
            self.labels = data.labels
            self.sizes = {split: len(data.split(split)) for split in REPORTED}
        self.draws = {
            split: {
                method: self._bootstrap(split, [run for run in of_method if run.report])
                for method, of_method in self.by_method.items()
                if any(run.report for run in of_method)
            }
            for split in REPORTED
        }

    def _bootstrap(self, split: str, runs: Sequence[Run]) -> dict[str, np.ndarray]:
        bootstrap = Bootstrap(
            self.sizes[split],
            max(len(of_method) for of_method in self.by_method.values()),
            self.configuration.report.bootstrap,
            f"{self.dataset.path}/{split}",
        )
        predictions: list[tuple[Indicators, Indicators]] = [
            read_predictions(self.paths.run(run.cell.path), split, self.labels) for run in runs
        ]
        return bootstrap.rows(predictions, self.dataset.label_type)

    def _identity(self, method: str) -> dict[str, Any]:
        runs = self.by_method[method]
        complete = sum(1 for run in runs if run.report)
        status = "complete" if complete == len(runs) else "partial" if complete else "missing"
        data = self.dataset
        return {
            **dict(zip(CELL, (data.task, data.language, data.label_type, method), strict=True)),
            "status": status,
            "n_seeds": complete,
            "n_expected": len(runs),
        }

    def report(self) -> list[dict[str, Any]]:
        """Return the rows of report.tsv; a method without any run gets one that says so."""
        rows: list[dict[str, Any]] = []
        for method, runs in self.by_method.items():
            complete = [run for run in runs if run.report]
            best = best_run(runs, self.metric)
            for split in REPORTED:
                if best is None:
                    shown = {"row_type": "average", "row": "macro avg"}
                    rows.append({**self._identity(method), "split": split, **shown})
                    continue
                for index, row in enumerate(best.report["report"][split]):
                    of_seeds = [run.report["report"][split][index] for run in complete]
                    rows.append(
                        {
                            **self._identity(method),
                            "split": split,
                            "row_type": row["row_type"],
                            "row": row["row"],
                            **_mean_and_sd("precision", [seed["precision"] for seed in of_seeds]),
                            **_mean_and_sd("recall", [seed["recall"] for seed in of_seeds]),
                            **_mean_and_sd("f1", [seed["f1"] for seed in of_seeds]),
                            **_interval(self.draws[split][method], row, index),
                            "support": row["support"],
                            "best_seed": best.cell.seed,
                            "best_f1": row["f1"],
                        }
                    )
        return rows

    def comparison(self) -> list[dict[str, Any]]:
        """Return the rows of comparison.tsv, one per method."""
        reference = self.configuration.report.reference
        return [self._compared(method, reference) for method in self.by_method]

    def _compared(self, method: str, reference: str | None) -> dict[str, Any]:
        row: dict[str, Any] = {**self._identity(method), "metric": self.metric, "reference": reference}
        best = best_run(self.by_method[method], self.metric)
        if best is None:
            return row
        complete = [run.report["scores"] for run in self.by_method[method] if run.report]
        validation = [scores["validation"][self.metric] for scores in complete]
        test = [scores["test"][self.metric] for scores in complete]
        draws = self._headline(method)
        low, high = interval(draws)
        row |= {
            "n_test": self.sizes["test"],
            **_mean_and_sd("validation", validation),
            **_mean_and_sd("test", test),
            "test_ci_low": low,
            "test_ci_high": high,
            "accuracy_mean": float(np.mean([scores["test"]["accuracy"] for scores in complete])),
            "best_seed": best.cell.seed,
        }
        if reference == method:
            row["verdict"] = "reference"
        elif reference is not None and reference in self.draws["test"]:
            others = [run.report["scores"] for run in self.by_method[reference] if run.report]
            estimate = float(np.mean(test) - np.mean([scores["test"][self.metric] for scores in others]))
            row["_difference"] = paired_difference(estimate, draws, self._headline(reference))
        return row

    def _headline(self, method: str) -> np.ndarray:
        name = HEADLINE[self.metric]
        if name == "micro avg" and self.dataset.label_type == "single":
            name = "accuracy"  # they are the same for single labels
        return self.draws["test"][method][name]


def _mean_and_sd(name: str, values: Sequence[float | None]) -> dict[str, float | None]:
    numbers = [value for value in values if value is not None]
    return {
        f"{name}_mean": float(np.mean(numbers)) if numbers else None,
        f"{name}_sd": float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None,
    }


def _interval(draws: Mapping[str, np.ndarray], row: Mapping[str, Any], index: int) -> dict[str, float]:
    of_row = draws["(labels)"][:, index] if row["row_type"] == "label" else draws[row["row"]]
    low, high = interval(of_row)
    return {"f1_ci_low": low, "f1_ci_high": high}


def _adjust(comparison: list[dict[str, Any]]) -> None:
    """Fill in differences and verdicts, with p-values adjusted over all comparisons of the table."""
    differences: dict[str, Difference] = {
        str(index): row.pop("_difference") for index, row in enumerate(comparison) if "_difference" in row
    }
    p_values = adjusted({index: difference.p_value for index, difference in differences.items()})
    for index, difference in differences.items():
        comparison[int(index)] |= {
            "difference": difference.estimate,
            "difference_ci_low": difference.low,
            "difference_ci_high": difference.high,
            "p_value": difference.p_value,
            "p_adjusted": p_values[index],
            "verdict": verdict(difference, p_values[index]),
        }


def _runs_row(run: Run) -> dict[str, Any]:
    report = run.report
    row: dict[str, Any] = {
        **_cell(run.cell),
        "seed": run.cell.seed,
        "status": run.status,
        "reason": run.reason,
    }
    if not report:
        return row
    model = report.get("model") or {}
    thresholds = report["thresholds"]
    return row | {
        **{f"{split}_{metric}": report["scores"][split][metric] for split in REPORTED for metric in HEADLINE},
        "best_epoch": report.get("best_epoch"),
        "thresholds": thresholds and " ".join(f"{value:.6f}" for value in thresholds),
        "model": model.get("name"),
        "model_revision": model.get("revision"),
        "model_sha256": model.get("sha256"),
        "data_sha256": report["data_sha256"],
        "determinism": report.get("determinism"),
        "code_sha256": report["code_sha256"],
    }


def _costs_row(run: Run, paths: Paths) -> dict[str, Any]:
    path = paths.run(run.cell.path) / COSTS
    costs = read_json(path) if run.report and path.is_file() else {}
    return {**_cell(run.cell), "seed": run.cell.seed, **costs}


def _cell(cell: Cell) -> dict[str, Any]:
    data = cell.dataset
    return dict(zip(CELL, (data.task, data.language, data.label_type, cell.method), strict=True))
