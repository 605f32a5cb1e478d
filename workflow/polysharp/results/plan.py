"""What a study will take: cells, hours, disk; estimated from the costs of earlier cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from polysharp.config.jobs import Job
from polysharp.config.slugs import model_slug
from polysharp.config.study import Cell, Matrix
from polysharp.core.paths import WEIGHTS, Paths
from polysharp.core.terms import Metric, counted
from polysharp.results.forecast import forecast, in_words
from polysharp.results.status import read_runs

GIGABYTE = 10**9
# Snapshots of a running training, in sizes of its weights: two and one being written, each with weights,
# best weights and AdamW's two moments.
SNAPSHOTS = 3 * 4


@dataclass(frozen=True)
class MethodPlan:
    """One method of a study: its cells, and what the remaining ones will take."""

    method: str
    kind: str
    cells: int
    left: int
    jobs: int
    seconds: float | None  # of the cells that are left; None if nothing of the kind has run yet
    estimated_by: str


@dataclass(frozen=True)
class Plan:
    """The plan of a whole study."""

    methods: list[MethodPlan]
    longest: Job | None  # the longest fine-tuning job that is left
    longest_seconds: float | None
    disk_bytes: int | None  # None if no model is prepared yet
    running_bytes: int | None  # at most, for each running training
    unknown_models: list[str]


def make_plan(matrix: Matrix, metric: Metric, paths: Paths) -> Plan:
    """Return the plan of a study. What is left are the cells that the tables do not show as complete.

    Parameters
    ----------
    metric
        The study's selection metric. A cell that was trained with another one is left.
    """
    runs = read_runs(matrix.cells, metric, paths)
    left = [run.cell for run in runs if run.status != "complete"]
    estimates = forecast(runs, paths)
    plans = []
    for method in matrix.methods:
        of_method = {cell.path for cell in left if cell.method == method}
        known = [estimates[path] for path in of_method]
        values = [value for value, _ in known if value is not None]
        plans.append(
            MethodPlan(
                method,
                next(cell.kind for cell in matrix.cells if cell.method == method),
                sum(cell.method == method for cell in matrix.cells),
                len(of_method),
                sum(any(cell.path in of_method for cell in job.cells) for job in matrix.jobs),
                sum(values) if len(values) == len(of_method) else None,
                "; ".join(sorted({how for _, how in known})),
            )
        )
    longest, longest_seconds = _longest(matrix.jobs, left, estimates)
    sizes, unknown = _weights(matrix, paths.models)
    running = SNAPSHOTS * max(sizes.values()) if sizes else None
    return Plan(plans, longest, longest_seconds, _disk(matrix, sizes), running, unknown)


def _longest(
    jobs: Sequence[Job], left: Sequence[Cell], estimates: Mapping[str, tuple[float | None, str]]
) -> tuple[Job | None, float | None]:
    """Return the longest job, and its seconds; without estimates, the job with the most cells left."""
    waiting = set(left)
    best: tuple[float, int, Job] | None = None
    for job in jobs:
        cells = [cell for cell in job.cells if cell in waiting]
        if not cells or job.cells[0].kind != "finetune":
            continue
        known = [estimates[cell.path][0] for cell in cells]
        total = sum(value for value in known if value is not None)
        if best is None or (total, len(cells)) > best[:2]:
            best = total, len(cells), job
    return (None, None) if best is None else (best[2], best[0] or None)


def _weights(matrix: Matrix, models: Path) -> tuple[dict[str, int], list[str]]:
    """Return the bytes of the prepared models' weights by name, and the models that are not prepared yet."""
    sizes: dict[str, int] = {}
    unknown: list[str] = []
    used = {cell.dataset.model.name: cell.dataset.model for cell in matrix.cells if cell.has_model}
    for model in used.values():
        file = models / model_slug(model) / WEIGHTS
        if file.is_file():
            sizes[model.name] = file.stat().st_size
        else:
            unknown.append(model.name)
    return sizes, unknown


def _disk(matrix: Matrix, sizes: dict[str, int]) -> int | None:
    """Return the bytes that models and classifiers take at most.

    For every data set, the best classifier of each method is kept until all are trained, and then only one.
    Before a soup is made, there are those of all its seeds.
    """
    kept = {cell.method for cell in matrix.cells if cell.has_checkpoint}
    kept |= {path for cell in matrix.cells for path in cell.averaged if cell.dataset == matrix.datasets[0]}
    classifiers = sum(sizes.get(dataset.model.name, 0) * len(kept) for dataset in matrix.datasets)
    return sum(sizes.values()) + classifiers if sizes else None


def lines(plan: Plan, cells_per_job: int | None) -> list[str]:
    """Return the plan as a table and text."""
    rows = [("method", "cells", "left", "jobs", "takes", "estimated")]
    for one in plan.methods:
        takes = "?" if one.seconds is None else in_words(one.seconds)
        rows.append(
            (
                one.method,
                str(one.cells),
                str(one.left),
                str(one.jobs),
                takes if one.left else "0",
                one.estimated_by,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    said = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    finetuning = [one for one in plan.methods if one.kind == "finetune" and one.left]
    if finetuning and all(one.seconds is not None for one in finetuning):
        total = sum(one.seconds or 0 for one in finetuning)
        said.append(f"\nfine-tuning: {in_words(total)} on a GPU, or on what earlier cells ran on")
    elif plan.longest:
        said.append(
            "\nto learn what a cell takes, train one job first, with your options of snakemake: "
            f"snakemake -c1 results/runs/{plan.longest.output}"
        )
    if plan.longest:
        cells = counted(len(plan.longest.cells), "cell")
        length = (
            f"about {in_words(plan.longest_seconds)}" if plan.longest_seconds else "duration not known yet"
        )
        asked = f"its time limit on Slurm is {plan.longest.minutes} minutes"
        said.append(f"longest job: {plan.longest.path} ({cells}): {length}; {asked}")
    if cells_per_job == 1 and finetuning:
        said.append("if jobs take only a minute or two, put several cells into one: cells_per_job")
    if plan.disk_bytes is not None:
        said.append(f"disk: about {plan.disk_bytes / GIGABYTE:.1f} GB for models and classifiers")
    if plan.running_bytes is not None and finetuning:
        size = plan.running_bytes / GIGABYTE
        said.append(f"      and up to {size:.1f} GB for each fine-tuning that runs at the same time")
    if plan.unknown_models:
        said.append(f"not prepared yet, so not counted as disk: {', '.join(plan.unknown_models)}")
    return said
