"""The rows of one data set: report.tsv, comparison.tsv, confusions.tsv, curves.tsv."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from polysharp.config.sample_sheet import Dataset
from polysharp.config.settings import Configuration
from polysharp.core.paths import Paths
from polysharp.core.terms import REPORTED
from polysharp.data.prepared import read_labels
from polysharp.evaluation.estimates import Predictions, Tally, score, tallies
from polysharp.evaluation.metrics import NO_LABEL, confusions
from polysharp.evaluation.ranking import Ranking
from polysharp.evaluation.statistics import compare
from polysharp.reporting.rows import (
    Row,
    dataset_columns,
    environment_of,
    interval_columns,
    mean,
    mean_and_sd,
    reference_slug,
    score_columns,
)
from polysharp.results.runs import read_history, read_predictions
from polysharp.results.status import Run, best_run, validation_score


class DatasetTables:
    """The rows of one data set."""

    def __init__(
        self,
        dataset: Dataset,
        methods: Sequence[str],
        configuration: Configuration,
        paths: Paths,
        runs: Sequence[Run],
    ) -> None:
        """Read the predictions of `runs`, those of the data set."""
        self.dataset, self.paths = dataset, paths
        self.metric, self.reference = configuration.selection_metric, reference_slug(configuration)
        self.draws = configuration.report.bootstrap
        self.by_method = {m: [run for run in runs if run.cell.method == m] for m in methods}
        self.complete = {
            m: done for m, of_method in self.by_method.items() if (done := [r for r in of_method if r.report])
        }
        self.is_complete = all(run.report for run in runs)
        place = {seed: number for number, seed in enumerate(configuration.seeds)}
        self.best = {
            m: best_run(sorted(of_method, key=lambda run: place.get(run.cell.seed, 0)), self.metric)
            for m, of_method in self.by_method.items()
        }
        self.labels = read_labels(paths.data(dataset.path)) if self.complete else []
        self.predictions = {method: self._read(done) for method, done in self.complete.items()}
        self.tallies = {split: self._tallies(split) for split in REPORTED}
        comparable = {
            method: tally
            for method, tally in self.tallies["test"].items()
            if len(self.complete[method]) == len(self.by_method[method])
        }
        self.scored = score(comparable, self.metric, self.reference)
        # A soup is one classifier that cannot be tested: ranked, it would tie with every method.
        ranked = {m: tally for m, tally in comparable.items() if self.by_method[m][0].cell.kind != "soup"}
        self.ranking = (
            Ranking.of(ranked, self.metric, self._are_testable)
            if self.is_complete and len(ranked) > 1
            else None
        )

    def _read(self, runs: Sequence[Run]) -> dict[str, Predictions]:
        """Return the predictions of a method's seeds, by split."""
        of_seeds = [read_predictions(self.paths.run(run.cell.path), self.labels) for run in runs]
        return {split: [of_seed[split] for of_seed in of_seeds] for split in of_seeds[0]}

    def _tallies(self, split: str) -> dict[str, Tally]:
        """Return the counts of the methods that have predictions for a split."""
        predictions = {
            method: of_splits[split] for method, of_splits in self.predictions.items() if split in of_splits
        }
        compared = split == "test" and len(self.complete) > 1
        return tallies(predictions, self.draws, compared) if predictions else {}

    def _identity(self, method: str) -> Row:
        present, expected = len(self.complete.get(method, [])), len(self.by_method[method])
        return {
            **dataset_columns(self.dataset),
            "method": method,
            "status": "complete" if present == expected else "partial" if present else "missing",
            "n_seeds": present,
            "n_expected": expected,
        }

    def report(self) -> Iterator[Row]:
        """Yield the rows of report.tsv; a method without any run gets one per split that says so."""
        for method in self.by_method:
            best = self.best[method]
            for split in REPORTED:
                identity = {**self._identity(method), "split": split}
                if best is None:
                    yield {**identity, "row_type": "average", "row": "macro avg"}
                    continue
                if split not in best.report["report"]:  # predictions from outside may be of test alone
                    continue
                rows = self.tallies[split][method].rows
                of_labels = rows["(labels)"].interval()
                for index, row in enumerate(best.report["report"][split]):
                    is_label = row["row_type"] == "label"
                    low, high = of_labels[:, index] if is_label else rows[row["row"]].interval()
                    seeds = [run.report["report"][split][index] for run in self.complete[method]]
                    yield {
                        **identity,
                        "row_type": row["row_type"],
                        "row": row["row"],
                        **mean_and_sd("precision", [seed["precision"] for seed in seeds]),
                        **mean_and_sd("recall", [seed["recall"] for seed in seeds]),
                        **mean_and_sd("f1", [seed["f1"] for seed in seeds]),
                        **interval_columns("f1", low, high),
                        "support": row["support"],
                        "best_seed": best.cell.seed,
                        "best_f1": row["f1"],
                    }

    def comparison(self) -> Iterator[Row]:
        """Yield the rows of comparison.tsv, one per method."""
        for method in self.by_method:
            row = {**self._identity(method), "metric": self.metric, "reference": self.reference}
            row["coverage"] = row["n_seeds"] / row["n_expected"]
            best = self.best[method]
            if best is None:
                yield row
                continue
            reports = [run.report for run in self.complete[method]]
            yield {
                **row,
                "n_test": len(self.predictions[method]["test"][0][0]),
                **mean_and_sd(
                    "validation", [validation_score(run.report, self.metric) for run in self.complete[method]]
                ),
                **score_columns("test", self.tallies["test"][method].estimate(self.metric)),
                "accuracy_mean": float(np.mean([r["scores"]["test"]["accuracy"] for r in reports])),
                "ece_mean": mean([r.get("ece", {}).get("test") for r in reports]),
                "unmapped": reports[0].get("unmapped", {}).get("test"),
                "best_seed": best.cell.seed,
                "untrained": _untrained(reports),
                "environments": self._environments(method),
                **self._compared(method),
            }

    def _compared(self, method: str) -> Row:
        """Return the difference to the reference."""
        if self.reference == method:
            return {"verdict": "reference"}
        if method not in self.scored.differences:
            return {}
        testable = self._are_testable(method, str(self.reference))
        return {"_difference": compare(self.scored.differences[method], testable)}

    def _are_testable(self, *methods: str) -> bool:
        """Whether the seeds tell how much they vary: a random method with a single seed does not."""
        cells = [[run.cell for run in self.by_method[method]] for method in methods]
        return all(len(of_method) > 1 or not of_method[0].random for of_method in cells)

    def _environments(self, method: str) -> int:
        runs = [*self.complete[method], *self.complete.get(str(self.reference), [])]
        return len({environment for run in runs if (environment := environment_of(run))})

    def confusions(self) -> Iterator[Row]:
        """Yield the rows of confusions.tsv."""
        place = {name: number for number, name in enumerate([NO_LABEL, *self.labels])}
        for method, of_splits in self.predictions.items():
            for split, pairs in of_splits.items():
                total: Counter[tuple[str, str]] = Counter()
                for pair in pairs:
                    total.update(confusions(pair.truth, pair.predicted, self.labels))
                for true, predicted in sorted(total, key=lambda pair: (place[pair[0]], place[pair[1]])):
                    yield {
                        **self._identity(method),
                        "split": split,
                        "true": true,
                        "predicted": predicted,
                        "texts_mean": total[true, predicted] / len(pairs),
                    }

    def curves(self) -> Iterator[Row]:
        """Yield the rows of curves.tsv."""
        name = f"validation_{self.metric}"
        for method, runs in self.complete.items():
            history = [entry for run in runs for entry in read_history(self.paths.run(run.cell.path))]
            for epoch in sorted({entry["epoch"] for entry in history if "epoch" in entry}):
                entries = [entry for entry in history if entry.get("epoch") == epoch]
                yield {
                    **self._identity(method),
                    "epoch": epoch,
                    "metric": self.metric,
                    **mean_and_sd("loss", [entry.get("train_loss") for entry in entries]),
                    **mean_and_sd("validation", [entry.get(name) for entry in entries]),
                    "kept": sum(epoch in run.report["epochs"] for run in runs),
                    "n_seeds": len(entries),
                }


def _untrained(reports: Sequence[Mapping[str, Any]]) -> int | None:
    """Return how many seeds kept the state before training; None for a method without epochs."""
    epochs = [epochs for report in reports if (epochs := report.get("epochs"))]
    return epochs.count([0]) if epochs else None
