"""The runs that are at work in a study's folder: each a `snakemake` that starts jobs and waits for them.

Snakemake locks the files that a run makes, not the folder, and the lock outlives a run that was killed.
Whether a run lives decides whether its lock is stale (:mod:`polysharp.cluster.locks`), and whether the
jobs in the queue are its own, or were left behind.
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


def start(process: Process, locks: Iterable[Path] = ()) -> None:
    """Note that a run of this machine is at work, and which of Snakemake's lock files it holds."""
    held = {lock.name: read_lock(lock) for lock in locks}
    write_json(_file(process), processes.describe(process.number) | {"locks": held})


def read_lock(lock: Path) -> dict[str, Any] | None:
    """Return what tells a lock file from every other one, or None where it is not there."""
    try:
        return {"mtime_ns": lock.stat().st_mtime_ns, "text": lock.read_text(encoding="utf-8")}
    except OSError:
        return None


def is_noted(process: Process) -> bool:
    """Whether this run is noted to be at work, and not an earlier process with its number."""
    noted, _ = _read(_file(process))
    return noted is not None and processes.lives(noted) is not False


def seen(process: Process) -> None:
    """Show that a run lives."""
    with suppress(FileNotFoundError):
        os.utime(_file(process))


def end(process: Process) -> None:
    """Forget this run."""
    _file(process).unlink(missing_ok=True)


def notes() -> Iterator[tuple[Path, dict[str, Any], float]]:
    """Yield the file of every run, what is noted in it, and when it was last seen."""
    for file in sorted(FOLDER.glob("*.json")):
        noted, last = _read(file)
        if noted is not None:
            yield file, noted, last


def at_work(process: Process) -> str | None:
    """Return another run than this one that lives, or None; those that do not are forgotten.

    One on another machine that was seen a short while ago is waited for: until it is seen again, or has
    been silent for too long.
    """
    for file, noted, _ in notes():
        if file != _file(process):
            if found := _lives(file):
                return found
            if processes.lives(noted) is False:  # one elsewhere may only have been silent
                file.unlink(missing_ok=True)
    return None


def may_be_running() -> bool:
    """Return whether a run in this folder may be alive, without waiting until that is known."""
    return any(may_live(noted, last) for _, noted, last in notes())


def may_live(noted: dict[str, Any], last: float) -> bool:
    """Return whether a run may be alive, by what is noted of it and when it was last seen."""
    known = processes.lives(noted)
    return time.time() - last < SILENT if known is None else known


def lives(process: Process) -> bool:
    """Whether a run of this machine is still at work; without a note it is while it can be signalled."""
    noted, _ = _read(_file(process))
    if noted is not None and (known := processes.lives(noted)) is not None:
        return known
    try:
        os.kill(process.number, 0)
    except (ProcessLookupError, PermissionError):  # none, or somebody else's, who has its number now
        return False
    return True


def _read(file: Path) -> tuple[dict[str, Any] | None, float]:
    """Return what a run has noted, or None where that cannot be read, and when it was last seen."""
    try:
        noted, last = dict(read_json(file)), file.stat().st_mtime
    except (OSError, ValueError, TypeError):
        return None, 0.0
    is_whole = isinstance(noted.get("host"), str) and isinstance(noted.get("process"), int)
    return (noted, last) if is_whole else (None, 0.0)


def _file(process: Process) -> Path:
    return FOLDER / f"{process}.json"


def who(noted: dict[str, Any]) -> str:
    """Return how a run is called in messages."""
    return f"process {noted['process']} on {noted['host']}"


def _lives(file: Path) -> str | None:
    """Return who the run of a file is, if it lives."""
    noted, last = _read(file)
    if noted is None:
        return None
    if (known := processes.lives(noted)) is not None:
        return who(noted) if known else None
    left = SILENT - (time.time() - last)
    if left > 0:
        log.info("an earlier run, %s, may still live: that is known in %d seconds at most", who(noted), left)
    with suppress(FileNotFoundError):  # it has ended
        while time.time() - file.stat().st_mtime < SILENT:
            if file.stat().st_mtime > last:
                return who(noted)
            time.sleep(1)
    return None
