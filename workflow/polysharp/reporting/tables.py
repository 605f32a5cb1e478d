"""The tables of a study, from whatever of it is there."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from polysharp.config.sample_sheet import Dataset
from polysharp.config.settings import Configuration
from polysharp.config.slugs import slug
from polysharp.config.study import Cell, Matrix
from polysharp.core import columns
from polysharp.core.columns import TABLES, dataset_of
from polysharp.core.files import read_json, sha256, write_json
from polysharp.core.paths import COSTS, Paths
from polysharp.core.terms import REPORTED
from polysharp.core.tsv import write_table
from polysharp.data.prepared import read_labels
from polysharp.evaluation.averages import Languages
from polysharp.evaluation.estimates import Predictions, Tally, score, tallies
from polysharp.evaluation.metrics import confusions
from polysharp.evaluation.ranking import Ranking, adjusted, standings, verdict
from polysharp.evaluation.statistics import Estimate, compare
from polysharp.reporting.exports import LATEX, PARQUET, write_latex, write_parquet
from polysharp.results.runs import read_history, read_predictions
from polysharp.results.status import Run, best_run, read_runs, validation_score

MANIFEST = "manifest.json"
Row = dict[str, Any]
Key = tuple[str, str, str]  # of a data set: task, language, label type


def write_tables(matrix: Matrix, configuration: Configuration, paths: Paths) -> list[Run]:
    """Write all tables from what exists, and return all runs, in the order of the tables.

    ``manifest.json``, which names the tables with their SHA-256, is written only when every cell is
    complete, and removed otherwise.
    """
    (paths.results / MANIFEST).unlink(missing_ok=True)
    cells = sorted(matrix.cells, key=_order(matrix))
    runs = read_runs(cells, configuration.selection_metric, paths)
    tables = _all_rows(matrix, configuration, paths, runs)
    for table in TABLES:
        write_table(tables[table.file], table.names, paths.results / table.file)
    write_parquet(tables[columns.COMPARISON.file], paths.results / PARQUET)
    write_latex(tables[columns.COMPARISON.file], paths.results / LATEX)
    if all(run.status == "complete" for run in runs):
        compared = [*(table.file for table in TABLES if table is not columns.COSTS), PARQUET, LATEX]
        write_json(
            paths.results / MANIFEST, {"sha256": {name: sha256(paths.results / name) for name in compared}}
        )
    return runs


def _all_rows(
    matrix: Matrix, configuration: Configuration, paths: Paths, runs: Sequence[Run]
) -> dict[str, list[Row]]:
    """Return the rows of every table by its file."""
    by_dataset: dict[Dataset, list[Run]] = defaultdict(list)
    for run in runs:
        by_dataset[run.cell.dataset].append(run)
    tables: dict[str, list[Row]] = {table.file: [] for table in TABLES}
    languages: dict[tuple[str, str], Languages] = defaultdict(Languages)
    rankings: dict[Key, Ranking] = {}
    for dataset, of_dataset in by_dataset.items():
        block = DatasetTables(dataset, matrix.methods, configuration, paths, of_dataset)
        tables[columns.REPORT.file] += block.report()
        tables[columns.COMPARISON.file] += block.comparison()
        tables[columns.CONFUSIONS.file] += block.confusions()
        tables[columns.CURVES.file] += block.curves()
        of_task = languages[dataset.task, dataset.label_type]
        of_task.expected += 1
        if block.is_complete:
            of_task.add(block.labels, block.scored)
        if block.ranking:
            rankings[dataset.task, dataset.language, dataset.label_type] = block.ranking
    tables[columns.AVERAGES.file] = list(_averages(languages, matrix, configuration))
    tables[columns.RUNS.file] = _runs_rows(runs)
    tables[columns.COSTS.file] = [_costs_row(run, paths) for run in runs]
    _judge(tables[columns.COMPARISON.file])
    _judge(tables[columns.AVERAGES.file])
    _rank(tables[columns.COMPARISON.file], rankings)
    _count_verdicts(tables[columns.AVERAGES.file], tables[columns.COMPARISON.file])
    return tables


def _reference(configuration: Configuration) -> str | None:
    """Return the reference as the cells' paths and the tables name it."""
    name = configuration.report.reference
    return None if name is None else slug(name)


