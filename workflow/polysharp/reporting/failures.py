"""What failed, why, and what to do: results/failures.tsv and the last lines of a run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from polysharp.cluster import slurm
from polysharp.config.study import Cell, Matrix
from polysharp.core.columns import CELL, FAILURES
from polysharp.core.failure_file import read_failure
from polysharp.core.files import read_json
from polysharp.core.paths import LEASE, REPORT, Paths
from polysharp.core.refusal import read_refusal
from polysharp.core.tsv import write_table
from polysharp.results.status import Run, failures

COLUMNS = FAILURES.names
AGAIN = "run the same command again"
GO_ON = ": trainings resume"  # only fine-tuning; baselines are too short to save their state
REMEDIES = {
    "input": f"fix what the reason names, and {AGAIN}",
    "memory": f"raise mem_mb in the profile, or lower micro_batch_size or max_length, and {AGAIN}",
    "time": f"raise runtime in the profile, and {AGAIN}{GO_ON}",
    "preempted": f"{AGAIN}{GO_ON}",
    "node": f"{AGAIN}{GO_ON}",
    "cancelled": f"{AGAIN}{GO_ON}",
    "stopped": f"{AGAIN}{GO_ON}",
    "killed": f"look at the end of the log; the cause is often memory. Then {AGAIN}",
    "refused": f"correct the profile (`make doctor` says what this cluster accepts), and {AGAIN}",
    "gpu": f"install a build of torch that fits the nodes' driver (docs/cluster.md, step 2), and {AGAIN}",
    "nan": f"lower learning_rate, or set precision to float32, and {AGAIN}",
    "disk": f"free up disk space, and {AGAIN}{GO_ON}",
    "bug": "please report it with the log",
}
# Slurm's states of ended jobs.
SLURM = {
    "OUT_OF_MEMORY": "memory",
    "TIMEOUT": "time",
    "DEADLINE": "time",
    "PREEMPTED": "preempted",
    "NODE_FAIL": "node",
    "BOOT_FAIL": "node",
    "CANCELLED": "cancelled",
}
KILLED = "killed before it could report a reason"
# What Slurm writes into a job's own log; without cgroups, its accounting only says FAILED.
MEMORY = re.compile(r"exceeded (job |step )?memory limit|oom.?kill", re.IGNORECASE)


@dataclass(frozen=True)
class Failure:
    """A cell that failed, or whose process was killed."""

    cell: Cell
    failure_class: str
    reason: str
    log: str
    slurm_job: str | None

    def as_row(self) -> dict[str, Any]:
        """Return the row of the table."""
        data = self.cell.dataset
        names = (data.task, data.language, data.label_type, self.cell.method)
        return {
            **dict(zip(CELL, names, strict=True)),
            "seed": self.cell.seed,
            "class": self.failure_class,
            "reason": self.reason,
            "log": self.log,
            "slurm_job": self.slurm_job,
            "remedy": self.remedy,
        }

    @property
    def remedy(self) -> str:
        """Return what to do."""
        remedy = REMEDIES[self.failure_class]
        return remedy if self.cell.kind == "finetune" else remedy.removesuffix(GO_ON)


def find_failures(runs: Sequence[Run], matrix: Matrix, paths: Paths, at_work: bool = False) -> list[Failure]:
    """Return the failures among the runs; cells that were not started are not failures.

    Parameters
    ----------
    at_work
        Whether the study is still running. If so, a cell that has started and left neither results nor a
        reason is being trained, and was not killed.
    """
    by_cell = {run.cell.path: run for run in runs}
    found: list[Failure] = []
    for job in matrix.jobs:
        log = f"logs/runs/{job.path}.log"
        of_job = [by_cell[cell.path] for cell in job.cells]
        missing = [run for run in of_job if not run.report]
        own = [_of(run, log, paths, at_work) for run in missing]
        failed = [failure for failure in own if failure]
        if failed and failed[0].failure_class == "refused":  # recorded only for the job's first cell
            pairs = zip(own, missing, strict=True)
            failed = [failure or replace(failed[0], cell=run.cell) for failure, run in pairs]
        has_results = any((paths.run(cell.path) / REPORT).is_file() for cell in job.cells)
        if not failed and not has_results and not at_work:
            failed = _at_the_beginning(job.cells[0], log, paths)
        found += failed
    states = slurm.job_states([f.slurm_job for f in found if f.slurm_job])
    return [_refined(failure, states.get(failure.slurm_job or ""), paths) for failure in found]


def write_failures(found: Sequence[Failure], paths: Paths) -> None:
    """Write results/failures.tsv, or remove it if nothing failed."""
    if found:
        write_table([failure.as_row() for failure in found], COLUMNS, paths.results / FAILURES.file)
    else:
        (paths.results / FAILURES.file).unlink(missing_ok=True)


def summary(found: Sequence[Failure], lines: int) -> list[str]:
    """Return at most `lines` lines about the failures; cells with the same cause share one."""
    groups: dict[tuple[str, str, str, str], list[Failure]] = {}
    for failure in found:
        key = failure.failure_class, failure.reason, failure.log, failure.remedy
        groups.setdefault(key, []).append(failure)
    said = []
    for (failure_class, reason, log, remedy), group in groups.items():
        first = group[0]
        datasets = sorted({failure.cell.dataset.path for failure in group})
        who = first.cell.path if len(group) == 1 else f"{', '.join(datasets)} ({len(group)} cells)"
        jobs = sorted({failure.slurm_job for failure in group if failure.slurm_job})
        job = f"; Slurm job {', '.join(jobs)}" if jobs else ""
        said.append(f"failed ({failure_class}): {who}: {reason}; log: {log}{job}; {remedy}")
    if len(said) > lines:
        said[lines - 1 :] = [f"and {len(said) - lines + 1} more: {FAILURES.file}"]
    return said


def _of(run: Run, log: str, paths: Paths, at_work: bool) -> Failure | None:
    """Return the failure of a cell without results, from the files that its process has left."""
    dataset = run.cell.dataset.path
    if lines := read_refusal(paths.data(dataset)):
        return Failure(run.cell, "input", "; ".join(lines), f"logs/data/{dataset}.log", None)
    lease = paths.work / "runs" / run.cell.path / LEASE
    for number, place in enumerate(failures(run.cell, paths)):
        if note := read_failure(place):
            # The first place is the cell's own, the others are those of its data set and its model.
            where = log if number == 0 else f"logs/{place.parent.relative_to(paths.work)}.log"
            return Failure(run.cell, note.failure_class, note.reason, where, note.slurm_job)
    if lease.is_file() and not at_work:
        return Failure(run.cell, "killed", KILLED, log, read_json(lease).get("slurm_job"))
    return None


def _at_the_beginning(cell: Cell, log: str, paths: Paths) -> list[Failure]:
    """Return the failure of a job that has left nothing but the beginning of its log."""
    file = paths.work.parent / log
    if not file.is_file():
        return []
    named = re.search(r"Slurm job (\S+) on", file.read_text(encoding="utf-8"))
    return [Failure(cell, "killed", KILLED, log, named.group(1) if named else None)]


def _refined(failure: Failure, state: str | None, paths: Paths) -> Failure:
    """Return the failure with a class from Slurm, if Slurm knows why a process was stopped or killed."""
    if failure.failure_class not in ("stopped", "killed"):
        return failure
    if state in SLURM:
        return replace(failure, failure_class=SLURM[state], reason=f"{failure.reason} (Slurm: {state})")
    for file in (paths.work.parent / "logs/slurm").rglob(f"{failure.slurm_job}.log"):
        if said := MEMORY.search(file.read_text(encoding="utf-8", errors="replace")):
            return replace(
                failure, failure_class="memory", reason=f"{failure.reason} (Slurm: {said.group()})"
            )
    return failure
