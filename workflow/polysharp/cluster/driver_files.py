"""What the driver and the commands that it starts leave for one another in files."""

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
SAID = Path("work/said")  # of the study: a file for every thing that was said; its time is when it was


def register_driver() -> None:
    """Let the commands below find this process, and tell it what belongs on its terminal.

    Only the main Snakemake of a run is its driver. The jobs that run Snakemake again inherit the variable.
    """
    os.environ[driver.DRIVER] = str(driver.process_here())
    for file in (ending_file(), _jobs(), _told()):  # of an earlier process with this number
        file.unlink(missing_ok=True)


def stop_submitting_on(number: signal.Signals) -> None:
    """From this signal on, before what it does already, let no waiting submission go on.

    The executor waits for them when it is told to end, and would cancel none of the jobs they make.
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
    """At SIGHUP (a terminal that closes, a line that breaks) stop local jobs, which save, and end.

    The lock is released, and the tables are made, as at the end of every run. A run whose jobs are on a
    cluster ends at once: they go on, and what is left of them the next run takes care of. Where SIGHUP is
    ignored (nohup) nothing changes.

    Parameters
    ----------
    runs_jobs_itself
        Says at the signal whether the jobs are processes of this machine.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return
    import psutil  # not above: every submission imports this module

    def hear(given: int, frame: FrameType | None) -> None:
        if not runs_jobs_itself():
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            signal.raise_signal(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # also of what makes the tables
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.send_signal(signal.SIGHUP)
        finish = signal.getsignal(signal.SIGTERM)  # Snakemake's, from the first job on
        if not callable(finish):
            sys.exit(128 + given)
        finish(signal.SIGTERM, frame)

    signal.signal(signal.SIGHUP, hear)


def _of_driver(name: str) -> Path:
    """Return a file of the driver's."""
    return SAID / f"{driver.own_driver()}-{name}"


def _jobs() -> Path:
    """Return the file with the jobs that the driver has submitted, one a line."""
    return _of_driver("jobs")


def note_job(job: str) -> None:
    """Note a job that the driver has submitted."""
    with suppress(OSError):  # a full disk: it is submitted all the same
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
    """Return the file that is there when the driver is being ended."""
    return _of_driver("ending")


def has_driver_here() -> bool:
    """Whether a run of this machine has started this process."""
    process = driver.own_driver()
    return process is not None and process.is_here  # elsewhere its number is another process's


def driver_waits() -> bool:
    """Whether the driver is a process of this machine that still runs."""
    process = driver.own_driver()
    return process is not None and process.is_here and driver.lives(process)


def _told() -> Path:
    """Return the file with the lines that the driver has to show."""
    return _of_driver("told")


def take_told() -> list[str]:
    """Return the lines that the driver was told since it was asked last."""
    taken = _told().with_name(f"{_told().name}-taken")
    try:
        _told().rename(taken)  # what is told from now on comes into a new file
        return taken.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def tell_driver(what: str, line: str) -> None:
    """Have the driver say a line, as it shows nothing of what we print; not too often."""
    if not has_driver_here():
        return
    said = _of_driver(re.sub(r"\W", "_", what))
    with suppress(OSError):
        if said.exists() and time.time() - said.stat().st_mtime < SAID_EVERY:
            return
        said.parent.mkdir(parents=True, exist_ok=True)
        said.touch()
        with _told().open("a", encoding="utf-8") as stream:
            stream.write(f"{time.strftime('%H:%M:%S')} {line}\n")
