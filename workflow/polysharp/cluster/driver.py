"""The active runs in a study's folder: each is a `snakemake` that starts jobs and waits for them.

Snakemake locks the files that a run makes, not the folder, and a run that is killed leaves its lock. Whether
a run is active decides whether its lock is stale (:mod:`polysharp.cluster.locks`), and whether jobs in the
queue belong to it, or were left behind.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polysharp.cluster import processes
from polysharp.core.files import read_json, write_json

log = logging.getLogger("polysharp.cluster.driver")
DRIVER = "POLYSHARP_DRIVER"  # environment variable that tells the commands of a run its process
FOLDER = Path("work/drivers")  # in the study: a file for every run; its time is when it was last seen alive
SILENT = 400  # seconds after which a run on another machine counts as dead; it shows signs of life every 180


@dataclass(frozen=True)
class Process:
    """A process on one of the machines that share the study's folder.

    As a string it is ``<host>-<number>``. The number alone is not enough: it is only unique on one machine.
    """

    host: str
    number: int

    def __str__(self) -> str:
        """Return host and number, as used in file names and in the environment variable."""
        return f"{self.host}-{self.number}"

    @property
    def is_here(self) -> bool:
        """Whether it is a process on this machine."""
        return self.host == platform.node()


def process_here(number: int | None = None) -> Process:
    """Return the process on this machine with a number; without a number, this process."""
    return Process(platform.node(), os.getpid() if number is None else number)


def own_driver() -> Process | None:
    """Return the run that has started this process, or None."""
    host, _, number = os.environ.get(DRIVER, "").rpartition("-")
    return Process(host, int(number)) if number.isdecimal() else None


def driver_here() -> Process | None:
    """Return the run that started this process if it is on this machine, else None."""
    process = own_driver()
    return process if process and process.is_here else None  # elsewhere the number is another process's


def start(process: Process, locks: Iterable[Path] = ()) -> None:
    """Record that a run on this machine is active, and which of Snakemake's lock files it holds."""
    held = {lock.name: read_lock(lock) for lock in locks}
    write_json(_file(process), processes.describe(process.number) | {"locks": held})


def read_lock(lock: Path) -> dict[str, Any] | None:
    """Return what identifies a lock file, or None if it does not exist."""
    try:
        return {"mtime_ns": lock.stat().st_mtime_ns, "text": lock.read_text(encoding="utf-8")}
    except OSError:
        return None


def is_noted(process: Process) -> bool:
    """Whether this run is recorded as active, and not an earlier process with the same number."""
    noted, _ = _read(_file(process))
    return noted is not None and processes.lives(noted) is not False


def seen(process: Process) -> None:
    """Show that a run is alive."""
    with suppress(FileNotFoundError):
        os.utime(_file(process))


def end(process: Process) -> None:
    """Remove the record of this run."""
    _file(process).unlink(missing_ok=True)


def notes() -> Iterator[tuple[Path, dict[str, Any], float]]:
    """Yield the file of every run, the record in it, and when the run was last seen."""
    for file in sorted(FOLDER.glob("*.json")):
        noted, last = _read(file)
        if noted is not None:
            yield file, noted, last


def at_work(process: Process) -> str | None:
    """Return another run that is alive, or None; records of dead runs are removed.

    If a run on another machine was seen a short while ago, wait until it is seen again, or has been silent
    for too long.
    """
    for file, noted, _ in notes():
        if file != _file(process):
            if found := _lives(file):
                return found
            if processes.lives(noted) is False:  # a run elsewhere may only have been silent
                file.unlink(missing_ok=True)
    return None


def may_be_running() -> bool:
    """Return whether a run in this folder may be alive, without waiting to be certain."""
    return any(may_live(noted, last) for _, noted, last in notes())


def may_live(noted: dict[str, Any], last: float) -> bool:
    """Return whether a run may be alive, by its record and when it was last seen."""
    known = processes.lives(noted)
    return time.time() - last < SILENT if known is None else known


def lives(process: Process) -> bool:
    """Whether a run on this machine is still active; without a record, whether it can be signalled."""
    noted, _ = _read(_file(process))
    if noted is not None and (known := processes.lives(noted)) is not None:
        return known
    try:
        os.kill(process.number, 0)
    except (ProcessLookupError, PermissionError):  # no process, or another user's that has the number now
        return False
    return True


def _read(file: Path) -> tuple[dict[str, Any] | None, float]:
    """Return the record of a run, or None if it cannot be read, and when the run was last seen."""
    try:
        noted, last = dict(read_json(file)), file.stat().st_mtime
    except (OSError, ValueError, TypeError):
        return None, 0.0
    is_whole = isinstance(noted.get("host"), str) and isinstance(noted.get("process"), int)
    return (noted, last) if is_whole else (None, 0.0)


def _file(process: Process) -> Path:
    return FOLDER / f"{process}.json"


def who(noted: dict[str, Any]) -> str:
    """Return how messages refer to a run."""
    return f"process {noted['process']} on {noted['host']}"


def _lives(file: Path) -> str | None:
    """Return how messages refer to the run of a file, if it is alive."""
    noted, last = _read(file)
    if noted is None:
        return None
    if (known := processes.lives(noted)) is not None:
        return who(noted) if known else None
    left = SILENT - (time.time() - last)
    if left > 0:
        log.info("an earlier run, %s, may still be active; waiting up to %d seconds for it", who(noted), left)
    with suppress(FileNotFoundError):  # it has ended
        while time.time() - file.stat().st_mtime < SILENT:
            if file.stat().st_mtime > last:
                return who(noted)
            time.sleep(1)
    return None
