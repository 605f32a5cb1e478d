"""Snakemake's lock of a study's folder, of which only what a dead run has left may go.

Snakemake names in lock files what a run reads and makes, but not the run, and a run that is killed leaves
them. So every run notes which ones it holds (:func:`polysharp.cluster.driver.start`). A lock is stale when
the run that has noted it is known to be over; all others stay.
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

FOLDER = Path(".snakemake/locks")  # of the study
UNLOCK = "give the same command once with --unlock at its end, and then again without"


def remove_stale() -> list[str]:
    """Remove the locks of runs that are known to be over, forget these runs, and return who they were."""
    if not any(processes.lives(noted) is False for _, noted, _ in driver.notes()):
        return []
    removed = []
    with suppress(OSError), _alone():  # without a way to be alone Snakemake's own message stays the last word
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
    """Return a line for every run that holds a lock, with what to do where it may be over."""
    left = {lock.name: driver.read_lock(lock) for lock in FOLDER.glob("*.lock")}
    lines = []
    for _, noted, _ in driver.notes():
        mine = [name for name, held in _held(noted) if left.get(name) == held]
        for name in mine:
            del left[name]
        if mine and processes.lives(noted):
            lines.append(f"This folder is in use: {driver.who(noted)} is at work in it.")
        elif mine:
            lines.append(
                f"This folder is locked by {driver.who(noted)}. Whether that still lives cannot be known "
                f"here. If it does not, {UNLOCK}."
            )
    if left:
        lines.append(
            "This folder has a lock, and no note of who holds it: a run that was killed as it started, that "
            f"uses polysharp as a module, or of another workflow. If no snakemake is at work in it, {UNLOCK}."
        )
    return lines


def put_back(study: Path) -> None:
    """Put back the locks of other runs that live: Snakemake removes all of a folder at the end of a run."""
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
    """Yield the locks that a run has noted, by the names of their files."""
    for name, held in noted.get("locks", {}).items():
        if held:
            yield name, held


@contextmanager
def _alone() -> Iterator[None]:
    """Wait until no other process of the folder's removes locks: one of the same name may be new by then."""
    with (driver.FOLDER / "alone").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
