"""Files by which the driver and the commands that it starts communicate."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from polysharp.cluster import driver

SAID_EVERY = 300  # seconds between two lines about the same wait
SAID = Path("work/said")  # in the study: a file for every message; its time is when it was shown


def register_driver() -> None:
    """Let the commands of this run find this process, and send it lines for its terminal.

    Only the main Snakemake process of a run is its driver. Jobs that run Snakemake inherit the variable.
    """
    os.environ[driver.DRIVER] = str(driver.process_here())
    for file in (ending_file(), _jobs(), _told()):  # of an earlier process with this number
        file.unlink(missing_ok=True)


def stop_submitting_on(number: signal.Signals) -> None:
    """Stop waiting submissions when this signal arrives, before its existing handler is called.

    When the executor is told to end, it waits for submissions, and would not cancel the jobs they make.
    """
    before, ending = signal.getsignal(number), ending_file().absolute()
    if not callable(before):
        return

    def hear(given: int, frame: FrameType | None) -> None:
        ending.parent.mkdir(parents=True, exist_ok=True)
        ending.touch()
        before(given, frame)

    signal.signal(number, hear)


def end_in_order_on_hangup(runs_jobs_itself: Callable[[], bool]) -> None:
    """At SIGHUP (a closed terminal, a lost connection), stop local jobs, which save their state, and end.

    The lock is released, and the tables are made, as at the end of every run. A run whose jobs are on a
    cluster ends at once: its jobs continue, and the next run takes care of those that are left. If SIGHUP is
    ignored (nohup), nothing changes.

    Parameters
    ----------
    runs_jobs_itself
        Called at the signal. Returns whether the jobs are processes on this machine.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return
    import psutil  # imported here, because every submission imports this module

    def hear(given: int, frame: FrameType | None) -> None:
        if not runs_jobs_itself():
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            signal.raise_signal(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # also for the commands that make the tables
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.send_signal(signal.SIGHUP)
        finish = signal.getsignal(signal.SIGTERM)  # Snakemake's, from the first job on
        if not callable(finish):
            sys.exit(128 + given)
        finish(signal.SIGTERM, frame)

    signal.signal(signal.SIGHUP, hear)


def _of_driver(name: str) -> Path:
    """Return a file of the driver."""
    return SAID / f"{driver.own_driver()}-{name}"


def _jobs() -> Path:
    """Return the file with the jobs that the driver has submitted, one per line."""
    return _of_driver("jobs")


def note_job(job: str) -> None:
    """Record a job that the driver has submitted."""
    with suppress(OSError):  # a full disk: the job is submitted all the same
        _jobs().parent.mkdir(parents=True, exist_ok=True)
        with _jobs().open("a", encoding="utf-8") as stream:
            stream.write(f"{job}\n")


def submitted_jobs() -> set[str]:
    """Return the jobs that the driver has submitted."""
    try:
        return set(_jobs().read_text(encoding="utf-8").split())
    except FileNotFoundError:
        return set()


def ending_file() -> Path:
    """Return the file that exists while the driver is ending."""
    return _of_driver("ending")


def driver_waits() -> bool:
    """Whether the driver is a process on this machine and still active."""
    process = driver.driver_here()
    return process is not None and driver.lives(process)


def _told() -> Path:
    """Return the file with the lines that the driver has to show."""
    return _of_driver("told")


def read_told(start: int = 0) -> tuple[list[str], int]:
    """Return the lines that the driver was sent, from a byte of their file on, and the byte where they end.

    The file only grows, and a line that is still being written is left for the next call.
    """
    try:
        with _told().open("rb") as stream:
            stream.seek(start)
            lines, _, _ = stream.read().rpartition(b"\n")
    except OSError:
        return [], start
    return lines.decode(errors="replace").splitlines(), start + len(lines) + bool(lines)


def tell_driver(what: str, line: str) -> None:
    """Have the driver show a line, because it hides what we print; not too often."""
    if not driver.driver_here():
        return
    said = _of_driver(re.sub(r"\W", "_", what))
    with suppress(OSError):
        if said.exists() and time.time() - said.stat().st_mtime < SAID_EVERY:
            return
        said.parent.mkdir(parents=True, exist_ok=True)
        said.touch()
        with _told().open("a", encoding="utf-8") as stream:
            stream.write(f"{time.strftime('%H:%M:%S')} {line}\n")
