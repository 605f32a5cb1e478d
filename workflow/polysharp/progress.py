"""What is known of every cell of a study: its report, or why there is none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polysharp.configuration import Metric
from polysharp.data import EXAMPLES, LABELS, prepared_sha256
from polysharp.files import read_json
from polysharp.matrix import Cell
from polysharp.paths import Paths
from polysharp.runs import read_report
from polysharp.slugs import hub_slug, model_slug


def failures(cell: Cell, paths: Paths) -> list[Path]:
    """Return where the reasons lie for which a cell can be missing, the nearest first."""
    steps = [f"runs/{cell.path}", f"data/{cell.dataset.path}"]
    if cell.dataset.hub is not None:
        steps.append(f"sources/{hub_slug(cell.dataset.hub)}")
    if cell.has_model:
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
    prepared = paths.data(cell.dataset.path)
    if not all((prepared / name).is_file() for name in (EXAMPLES, LABELS)):
        return Run(cell, "missing", "its data are not prepared (again) yet", {})
    if report["data_sha256"] != prepared_sha256(prepared):
        return Run(cell, "missing", "trained on other data; not yet again on these", {})
    return Run(cell, "complete", "", report)


def best_run(runs: Iterable[Run], metric: Metric) -> Run | None:
    """Return the run that is best on validation; of equally good ones, or without validation, the first."""
    complete = [run for run in runs if run.report]
    return max(complete, key=lambda run: validation_score(run, metric) or 0.0, default=None)


def validation_score(run: Run, metric: Metric) -> float | None:
    """Return a complete run's score on validation; None of predictions from outside for test alone."""
    scores: Mapping[Metric, float] = run.report["scores"].get("validation", {})
    return scores.get(metric)


def left_at_the_start(best_epochs: Iterable[tuple[str, int]]) -> list[str]:
    """Return a line per method of which cells were no better after any epoch than before the first.

    Parameters
    ----------
    best_epochs
        Method and best epoch of every trained cell.
    """
    by_method: dict[str, list[int]] = {}
    for method, epoch in best_epochs:
        by_method.setdefault(method, []).append(epoch)
    return [
        f"{method}: in {epochs.count(0)} of {len(epochs)} cells no epoch was better on validation than the "
        "state before training, which is kept (best_epoch 0; unless configured otherwise that is the "
        "probe); other settings may train better"
        for method, epochs in by_method.items()
        if 0 in epochs
    ]
