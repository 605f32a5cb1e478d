"""Snakemake's locks of a study's folder: only those that a dead run has left are removed.

Snakemake's lock files list what a run reads and makes, but not which run it is, and a run that is killed
leaves them. Therefore every run records which ones it holds (:func:`polysharp.cluster.driver.start`). A lock
is stale if the run that recorded it is known to have ended. All others are kept.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import chdir, contextmanager, suppress
from pathlib import Path
from typing import Any

from polysharp.cluster import driver, processes
from polysharp.core.files import replacing

FOLDER = Path(".snakemake/locks")  # in the study
UNLOCK = "run the same command once with --unlock at its end, and then again without it"


def remove_stale() -> list[str]:
    """Remove locks and records of runs that are known to have ended, and return which runs they were."""
    if not any(processes.lives(noted) is False for _, noted, _ in driver.notes()):
        return []
    removed = []
    with suppress(OSError), _alone():  # if this fails, Snakemake itself reports the lock
        for file, noted, _ in driver.notes():
            if processes.lives(noted) is False:
                stale = [
                    FOLDER / name for name, held in _held(noted) if driver.read_lock(FOLDER / name) == held
                ]
                for lock in stale:
                    lock.unlink()
                file.unlink(missing_ok=True)
                removed += [driver.who(noted)] if stale else []
    return removed


def who_holds() -> list[str]:
    """Return a line for every run that holds a lock, with what to do if it may have ended."""
    left = {lock.name: driver.read_lock(lock) for lock in FOLDER.glob("*.lock")}
    lines = []
    for _, noted, _ in driver.notes():
        mine = [name for name, held in _held(noted) if left.get(name) == held]
        for name in mine:
            del left[name]
        if mine and processes.lives(noted):
            lines.append(f"This folder is in use: {driver.who(noted)} is running in it.")
        elif mine:
            lines.append(
                f"This folder is locked by {driver.who(noted)}. Whether that is still running cannot be "
                f"known here. If it is not, {UNLOCK}."
            )
    if left:
        lines.append(
            "This folder is locked, and there is no record by whom: a run that was killed as it started, one "
            "that uses polysharp as a module, or another workflow. If no snakemake is running in it, "
            f"{UNLOCK}."
        )
    return lines


def put_back(study: Path) -> None:
    """Restore the locks of other active runs: at the end of a run, Snakemake removes all of a folder."""
    with suppress(OSError), chdir(study):
        for file, noted, last in driver.notes():
            if driver.may_live(noted, last):
                for name, held in _held(noted):
                    if not (FOLDER / name).exists():
                        _write(FOLDER / name, held)
                        if not file.exists():  # it has ended meanwhile
                            (FOLDER / name).unlink(missing_ok=True)


def _write(lock: Path, held: dict[str, Any]) -> None:
    with replacing(lock) as staging:
        staging.write_text(held["text"], encoding="utf-8")
        os.utime(staging, ns=(held["mtime_ns"], held["mtime_ns"]))


def _held(noted: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the locks that a run has recorded, by file name."""
    for name, held in noted.get("locks", {}).items():
        if held:
            yield name, held


@contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other process removes locks here: a lock of the same name may be new by then."""
    with (driver.FOLDER / "alone").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
