"""A study on the cluster: the driver that runs it, and what a test waits for and does to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from polysharp.files import read_json
from tests.integration.study import ROOT, Study, copy_study
from tests.slurm.cluster import Cluster

PROFILE = ("--profile", str(ROOT / "profiles/slurm"), "--slurm-init-seconds-before-status-checks=5")
CELL = "main/english/single/sam/seed-1"
EPOCHS = 120  # of a long study
LONG: dict[str, object] = {
    "seeds": [1],
    "methods": {"sam": None},
    "training": {"epochs": EPOCHS, "learning_rate": 1e-4, "dropout": 0.1},
    "report": {"bootstrap": 200},
}


def long_study(ready: Study, folder: Path, **configuration: object) -> Study:
    """Return a study whose one training takes long enough to be disturbed; all before it is done."""
    study = copy_study(ready, folder)
    study.configure(**LONG, **configuration)
    return study


class Driver:
    """The command that runs a study on a cluster, in the background; stopped at the end of the block."""

    def __init__(
        self, cluster: Cluster, study: Study, *arguments: str, snakefile: Path = ROOT / "Snakefile"
    ) -> None:
        self.cluster, self.study = cluster, study
        self._output = study.folder / f"driver-{time.monotonic_ns()}.log"
        command = [
            sys.executable,
            "-m",
            "snakemake",
            *study.command(*PROFILE, *arguments, snakefile=snakefile),
        ]
        with self._output.open("w") as stream:
            self.process = subprocess.Popen(
                cluster.inside(*command), stdout=stream, stderr=stream, preexec_fn=_hear_interrupts
            )

    def __enter__(self) -> Driver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        self.cluster.run("scancel", "--user=root", check=False)

    @property
    def output(self) -> str:
        """Return what it has said."""
        return self._output.read_text()

    def wait(self, condition: Callable[[], bool], seconds: float = 180) -> None:
        """Wait for a condition while it lives."""
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.output
            assert time.monotonic() < end, f"the condition did not come true in time: {self.output}"
            time.sleep(0.2)

    def wait_until_it_trains(self, epoch: int = 3) -> dict[str, Any]:
        """Wait until the training of CELL has come as far as an epoch, and return who has its lease."""
        log = self.study.folder / f"logs/runs/{CELL}.log"
        self.wait(lambda: log.exists() and f"epoch {epoch}/" in log.read_text())
        return holder(self.study)

    def ends(self, seconds: float = 600) -> int:
        """Wait for its end, and return its exit status."""
        return self.process.wait(timeout=seconds)

    def ends_well(self) -> None:
        """Wait for its end, and fail unless it succeeded."""
        assert self.ends() == 0, self.output


def holder(study: Study) -> dict[str, Any]:
    """Return who has the lease of CELL."""
    return dict(read_json(study.folder / "work/runs" / CELL / "lease.json"))


def snapshots(study: Study) -> list[Path]:
    """Return the snapshots of CELL, the newest last."""
    return sorted((study.folder / "work/runs" / CELL).glob("snapshots/*/step-*"))


def log_of(study: Study) -> str:
    """Return the log of CELL's last attempt."""
    return (study.folder / f"logs/runs/{CELL}.log").read_text()


def _hear_interrupts() -> None:
    """Let SIGINT do what it does in a terminal, also when the tests run in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def suspended(process: int) -> Iterator[None]:
    """Let a process do nothing for the length of the block; signals wait for it."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)


def runs_again(cluster: Cluster, job: str) -> bool:
    """Return whether a job that was put back runs again; take from it its two minutes of waiting."""
    cluster.run("scontrol", "update", f"jobid={job}", "StartTime=now", check=False)
    shown = cluster.run("scontrol", "show", "job", "-o", job, check=False).stdout
    return "JobState=RUNNING" in shown and "Restarts=1" in shown


def state_of(cluster: Cluster, job: str) -> str:
    """Return a job's state, as squeue gives it; empty once it has gone."""
    return cluster.run("squeue", "-h", "-t", "all", "-j", job, "-o", "%T", check=False).stdout.strip()


def accounted(cluster: Cluster, study: Study, *fields: str) -> list[list[str]]:
    """Return fields of every job of a study in the accounting, once for each time that it was put back.

    Those of other studies may come into the accounting, or once more, at any time.
    """
    since = "--starttime=now-1day"  # else since midnight, which a run of the tests may see
    shown = cluster.run(
        "sacct", "-X", "-n", "-P", "--duplicates", since, f"--format={','.join(['WorkDir', *fields])}"
    ).stdout
    rows = [line.split("|") for line in shown.splitlines()]
    return [of_job for folder, *of_job in rows if Path(folder) == study.folder]
