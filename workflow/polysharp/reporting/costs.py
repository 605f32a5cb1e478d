"""What cells took: the rows of costs.tsv, and forecast and costs side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from polysharp.cluster.slurm import elapsed_seconds
from polysharp.core.files import write_json
from polysharp.core.paths import COSTS, Paths
from polysharp.core.terms import counted
from polysharp.reporting.rows import Row, cell_columns
from polysharp.results.forecast import HOUR, in_processes, in_words, read_costs, read_forecast, taken
from polysharp.results.status import Run


def costs_rows(runs: Sequence[Run], paths: Paths) -> list[Row]:
    """Return the rows of costs.tsv. What Slurm counts is asked once, and kept in costs.json of each cell."""
    costs = {run.cell.path: read_costs(run.cell.path, paths) for run in runs if run.report}
    for cell, allocated in _allocated(costs).items():
        costs[cell]["allocated_seconds"] = round(allocated, 1)
        write_json(paths.run(cell) / COSTS, costs[cell])
    expected = read_forecast(paths)
    return [_row(run, costs.get(run.cell.path), expected.get(run.cell.path)) for run in runs]


def _row(run: Run, costs: Mapping[str, Any] | None, expected: float | None) -> Row:
    if not costs:
        return cell_columns(run.cell)
    return {
        **cell_columns(run.cell),
        **costs,
        "forecast_seconds": expected,
        "gpu_hours": taken(costs) / HOUR if costs.get("gpu") else 0.0,
        "slurm_jobs": ",".join(costs.get("slurm_jobs", [])),
    }


def _allocated(costs: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return what Slurm counts for the jobs of cells, in seconds, of cells of which that is not known yet.

    The time of a job is divided among its cells in proportion to what each took.
    """
    asked = {job for entry in costs.values() if "allocated_seconds" not in entry for job in _jobs(entry)}
    elapsed = elapsed_seconds(asked) if asked else {}
    weights: dict[str, float] = {}
    for entry in costs.values():
        for job in _jobs(entry):
            weights[job] = weights.get(job, 0.0) + in_processes(entry)
    return {
        cell: sum(elapsed[job] * in_processes(entry) / (weights[job] or 1) for job in _jobs(entry))
        for cell, entry in costs.items()
        if "allocated_seconds" not in entry and _jobs(entry) and all(job in elapsed for job in _jobs(entry))
    }


def _jobs(entry: Mapping[str, Any]) -> list[str]:
    return list(entry.get("slurm_jobs", []))


def compared_with_forecast(runs: Sequence[Run], paths: Paths) -> Iterator[str]:
    """Yield a line per method whose costs were forecast: how many cells, the forecast, and what they took."""
    expected = read_forecast(paths)
    by_method: dict[str, list[tuple[float, float]]] = {}
    for run in runs:
        costs = read_costs(run.cell.path, paths) if run.report else {}
        if costs and run.cell.path in expected:
            by_method.setdefault(run.cell.method, []).append((expected[run.cell.path], taken(costs)))
    for method, pairs in by_method.items():
        first, second = (in_words(sum(values)) for values in zip(*pairs, strict=True))
        yield f"costs of {method}, {counted(len(pairs), 'cell')}: forecast {first}, took {second}"
