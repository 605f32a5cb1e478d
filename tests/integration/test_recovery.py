"""The same command resumes a run however it ended, and the lock of an active run is kept."""

import fcntl
import os
import platform
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

import pytest

from tests.integration.study import Study

CELL = "main/english/single/sam/seed-1"
LOG = f"logs/runs/{CELL}.log"


class Terminal:
    """A run in a terminal of its own, which can be closed: real processes, not forks of the tests' server."""

    def __init__(self, study: Study, *arguments: str) -> None:
        self._own: int | None
        self._own, terminal = pty.openpty()
        self.run = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *study.command("-c2", *arguments)],
            stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(terminal)

    def wait(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 240
        while not condition():
            assert self.run.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)

    def close(self) -> None:
        """Have the kernel send SIGHUP to all that run in it; nothing can be written to it any more."""
        if self._own is not None:
            os.close(self._own)
            self._own = None


@contextmanager
def in_terminal(study: Study, *arguments: str) -> Iterator[Terminal]:
    """Run a study in a terminal; at the end its run is killed and the terminal closed."""
    terminal = Terminal(study, *arguments)
    try:
        yield terminal
    finally:
        terminal.run.kill()
        terminal.run.wait()
        terminal.close()


def locks(study: Study) -> dict[str, bytes]:
    return {lock.name: lock.read_bytes() for lock in (study.folder / ".snakemake/locks").glob("*.lock")}


def drivers(study: Study) -> list[Path]:
    return list((study.folder / "work/drivers").glob("*.json"))


def test_a_killed_run_goes_on_with_the_same_command_and_a_stopped_one_keeps_its_lock(tmp_path: Path) -> None:
    study = Study.write(
        tmp_path / "a study", [("english", "single")],
        methods={"tfidf": None}, report={"bootstrap": 200},
    )  # fmt: skip
    with in_terminal(study) as killed:
        # A job has begun, and nothing is done: the files that it was to make are incomplete.
        killed.wait(lambda: drivers(study) and list((study.folder / ".snakemake/incomplete").iterdir()))
        killed.run.send_signal(signal.SIGSTOP)
        held = locks(study)
        assert held

        # Another run of the same files is refused, and says who has them. A look at the tables is none.
        refused = study.run("-c2")
        assert refused.returncode != 0
        lives = f"This folder is in use: process {killed.run.pid} on {platform.node()} is running in it."
        assert lives in refused.stderr and "LockException" in refused.stderr
        study.completed("-c1", "partial")
        assert locks(study) == held
        killed.run.kill()
        killed.run.wait()
        assert locks(study) == held
        again = study.run("-c2")
    assert again.returncode == 0, again.stdout + again.stderr
    over = f"process {killed.run.pid} on {platform.node()}, which has ended, is removed."
    assert f"The lock of an earlier run, {over}" in again.stderr
    assert {row["status"] for row in study.table("runs.tsv")} == {"complete"}
    assert not locks(study) and not drivers(study)


@pytest.mark.slow  # trainings in real processes
def test_a_training_whose_terminal_is_closed_goes_on_with_the_same_command(tmp_path: Path) -> None:
    study = Study.write(
        tmp_path / "study", [("english", "single")],
        seeds=[1], methods={"sam": None}, report={"bootstrap": 200},
        training={"epochs": 20, "learning_rate": 1e-3},
        snapshot_seconds=0,  # after every step, which takes its time
    )  # fmt: skip
    study.completed("-c2")
    before = study.bytes_of_results()
    rmtree(study.folder / "results/runs" / CELL)
    forced = ("--forcerun", f"results/runs/{CELL}/job.json")
    with in_terminal(study, *forced) as closed:
        snapshots = study.folder / "work/runs" / CELL / "snapshots"
        closed.wait(lambda: list(snapshots.glob("*/step-*")))
        closed.close()
        assert closed.run.wait(timeout=120) == 1
    assert "SIGHUP: stopping as soon as the state is saved" in (study.folder / LOG).read_text()
    assert not locks(study) and not drivers(study)
    (row,) = study.table("runs.tsv")
    assert row["status"] == "failed" and "rerun to resume there" in row["reason"]

    study.completed("-c2", *forced)
    assert "resumed from the snapshot step-" in (study.folder / LOG).read_text()
    assert study.bytes_of_results() == before
