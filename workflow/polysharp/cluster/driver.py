"""The runs that are at work in a study's folder: each a `snakemake` that submits jobs and waits for them.

Snakemake locks the files that a run makes, not the folder, and the lock outlives a run that was killed.
Whether a run lives decides whether the jobs in the queue are its own, or were left behind.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polysharp.core.files import read_json, write_json

log = logging.getLogger("polysharp.cluster.driver")
DRIVER = "POLYSHARP_DRIVER"  # variable by which the commands that a run starts know its process
FOLDER = Path("work/drivers")  # of the study: a file for every run; its time is when it was last seen alive
SILENT = 400  # seconds after which a run on another machine is dead: it looks at its jobs every 180 at most


@dataclass(frozen=True)
class Process:
    """A process on one of the machines that share the study's folder.

    As a string it is ``<host>-<number>``. The number alone is not enough: every machine counts its own.
    """

    host: str
    number: int

    def __str__(self) -> str:
        """Return host and number, as names of files and the variable hold them."""
        return f"{self.host}-{self.number}"

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this machine."""
        return self.host == platform.node()


def process_here(number: int | None = None) -> Process:
    """Return the process of this machine with a number; without one, this process."""
    return Process(platform.node(), os.getpid() if number is None else number)


def own_driver() -> Process | None:
    """Return the run that has started this process, or None where no run has."""
    host, _, number = os.environ.get(DRIVER, "").rpartition("-")
    return Process(host, int(number)) if number.isdecimal() else None


def start(process: Process) -> None:
    """Note that this run is at work."""
    write_json(_file(process), {"host": process.host, "process": process.number})


def seen(process: Process) -> None:
    """Show that a run lives."""
    with suppress(FileNotFoundError):
        os.utime(_file(process))


def end(process: Process) -> None:
    """Forget this run."""
    _file(process).unlink(missing_ok=True)


def at_work(process: Process) -> str | None:
    """Return another run than this one that lives, or None; those that do not are forgotten.

    One on another machine that was seen a short while ago is waited for: until it is seen again, or has
    been silent for too long.
    """
    for file in sorted(FOLDER.glob("*.json")):
        if file != _file(process):
            if who := _lives(file):
                return who
            file.unlink(missing_ok=True)
    return None


def may_be_running() -> bool:
    """Return whether a run in this folder may be alive, without waiting until that is known."""
    return any(_may_live(file) for file in FOLDER.glob("*.json"))


def _may_live(file: Path) -> bool:
    noted, last = _read(file)
    if noted is None:
        return False
    here = noted["host"] == platform.node()
    return _runs(noted["process"]) if here else time.time() - last < SILENT


def _read(file: Path) -> tuple[dict[str, Any] | None, float]:
    """Return what a run has noted, or None, and when it was last seen."""
    try:
        return dict(read_json(file)), file.stat().st_mtime
    except (FileNotFoundError, ValueError):
        return None, 0.0


def _file(process: Process) -> Path:
    return FOLDER / f"{process}.json"


def _lives(file: Path) -> str | None:
    """Return who the run of a file is, if it lives."""
    noted, last = _read(file)
    if noted is None:
        return None
    who = f"process {noted['process']} on {noted['host']}"
    if noted["host"] == platform.node():
        return who if _runs(noted["process"]) else None
    left = SILENT - (time.time() - last)
    if left > 0:
        log.info("an earlier run, %s, may still live: that is known in %d seconds at most", who, left)
    with suppress(FileNotFoundError):  # it has ended
        while time.time() - file.stat().st_mtime < SILENT:
            if file.stat().st_mtime > last:
                return who
            time.sleep(1)
    return None


def _runs(process: int) -> bool:
    """Whether a process lives and is Snakemake's: numbers are given again."""
    try:
        return b"snakemake" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False
