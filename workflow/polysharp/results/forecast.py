"""What cells take, known of those that have run, and expected of the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import mean
from typing import Any

from polysharp.config.study import Cell, Matrix
from polysharp.core.files import read_json, write_json
from polysharp.core.paths import COSTS, Paths
from polysharp.core.terms import Metric
from polysharp.results.status import Run, read_runs

FILE = "forecast.json"
HOUR = 3600
UNKNOWN = "nothing of the kind has run yet"


def taken(costs: Mapping[str, Any]) -> float:
    """Return what a cell has taken, in seconds: what Slurm counts, or else the life of its process."""
    allocated = costs.get("allocated_seconds")
    return in_processes(costs) if allocated is None else float(allocated)


def in_processes(costs: Mapping[str, Any]) -> float:
    """Return how long processes worked on a cell, in seconds, with its share of what they took beside it."""
    return float(costs["seconds"]) + float(costs.get("overhead_seconds", 0))


def read_costs(cell: str, paths: Paths) -> dict[str, Any]:
    """Return the content of costs.json of a cell; empty if it has not run."""
    file = paths.run(cell) / COSTS
    return dict(read_json(file)) if file.is_file() else {}


def forecast(runs: Iterable[Run], paths: Paths) -> dict[str, tuple[float | None, str]]:
    """Return what every cell that is not complete may take, in seconds, and from which cells that follows.

    Only complete cells are a basis: the most similar ones that there are.
    """
    runs = list(runs)
    complete = [run.cell for run in runs if run.status == "complete"]
    groups: dict[tuple[str, ...], list[float]] = {}
    for cell in complete:
        if costs := read_costs(cell.path, paths):
            for group in _near(cell).values():
                groups.setdefault(group, []).append(taken(costs))
    means = {group: mean(values) for group, values in groups.items()}
    return {run.cell.path: _estimate(run.cell, means) for run in runs if run.status != "complete"}


def write_forecast(matrix: Matrix, metric: Metric, paths: Paths) -> None:
    """Write what the cells of a run may take, to be compared with what they took."""
    runs = read_runs(matrix.cells, metric, paths)
    known = read_forecast(paths)
    known |= {cell: seconds for cell, (seconds, _) in forecast(runs, paths).items() if seconds is not None}
    write_json(paths.work / FILE, known)


def read_forecast(paths: Paths) -> dict[str, float]:
    """Return what was forecast for cells when the runs began that trained them, in seconds, by path."""
    try:
        return dict(read_json(paths.work / FILE))
    except (FileNotFoundError, ValueError):
        return {}


def in_words(seconds: float) -> str:
    """Return a time as people say it: in hours, in minutes below two hours, in seconds below two minutes."""
    if seconds >= 2 * HOUR:
        return f"{seconds / HOUR:.1f} hours"
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"


def _near(cell: Cell) -> dict[str, tuple[str, ...]]:
    """Return the groups of cells that a cell belongs to, the most similar first, by their names."""
    return {
        "from the same data set and method": (cell.dataset.path, cell.method),
        "from the same method": (cell.method,),
        "from methods of the same kind": ("kind", cell.kind),
    }


def _estimate(cell: Cell, means: Mapping[tuple[str, ...], float]) -> tuple[float | None, str]:
    return next(
        ((means[group], how) for how, group in _near(cell).items() if group in means), (None, UNKNOWN)
    )
