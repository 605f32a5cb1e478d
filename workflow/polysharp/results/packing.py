"""How many cells a job trains, and which: decided once per run, by what earlier cells took.

A run writes its jobs into ``work/jobs.json``. The processes that it starts, on other machines too, read them
there: costs grow while they run. Later runs keep jobs that are complete, so that nothing runs again when the
number of cells per job changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from statistics import mean

from polysharp.config.jobs import PACKED, Job, make_jobs
from polysharp.config.settings import Configuration
from polysharp.config.study import Cell, Matrix, from_arguments
from polysharp.core.files import read_json, write_json
from polysharp.core.paths import COSTS, RECEIPT, REPORT, Paths
from polysharp.core.refusal import read_refusal
from polysharp.results.completeness import read_report, same_settings

JOB_SECONDS = 1800  # that a job lasts, if the number of cells is not configured
SAMPLE = 20  # cells of a method whose costs are looked at
FILE = "jobs.json"


def arrange_jobs(
    matrix: Matrix,
    configuration: Configuration,
    paths: Paths,
    new_run: bool = False,
    slots: int | None = None,
) -> Matrix:
    """Return the matrix with its jobs: those that the last run has written, and new ones for other cells.

    Parameters
    ----------
    new_run
        Whether a run begins: of the jobs written earlier, only the complete ones are kept.
    slots
        Number of jobs that run at the same time on this machine; None on a cluster.
    """
    written = written_jobs(matrix, paths)
    if new_run:
        written = [job for job in written if is_complete(job, paths)]
    known = {cell.path for job in written for cell in job.cells}
    left = [cell for cell in matrix.cells if cell.path not in known]
    sizes = _sizes(left, configuration, paths, slots) if new_run else {}
    new = make_jobs(left, configuration.in_one_job, len(configuration.seeds), sizes)
    place = {cell.path: number for number, cell in enumerate(matrix.cells)}
    return replace(matrix, jobs=tuple(sorted([*written, *new], key=lambda job: place[job.path])))


def write_jobs(matrix: Matrix, paths: Paths) -> None:
    """Write the jobs of a run, for its processes and for later runs."""
    packed = [[cell.path for cell in job.cells] for job in matrix.jobs if job.cells[0].kind in PACKED]
    write_json(paths.work / FILE, {"jobs": packed})


def written_jobs(matrix: Matrix, paths: Paths) -> list[Job]:
    """Return the jobs of the last run, without cells that have left the study or changed their model."""
    try:
        content = read_json(paths.work / FILE)["jobs"]
    except (OSError, ValueError, KeyError):
        return []
    cells = {cell.path: cell for cell in matrix.cells}
    jobs = []
    for names in content:
        of_job = [cells[name] for name in names if name in cells]
        if of_job:
            jobs += [Job(tuple(of_job))] if _belong_together(of_job) else []
    return jobs


def is_complete(job: Job, paths: Paths) -> bool:
    """Whether a job has a receipt, and each of its cells a report, or data that are refused."""
    return (paths.run(job.path) / RECEIPT).is_file() and all(
        (paths.run(cell.path) / REPORT).is_file() or read_refusal(paths.data(cell.dataset.path))
        for cell in job.cells
    )


def _belong_together(cells: Sequence[Cell]) -> bool:
    return len(make_jobs(cells, len(cells), 1)) == 1


def _sizes(
    left: Sequence[Cell], configuration: Configuration, paths: Paths, slots: int | None
) -> Mapping[str, int]:
    """Return the number of cells in a job by method, where it is not configured and costs are known."""
    if configuration.in_one_job is not None:
        return {}
    by_method: dict[str, list[Cell]] = defaultdict(list)
    for cell in left:
        if cell.kind in PACKED:
            by_method[cell.method].append(cell)
    sizes = {}
    for method, cells in by_method.items():
        seconds = _seconds(cells[0], paths)
        if seconds:
            most = len(cells) if slots is None else ceil(len(cells) / (2 * slots))
            sizes[method] = max(1, min(int(JOB_SECONDS / mean(seconds)), most))
    return sizes


def _seconds(cell: Cell, paths: Paths) -> list[float]:
    """Return what some complete cells of a cell's method took, of those with its settings."""
    settings = from_arguments(cell.settings)
    found: list[float] = []
    pattern = f"*/*/*/{cell.method}/seed-*/{COSTS}"
    for file in sorted((paths.results / "runs").glob(pattern)):
        report = read_report(file.parent)
        if report and same_settings(report.get("settings"), settings):
            found.append(float(read_json(file)["seconds"]))
        if len(found) == SAMPLE:
            break
    return found