def _order(matrix: Matrix) -> Any:
    def key(cell: Cell) -> tuple[Any, ...]:
        data = cell.dataset
        return data.task, data.language, data.label_type, matrix.methods.index(cell.method), cell.seed

    return key


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
        self.metric, self.reference = configuration.selection_metric, _reference(configuration)
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
        self.ranking = (
            Ranking.of(comparable, self.metric, self._are_testable)
            if self.is_complete and len(self.by_method) > 1
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
        data = self.dataset
        return {
            "task": data.task,
            "language": data.language,
            "label_type": data.label_type,
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
                        **_mean_and_sd("precision", [seed["precision"] for seed in seeds]),
                        **_mean_and_sd("recall", [seed["recall"] for seed in seeds]),
                        **_mean_and_sd("f1", [seed["f1"] for seed in seeds]),
                        **_ends("f1", low, high),
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
                **_mean_and_sd(
                    "validation", [validation_score(run.report, self.metric) for run in self.complete[method]]
                ),
                **_scored("test", self.tallies["test"][method].estimate(self.metric)),
                "accuracy_mean": float(np.mean([r["scores"]["test"]["accuracy"] for r in reports])),
                "ece_mean": _mean([r.get("ece", {}).get("test") for r in reports]),
                "unmapped": reports[0].get("unmapped", {}).get("test"),
                "best_seed": best.cell.seed,
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
        return len({environment for run in runs if (environment := _environment(run))})

    def confusions(self) -> Iterator[Row]:
        """Yield the rows of confusions.tsv."""
        for method, of_splits in self.predictions.items():
            for split, pairs in of_splits.items():
                total: Counter[tuple[str, str]] = Counter()
                for pair in pairs:
                    total.update(confusions(pair.truth, pair.predicted, self.labels))
                for (true, predicted), count in sorted(total.items()):
                    yield {
                        **self._identity(method),
                        "split": split,
                        "true": true,
                        "predicted": predicted,
                        "texts_mean": count / len(pairs),
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
                    **_mean_and_sd("loss", [entry.get("train_loss") for entry in entries]),
                    **_mean_and_sd("validation", [entry.get(name) for entry in entries]),
                    "chosen": sum(run.report["best_epoch"] == epoch for run in runs),
                    "n_seeds": len(entries),
                }


def _averages(
    languages: Mapping[tuple[str, str], Languages], matrix: Matrix, configuration: Configuration
) -> Iterator[Row]:
    """Yield the rows of averages.tsv, where there are languages to average over."""
    metric, reference = configuration.selection_metric, _reference(configuration)
    random = {cell.method: cell.random for cell in matrix.cells}
    for (task, label_type), of_task in languages.items():
        if of_task.expected < 2:
            continue
        for average, scored in of_task.averages(metric, reference).items():
            for method in matrix.methods:
                seeds = len(scored.estimates[method].observed)
                row = {
                    "task": task,
                    "label_type": label_type,
                    "method": method,
                    "average": average,
                    "languages": of_task.added,
                    "languages_expected": of_task.expected,
                    "n_seeds": seeds,
                    "n_expected": seeds,  # only complete languages are averaged
                    "metric": metric,
                    **_scored("test", scored.estimates[method]),
                    "reference": reference,
                }
                if method == reference:
                    row["verdict"] = "reference"
                elif method in scored.differences:
                    testable = len(configuration.seeds) > 1 or not (random[method] or random[str(reference)])
                    row["_difference"] = compare(scored.differences[method], testable)
                yield row


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _mean_and_sd(name: str, values: Sequence[float | None]) -> Row:
    known = [value for value in values if value is not None]
    return {
        f"{name}_mean": _mean(known),
        f"{name}_sd": float(np.std(known, ddof=1)) if len(known) > 1 else None,
    }


def _scored(name: str, estimate: Estimate) -> Row:
    return {**_mean_and_sd(name, estimate.observed.tolist()), **_ends(name, *estimate.interval())}


def _ends(name: str, low: float, high: float) -> Row:
    """Return an interval; none where no resample differs from another, as where every text is right."""
    ends = (float(low), float(high)) if low < high else (None, None)
    return dict(zip((f"{name}_ci_low", f"{name}_ci_high"), ends, strict=True))


def _judge(rows: Sequence[Row]) -> None:
    """Fill in differences and verdicts, with p-values adjusted over all comparisons of the table."""
    compared = [row for row in rows if "_difference" in row]
    p_values = adjusted([row["_difference"].p_value for row in compared])
    for row, p_adjusted in zip(compared, p_values, strict=True):
        found = row["_difference"]
        row |= {
            "difference": found.difference,
            "difference_ci_low": found.low,
            "difference_ci_high": found.high,
            "p_value": found.p_value,
            "p_adjusted": p_adjusted,
            "verdict": verdict(found, p_adjusted),
        }


def _rank(rows: Sequence[Row], rankings: Mapping[Key, Ranking]) -> None:
    """Fill in which methods are best, or tie for it."""
    of_dataset = dict(zip(rankings, standings(list(rankings.values())), strict=True))
    for row in rows:
        row["standing"] = of_dataset.get(dataset_of(row), {}).get(row["method"])


def _count_verdicts(averages: Sequence[Row], comparison: Sequence[Row]) -> None:
    """Count in how many languages a method is better, not told apart, worse."""
    names = ("task", "label_type", "method")
    counts = Counter((*(row[name] for name in names), row.get("verdict")) for row in comparison)
    for row in averages:
        if "_difference" in row:
            of_method = [row[name] for name in names]
            for name, found in (("wins", "better"), ("ties", "tie"), ("losses", "worse")):
                row[name] = counts[*of_method, found]


def _runs_rows(runs: Sequence[Run]) -> list[Row]:
    environments = Counter(environment for run in runs if (environment := _environment(run)))
    usual = environments.most_common(1)[0][0] if environments else ()
    return [_runs_row(run, usual) for run in runs]


def _environment(run: Run) -> tuple[str, ...]:
    """Return the parts of a run's fingerprint but for the arithmetic, which is a setting of its method."""
    return tuple((run.report.get("determinism") or "").split(", ")[:-1])


def _runs_row(run: Run, usual: Sequence[str]) -> Row:
    report = run.report
    row = {**_cell(run.cell), "status": run.status, "reason": run.reason}
    if not report:
        return row
    model = report.get("model") or {}
    return row | {
        **{
            f"{split}_{metric}": value
            for split, scores in report["scores"].items()
            for metric, value in scores.items()
        },
        **{f"{split}_ece": report.get("ece", {}).get(split) for split in REPORTED},
        "unmapped": report.get("unmapped", {}).get("test"),
        "best_epoch": report.get("best_epoch"),
        "thresholds": _thresholds(report["labels"], report["thresholds"]),
        "model": model.get("name"),
        "model_revision": model.get("revision"),
        "model_sha256": model.get("sha256"),
        "data_sha256": report["data_sha256"],
        "determinism": report.get("determinism"),
        "differs": ", ".join(part for part in _environment(run) if part not in usual),
        "code_sha256": report["code_sha256"],
    }


def _thresholds(labels: Sequence[str], thresholds: Sequence[float] | None) -> str | None:
    if thresholds is None:
        return None
    rounded = {label: round(value, 6) for label, value in zip(labels, thresholds, strict=True)}
    return json.dumps(rounded, ensure_ascii=False)


def _costs_row(run: Run, paths: Paths) -> Row:
    path = paths.run(run.cell.path) / COSTS
    costs = read_json(path) if run.report and path.is_file() else {}
    hours = {"gpu_hours": costs["seconds"] / 3600 if costs["gpu"] else 0.0} if "gpu" in costs else {}
    return {**_cell(run.cell), **costs, **hours}


def _cell(cell: Cell) -> Row:
    data = cell.dataset
    return {
        "task": data.task,
        "language": data.language,
        "label_type": data.label_type,
        "method": cell.method,
        "seed": cell.seed,
    }
