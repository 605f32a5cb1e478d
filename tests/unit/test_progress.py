"""How far a study is: what runs, waits and has failed, and the time left."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from polysharp.config.study import Matrix
from polysharp.core.failure_file import FailureNote, failure_file, write_failure
from polysharp.core.files import write_json, write_text
from polysharp.core.paths import Paths
from polysharp.results.progress import read_progress
from tests import warm
from tests.unit.test_costs import finish
from tests.unit.test_plan import STUDY, matrix, paths

__all__ = ["matrix", "paths"]  # fixtures


def train(matrix: Matrix, paths: Paths, number: int, says: str, ago: float = 0) -> None:
    """Let a cell be trained, whose process showed a sign of life so many seconds ago."""
    cell = matrix.cells[number]
    lease = paths.work / "runs" / cell.path / "lease.json"
    write_json(lease, {"host": "node7", "process": 1, "slurm_job": "4711"})
    os.utime(lease, (time.time() - ago,) * 2)
    job = next(job for job in matrix.jobs if cell in job.cells)
    write_text(paths.work.parent / f"logs/runs/{job.path}.log", f"2026-11-28 10:00:00 {says}\n")


def test_cells_are_counted_by_what_has_become_of_them(matrix: Matrix, paths: Paths) -> None:
    finish(matrix, paths, 0, seconds=100.0)
    train(matrix, paths, 1, "epoch 3/4: step 5 of 10, about 12 s left of the epoch")
    train(matrix, paths, 2, "epoch 1/4: loss 0.5", ago=3600)  # its process has died
    write_failure(failure_file(f"runs/{matrix.cells[3].path}", paths.work), FailureNote("nan", "loss", None))
    progress = read_progress(matrix, "macro_f1", paths)
    (training,) = progress.trainings
    assert training.cell == matrix.cells[1] and training.where == "node7, Slurm job 4711"
    assert training.says.startswith("epoch 3/4: step 5 of 10") and training.share == pytest.approx(0.625)
    sam = progress.by("method")["sam"]
    assert sam.counts == {"complete": 1, "running": 1, "waiting": 4}
    # Of the method's mean, three eighths are left of the cell that is running.
    assert sam.seconds_left == pytest.approx(100 * (0.375 + 4))
    assert progress.by("method")["adamw"].counts == {"failed": 1, "waiting": 5}
    assert progress.all.counts.total() == len(matrix.cells) and progress.all.seconds_left is None
    assert set(progress.by("language")) == {"english", "french"}


@pytest.mark.parametrize(
    ("says", "share"),
    [
        ("", 0),
        ("probe: C 0.1", 0),
        ("epoch 0/4: validation", 0),
        ("epoch 4/4: loss", 1),
        ("garbage \udcff", 0),
    ],
)
def test_what_a_log_says_may_be_anything(matrix: Matrix, paths: Paths, says: str, share: float) -> None:
    train(matrix, paths, 0, "")
    log = next((paths.work.parent / "logs/runs").rglob("*.log"))
    log.write_bytes(f"2026-11-28 10:00:00 {says}\n".encode("utf-8", "surrogateescape"))
    (training,) = read_progress(matrix, "macro_f1", paths).trainings
    assert training.share == share


def test_the_command_says_it(matrix: Matrix, paths: Paths, tmp_path: Path) -> None:
    finish(matrix, paths, 0, seconds=100.0)
    train(matrix, paths, 1, "epoch 3/4: step 5 of 10", ago=-600)  # the command may start slowly
    write_json(tmp_path / "config.yaml", STUDY)  # JSON is YAML
    command = [warm.python(), "-m", "polysharp", "status", "--configfile", "config.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["method", "cells", "complete", "running", "waiting", "failed", "left"]
    assert lines[1].split() == ["sam", "6", "1", "1", "4", "0", "7", "minutes"]
    cell = matrix.cells[1].path
    assert f"  {cell} on node7, Slurm job 4711: epoch 3/4: step 5 of 10" in lines
    assert lines[-1] == "no run is active in this folder"
    done = subprocess.run(
        [*command, "--by", "language"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[1].split()[:6] == ["english", "7", "1", "1", "5", "0"]
