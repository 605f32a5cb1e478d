"""The tables of a study, from whatever of it is there."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from polysharp.config.published import PublishedScore
from polysharp.config.sample_sheet import Dataset
from polysharp.config.settings import Configuration
from polysharp.config.study import Cell, Matrix
from polysharp.core import columns
from polysharp.core.columns import TABLES, dataset_of
from polysharp.core.files import sha256, write_json
from polysharp.core.paths import MANIFEST, Paths
from polysharp.core.tsv import write_table
from polysharp.evaluation.averages import MEAN, Languages
from polysharp.evaluation.ranking import Ranking, adjusted, standings, verdict
from polysharp.evaluation.statistics import compare
from polysharp.reporting.costs import costs_rows
from polysharp.reporting.dataset_rows import DatasetTables
from polysharp.reporting.exports import LATEX, PARQUET, write_latex, write_parquet
from polysharp.reporting.rows import (
    Row,
    interval_columns,
    mean,
    published_row,
    reference_slug,
    score_columns,
)
from polysharp.reporting.run_rows import runs_rows
from polysharp.results.status import Run, read_runs

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
    averaged: list[PublishedScore] = []
    rankings: dict[Key, Ranking] = {}
    for dataset, of_dataset in by_dataset.items():
        block = DatasetTables(dataset, matrix.methods, configuration, paths, of_dataset)
        tables[columns.REPORT.file] += block.report()
        of_publications = [score for score in matrix.published if score.dataset == dataset]
        tables[columns.COMPARISON.file] += [
            *block.comparison(),
            *(published_row(score, configuration.selection_metric) for score in of_publications),
        ]
        tables[columns.CONFUSIONS.file] += block.confusions()
        tables[columns.CURVES.file] += block.curves()
        of_task = languages[dataset.task, dataset.label_type]
        of_task.expected += 1
        if block.is_complete:
            of_task.add(block.labels, block.scored)
            averaged += of_publications
        if block.ranking:
            rankings[dataset.task, dataset.language, dataset.label_type] = block.ranking
    tables[columns.AVERAGES.file] = list(_averages(languages, averaged, matrix, configuration))
    tables[columns.RUNS.file] = runs_rows(runs)
    tables[columns.COSTS.file] = costs_rows(runs, paths)
    _judge(tables[columns.COMPARISON.file])
    _judge(tables[columns.AVERAGES.file])
    _rank(tables[columns.COMPARISON.file], rankings)
    _count_verdicts(tables[columns.AVERAGES.file], tables[columns.COMPARISON.file])
    return tables


def _order(matrix: Matrix) -> Any:
    def key(cell: Cell) -> tuple[Any, ...]:
        data = cell.dataset
        return data.task, data.language, data.label_type, matrix.methods.index(cell.method), cell.seed

    return key


def _averages(
    languages: Mapping[tuple[str, str], Languages],
    published: Sequence[PublishedScore],
    matrix: Matrix,
    configuration: Configuration,
) -> Iterator[Row]:
    """Yield the rows of averages.tsv, where there are languages to average over.

    Published scores are averaged for methods that have one for every language.
    """
    metric, reference = configuration.selection_metric, reference_slug(configuration)
    random = {cell.method: cell.random for cell in matrix.cells}
    for key, of_task in languages.items():
        if of_task.expected < 2:
            continue
        for average, scored in of_task.averages(metric, reference).items():
            about = {
                **dict(zip(("task", "label_type"), key, strict=True)),
                "average": average,
                "languages": of_task.added,
                "languages_expected": of_task.expected,
                "metric": metric,
            }
            for method in matrix.methods:
                seeds = len(scored.estimates[method].observed)
                row = about | {
                    "method": method,
                    "n_seeds": seeds,
                    "n_expected": seeds,  # only complete languages are averaged
                    **score_columns("test", scored.estimates[method]),
                    "reference": reference,
                }
                if method == reference:
                    row["verdict"] = "reference"
                elif method in scored.differences:
                    pair = (method, str(reference))
                    testable = all(len(scored.estimates[one].observed) > 1 or not random[one] for one in pair)
                    row["_difference"] = compare(scored.differences[method], testable)
                yield row
            if average == MEAN:
                of_publications = [s for s in published if (s.dataset.task, s.dataset.label_type) == key]
                yield from (about | row for row in _published_means(of_publications, of_task.added))


def _published_means(published: Sequence[PublishedScore], languages: int) -> Iterator[Row]:
    """Yield what differs in the rows of the methods whose scores are published for all `languages`."""
    by_method: dict[str, list[PublishedScore]] = defaultdict(list)
    for score in published:
        by_method[score.method].append(score)
    for method, scores in by_method.items():
        if len(scores) == languages:
            yield {
                "method": method,
                "test_mean": mean([score.score for score in scores]),
                "source": "; ".join(dict.fromkeys(score.source for score in scores)),
            }


def _judge(rows: Sequence[Row]) -> None:
    """Fill in differences and verdicts, with p-values adjusted over all comparisons of the table."""
    compared = [row for row in rows if "_difference" in row]
    p_values = adjusted([row["_difference"].p_value for row in compared])
    for row, p_adjusted in zip(compared, p_values, strict=True):
        found = row["_difference"]
        row |= {
            "difference": found.difference,
            **interval_columns("difference", found.low, found.high),
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
