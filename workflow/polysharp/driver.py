"""The run that is at work in a study's folder: the `snakemake` that submits its jobs and waits for them.

Snakemake locks the files that a run makes, not the folder, and the lock outlives a run that was killed.
Whether a run lives decides whether the jobs in the queue are its own, or were left behind.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from polysharp.files import read_json, write_json

log = logging.getLogger("polysharp.driver")
FILE = Path("work/driver.json")  # of the study; its time is when the run was last seen alive
SILENT = 400  # seconds after which a run on another machine is dead: it looks at its jobs every 180 at most


def start(process: int) -> None:
    """Note that this run is at work."""
    write_json(FILE, {"host": platform.node(), "process": process})


def seen() -> None:
    """Show that the run that is noted lives."""
    with suppress(FileNotFoundError):
        os.utime(FILE)


def end(process: int) -> None:
    """Forget this run, if it is the one that is noted."""
    with suppress(FileNotFoundError, ValueError):
        if read_json(FILE) == {"host": platform.node(), "process": process}:
            FILE.unlink()


def at_work() -> str | None:
    """Return the run that is noted and lives, or None.

    One on another machine that was seen a short while ago is waited for: until it is seen again, or has
    been silent for too long.
    """
    try:
        noted: dict[str, Any] = read_json(FILE)
        last = FILE.stat().st_mtime
    except (FileNotFoundError, ValueError):
        return None
    who = f"process {noted['process']} on {noted['host']}"
    if noted["host"] == platform.node():
        return who if _runs(noted["process"]) else None
    left = SILENT - (time.time() - last)
    if left > 0:
        log.info("an earlier run, %s, may still live: that is known in %d seconds at most", who, left)
    with suppress(FileNotFoundError):  # it has ended
        while time.time() - FILE.stat().st_mtime < SILENT:
            if FILE.stat().st_mtime > last:
                return who
            time.sleep(1)
    return None


def _runs(process: int) -> bool:
    """Whether a process lives and is Snakemake's: numbers are given again."""
    try:
        return b"snakemake" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False
