"""What failed is told by its cause, with what to do."""

import os
from pathlib import Path

import polars as pl
import pytest

from polysharp.config.study import Cell, Matrix, load_study
from polysharp.core.errors import NotFinite, OutOfMemory, UserError
from polysharp.core.files import write_json, write_text
from polysharp.core.paths import Paths
from polysharp.reporting.failures import KILLED, REMEDIES, SLURM, find_failures, summary, write_failures
from polysharp.results.status import Run, read_runs
from tests.conftest import write_command, write_source

STUDY = {
    "seeds": [1, 2, 3],
    "methods": {"sam": None, "tfidf": None},
    "cells_per_job": 2,
    "datasets": "sheet.tsv",
}


@pytest.fixture
def matrix(tmp_path: Path) -> Matrix:
    write_source(tmp_path / "data", {split: {} for split in ("train", "val", "test")})
    rows = [f"{language}\tsingle\tdata" for language in ("english", "french")]
    write_text(tmp_path / "sheet.tsv", "\n".join(["language\tlabel_type\tsource", *rows]))
    return load_study(STUDY, [tmp_path])[1]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "results", tmp_path / "work")


def cell(matrix: Matrix, language: str, method: str, seed: int) -> Cell:
    return next(c for c in matrix.cells if c.path == f"main/{language}/single/{method}/seed-{seed}")


def runs(matrix: Matrix, paths: Paths) -> list[Run]:
    return read_runs(matrix.cells, "macro_f1", paths)


