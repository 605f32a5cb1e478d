"""The status of every cell of a study: its report, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, TypeVar

from polysharp.config.slugs import hub_slug, model_slug
from polysharp.config.study import Cell
from polysharp.core.failure_file import failure_file, read_failure
from polysharp.core.paths import REPORT, Paths
from polysharp.core.refusal import read_refusal
from polysharp.core.terms import Metric, counted
from polysharp.results.completeness import Wanted, damage, read_report

Key = TypeVar("Key")


def failures(cell: Cell, paths: Paths) -> list[Path]:
    """Return the files that may say why a cell is missing, the cell's own first."""
    steps = [f"runs/{cell.path}", f"data/{cell.dataset.path}"]
    if cell.dataset.hub is not None:
        steps.append(f"sources/{hub_slug(cell.dataset.hub)}")
    if cell.has_model:
        steps.append(f"models/{model_slug(cell.dataset.model)}")
    return [failure_file(step, paths.work) for step in steps]


@dataclass(frozen=True)
class Run:
    """The status of a cell: its report, or why there is none."""

    cell: Cell
    status: str  # complete | failed | missing
    reason: str
    report: Mapping[str, Any]


def read_runs(cells: Iterable[Cell], metric: Metric, paths: Paths) -> list[Run]:
    """Return the status of every cell. A cell whose report does not match the study is missing.

    Parameters
    ----------
    metric
        The study's selection metric.
    """
    wanted = Wanted(metric, paths)
    return [_read_run(cell, wanted, paths) for cell in cells]


def _read_run(cell: Cell, wanted: Wanted, paths: Paths) -> Run:
    if lines := read_refusal(paths.data(cell.dataset.path)):
        return Run(cell, "failed", "; ".join(lines), {})
    for path in failures(cell, paths):
        if note := read_failure(path):
            return Run(cell, "failed", note.reason, {})
    report = read_report(paths.run(cell.path))
    if reason := damage(paths.run(cell.path)):
        return Run(cell, "missing", reason, {})
    if report is None:
        return Run(cell, "missing", "not trained yet, or killed; see the log", {})
    if reason := wanted.difference(report, cell):
        return Run(cell, "missing", reason, {})
    return Run(cell, "complete", "", report)


def forget_cell(cell: str, paths: Paths) -> None:
    """Make a cell count as not trained, because its classifier is gone but needed."""
    (paths.run(cell) / REPORT).unlink()  # its job is not complete without it


def best_on_validation(reports: Iterable[tuple[Key, Mapping[str, Any]]], metric: Metric) -> Key | None:
    """Return the key of the report that is best on validation; None where there are no reports.

    Of equally good ones, the first is taken, so they have to come in the configured order. A report without
    validation comes after all others.
    """
    scored = [(key, validation_score(report, metric)) for key, report in reports]
    best = max(scored, key=lambda pair: -inf if pair[1] is None else pair[1], default=None)
    return None if best is None else best[0]


def best_run(runs: Iterable[Run], metric: Metric) -> Run | None:
    """Return the complete run that is best on validation, as in :func:`best_on_validation`."""
    return best_on_validation(((run, run.report) for run in runs if run.report), metric)


def validation_score(report: Mapping[str, Any], metric: Metric) -> float | None:
    """Return a cell's score on validation; None for predictions from outside that cover only test."""
    scores: Mapping[Metric, float] = report["scores"].get("validation", {})
    return scores.get(metric)


def reached(seeds: Sequence[int], reports: Sequence[Mapping[str, Any]], metric: Metric) -> str:
    """Return in words which scores on validation the cells of a job have reached."""
    values = [report["scores"]["validation"][metric] for report in reports]
    if len(set(seeds)) < len(seeds):  # of several data sets
        return f"validation {metric} of {len(reports)} cells: {min(values):.3f} to {max(values):.3f}"
    each = [
        f"{value:.3f}" + " (before training)" * (report.get("epochs") == [0])
        for report, value in zip(reports, values, strict=True)
    ]
    return f"validation {metric} of seed {', '.join(map(str, seeds))}: {', '.join(each)}"


def lines_about_untrained_cells(runs: Iterable[Run]) -> list[str]:
    """Return a line per method that has cells in which no epoch was better than the start."""
    by_method: dict[str, list[list[int]]] = {}
    for run in runs:
        if epochs := run.report.get("epochs"):
            by_method.setdefault(run.cell.method, []).append(epochs)
    return [
        f"{method}: in {epochs.count([0])} of {counted(len(epochs), 'cell')} no epoch was better on "
        "validation than the state before training (by default the probe), which is kept (epochs 0)"
        for method, epochs in by_method.items()
        if [0] in epochs
    ]
