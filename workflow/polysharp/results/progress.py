"""How far a study is: which cells are trained now, which wait, and how long the rest may take."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from polysharp.config.study import Cell, Matrix
from polysharp.core.files import read_json
from polysharp.core.paths import LEASE, Paths
from polysharp.core.terms import Metric
from polysharp.results.forecast import forecast
from polysharp.results.status import Run, read_runs

FRESH = 90  # seconds after the last sign of life of a training; it gives one every 15
GROUPS = ("method", "language", "task", "label_type")
EPOCH = re.compile(r"epoch (\d+)/(\d+)(?:: step (\d+) of (\d+))?")


@dataclass(frozen=True)
class Training:
    """A cell that is trained now."""

    cell: Cell
    where: str  # host, and the Slurm job if it is one
    says: str  # the last line of the log about it
    share: float  # of its epochs that is done


@dataclass(frozen=True)
class Group:
    """How many cells are complete, running, waiting and failed, and what those that are left may take."""

    counts: Counter[str]
    seconds_left: float | None  # one cell after the other; None if nothing of their kind has run


@dataclass(frozen=True)
class Progress:
    """The cells of a study by what has become of them."""

    runs: Sequence[Run]
    trainings: Sequence[Training]
    expected: Mapping[str, float | None]  # seconds of the cells that are left, by path

    def by(self, group: str) -> dict[str, Group]:
        """Return what has become of the cells, by the values of one of :data:`GROUPS`."""
        cells: dict[str, list[Run]] = {}
        for run in self.runs:
            cells.setdefault(_value(run.cell, group), []).append(run)
        return {name: self._group(runs) for name, runs in cells.items()}

    @property
    def all(self) -> Group:
        """Return what has become of all cells."""
        return self._group(self.runs)

    def _group(self, runs: Sequence[Run]) -> Group:
        shares = {training.cell.path: training.share for training in self.trainings}
        counts = Counter(
            run.status
            if run.status in ("complete", "failed")
            else "running"
            if run.cell.path in shares
            else "waiting"
            for run in runs
        )
        seconds = 0.0
        for path in (run.cell.path for run in runs if run.cell.path in self.expected):
            if (expected := self.expected[path]) is None:
                return Group(counts, None)
            seconds += expected * (1 - shares.get(path, 0.0))
        return Group(counts, seconds)


def _value(cell: Cell, group: str) -> str:
    return cell.method if group == "method" else str(getattr(cell.dataset, group))


def read_progress(matrix: Matrix, metric: Metric, paths: Paths) -> Progress:
    """Return how far a study is, from reports, leases and logs."""
    runs = read_runs(matrix.cells, metric, paths)
    first = {cell.path: job.path for job in matrix.jobs for cell in job.cells}
    now = time.time()
    trainings = [
        training
        for run in runs
        if run.status != "complete" and (training := _training(run.cell, first[run.cell.path], now, paths))
    ]
    expected = {cell: seconds for cell, (seconds, _) in forecast(runs, paths).items()}
    return Progress(runs, trainings, expected)


def _training(cell: Cell, job: str, now: float, paths: Paths) -> Training | None:
    """Return the training of a cell if its process has shown a sign of life a short while ago."""
    lease = paths.work / "runs" / cell.path / LEASE
    try:
        if now - lease.stat().st_mtime > FRESH:
            return None
        holder = read_json(lease)
    except (OSError, ValueError):
        return None
    number = f", Slurm job {holder['slurm_job']}" if holder.get("slurm_job") else ""
    says = _last_line(paths.work.parent / "logs/runs" / f"{job}.log")
    return Training(cell, f"{holder.get('host', '?')}{number}", says, _share(says))


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 2000))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return lines[-1].partition(" ")[2].partition(" ")[2] if lines else ""


def _share(says: str) -> float:
    """Return the share of a training that is done, by the epoch and the step in a line of its log."""
    found = EPOCH.search(says)
    if found is None:
        return 0.0
    epoch, epochs = int(found[1]), int(found[2])
    if found[3] is None:  # the epoch has ended
        return epoch / epochs
    return (epoch - 1 + int(found[3]) / int(found[4])) / epochs