def accounting(folder: Path, monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    """Put a command `sacct` on the path that prints `output`; the real one is in the tests of Slurm."""
    write_command(folder, "sacct", f"printf '{output}'")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_cells_that_were_not_reached_are_no_failures(matrix: Matrix, paths: Paths) -> None:
    assert find_failures(runs(matrix, paths), matrix, paths) == []


def test_every_class_has_a_remedy() -> None:
    assert {error.failure_class for error in (UserError, OutOfMemory, NotFinite)} <= set(REMEDIES)
    assert set(SLURM.values()) <= set(REMEDIES)


def test_a_failure_of_the_data_is_one_of_all_its_cells(matrix: Matrix, paths: Paths) -> None:
    reason = {"class": "input", "reason": "train.json, row 1: label 5.5", "slurm_job": None}
    write_json(paths.work / "data/main/french/single/failure.json", reason)
    found = find_failures(runs(matrix, paths), matrix, paths)
    assert len(found) == 4
    assert {(f.failure_class, f.reason, f.log) for f in found} == {
        ("input", "train.json, row 1: label 5.5", "logs/data/main/french/single.log")
    }
    (line,) = summary(found, 16)
    assert line.startswith(
        "failed (input): main/french/single (4 cells): train.json, row 1: label 5.5; log: "
    )


def test_a_killed_training_names_the_log_of_its_job_and_slurms_reason(
    matrix: Matrix, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = cell(matrix, "english", "sam", 2)
    lease = {"token": "x", "host": "node", "process": 1, "slurm_job": "4711"}
    write_json(paths.work / "runs" / killed.path / "lease.json", lease)
    accounting(tmp_path / "bin", monkeypatch, "4711|OUT_OF_MEMORY\\n")
    (failure,) = find_failures(runs(matrix, paths), matrix, paths)
    assert failure.failure_class == "memory"
    assert failure.reason == f"{KILLED} (Slurm: OUT_OF_MEMORY)"
    assert failure.log == "logs/runs/main/english/single/sam/seed-1.log"  # its job begins with seed 1
    (line,) = summary([failure], 16)
    assert "Slurm job 4711" in line and "raise mem_mb" in line
    assert find_failures(runs(matrix, paths), matrix, paths, at_work=True) == []  # it may be in training


@pytest.mark.parametrize(
    ("state", "expected"), [("TIMEOUT", "time"), ("CANCELLED by 0", "cancelled"), ("FAILED", "stopped")]
)
def test_slurm_knows_why_a_training_was_stopped(
    state: str, expected: str, matrix: Matrix, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = cell(matrix, "english", "sam", 3)
    told = {"class": "stopped", "reason": "stopped after step 7", "slurm_job": "12"}
    write_json(paths.work / "runs" / stopped.path / "failure.json", told)
    accounting(tmp_path / "bin", monkeypatch, f"12|{state}\\n")
    (failure,) = find_failures(runs(matrix, paths), matrix, paths)
    assert failure.failure_class == expected


def test_without_accounting_a_killed_training_is_told_as_such(
    matrix: Matrix, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = {"token": "x", "host": "node", "process": 1, "slurm_job": "4711"}
    write_json(paths.work / "runs" / cell(matrix, "english", "sam", 1).path / "lease.json", lease)
    monkeypatch.setenv("PATH", str(tmp_path))
    (failure,) = find_failures(runs(matrix, paths), matrix, paths)
    assert (failure.failure_class, failure.reason) == ("killed", KILLED)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "slurmstepd: error: StepId=16.0 exceeded memory limit (342274048 > 314572800), being killed",
            "memory",
        ),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch.", "memory"),
        ("srun: error: g1: task 0: Killed", "killed"),
    ],
)
def test_a_training_that_was_killed_while_it_loaded_its_libraries(
    said: str, expected: str, matrix: Matrix, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text(tmp_path / "logs/runs/main/english/single/sam/seed-1.log", "09:00 Slurm job 16 on node-3\n")
    write_text(tmp_path / "logs/slurm/rule_finetune/main_english_single_sam_1/16.log", f"{said}\n")
    accounting(tmp_path / "bin", monkeypatch, "16|FAILED\n")
    (failure,) = find_failures(runs(matrix, paths), matrix, paths)
    assert failure.cell == cell(matrix, "english", "sam", 1)
    assert (failure.failure_class, failure.slurm_job) == (expected, "16")
    assert failure.reason.startswith(KILLED)


def test_a_refused_job_is_every_seeds_failure(matrix: Matrix, paths: Paths) -> None:
    refused = {"class": "refused", "reason": "sbatch: no such partition", "slurm_job": None}
    job = next(job for job in matrix.jobs if len(job.cells) > 1)
    write_json(paths.work / "runs" / job.path / "failure.json", refused)
    found = find_failures(runs(matrix, paths), matrix, paths)
    assert [failure.cell for failure in found] == list(job.cells)
    assert {(failure.failure_class, failure.reason) for failure in found} == {
        ("refused", "sbatch: no such partition")
    }


@pytest.mark.parametrize("failure_class", ["disk", "stopped", "time", "preempted"])
def test_only_fine_tuning_is_said_to_resume(failure_class: str, matrix: Matrix, paths: Paths) -> None:
    told = {"class": failure_class, "reason": "no space left", "slurm_job": None}
    for method, seed in (("sam", 1), ("tfidf", 0)):
        write_json(paths.work / "runs" / cell(matrix, "english", method, seed).path / "failure.json", told)
    found = find_failures(runs(matrix, paths), matrix, paths)
    remedies = {failure.cell.method: failure.as_row()["remedy"] for failure in found}
    assert remedies["sam"] == f"{remedies['tfidf']}: trainings resume"
    assert remedies["tfidf"].endswith("run the same command again")
    for line in summary(found, 16):
        assert ("trainings resume" in line) == ("/sam/" in line)


def test_the_table_comes_and_goes(matrix: Matrix, paths: Paths) -> None:
    place = paths.work / "runs" / cell(matrix, "english", "tfidf", 0).path / "failure.json"
    write_json(place, {"class": "bug", "reason": "KeyError: 'x'", "slurm_job": None})
    write_failures(find_failures(runs(matrix, paths), matrix, paths), paths)
    (row,) = pl.read_csv(paths.results / "failures.tsv", separator="\t").to_dicts()
    assert row["class"] == "bug" and row["reason"] == "KeyError: 'x'" and row["remedy"] == REMEDIES["bug"]
    place.unlink()
    write_failures(find_failures(runs(matrix, paths), matrix, paths), paths)
    assert not (paths.results / "failures.tsv").exists()


def test_there_are_no_more_lines_than_asked_for(matrix: Matrix, paths: Paths) -> None:
    for number, one in enumerate(matrix.cells):
        told = {"class": "nan", "reason": f"reason {number}", "slurm_job": None}
        write_json(paths.work / "runs" / one.path / "failure.json", told)
    found = find_failures(runs(matrix, paths), matrix, paths)
    assert len(summary(found, 16)) == 8
    lines = summary(found, 5)
    assert len(lines) == 5 and lines[-1] == "and 4 more: failures.tsv"
