"""The lease of a cell: of several processes that train one cell, the newest owns the lease.

There can be two when Slurm gives up a node whose process is still running, or when a killed driver left
jobs in the queue. The newer process takes the lease, and the older one stops when it next checks it.
"""

from __future__ import annotations

import logging
import os
import platform
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from polysharp.core.errors import Interrupted
from polysharp.core.files import read_json, write_json
from polysharp.core.paths import LEASE

log = logging.getLogger("polysharp.training.lease")
HEARTBEAT = 15  # seconds between two checks of the lease, each of which shows that its owner is alive
FRESH = 60  # seconds after the last heartbeat during which the owner counts as alive


class LeaseLost(Interrupted):
    """Another process trains this cell now; this one must not change anything."""


class Lease:
    """The right to train one cell, in the file ``lease.json`` of its work folder."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / LEASE
        self._token = secrets.token_hex(8)
        self._looked = 0.0
        self.slurm_jobs: list[str] = []  # that have worked on the cell

    def take(self) -> None:
        """Take the lease, even if another process owns it."""
        before, alive = self._read(), self._alive()
        job = os.environ.get("SLURM_JOB_ID")
        self.slurm_jobs = list(dict.fromkeys(filter(None, [*(before or {}).get("slurm_jobs", []), job])))
        holder = {
            "token": self._token,
            "host": platform.node(),
            "process": os.getpid(),
            "slurm_job": job,
            "slurm_jobs": self.slurm_jobs,
        }
        write_json(self._file, holder)
        self._looked = time.monotonic()
        if before and alive:
            job = f" of Slurm job {before['slurm_job']}" if before.get("slurm_job") else ""
            log.warning(
                "taken over from process %s on %s%s, which was active less than %d seconds ago; it will stop",
                before.get("process"),
                before.get("host"),
                job,
                FRESH,
            )

    def beat(self) -> None:
        """Check the lease if the last check is a while ago, and show that its owner is alive.

        Raises
        ------
        LeaseLost
            When another process has taken it.
        """
        if time.monotonic() - self._looked >= HEARTBEAT:
            with suppress(OSError):  # if the file system does not respond, the next step tries again
                self.check()

    def check(self) -> None:
        """Check the lease, before anything is written that two processes must not write.

        Raises
        ------
        LeaseLost
            When another process has taken it.
        """
        holder = self._read()
        if not self._mine(holder):
            who = f"process {holder.get('process')} on {holder.get('host')}" if holder else "another process"
            raise LeaseLost(f"{who} has taken over this cell; nothing more is written here")
        os.utime(self._file)
        self._looked = time.monotonic()

    @property
    def held(self) -> bool:
        """Whether this process still owns the lease."""
        return self._mine(self._read())

    def rest(self) -> None:
        """Keep the lease, but show that its owner has stopped: the next process need not warn of it."""
        os.utime(self._file, (0, 0))

    def release(self) -> None:
        """Release the lease."""
        self._file.unlink(missing_ok=True)

    def _mine(self, holder: dict[str, Any] | None) -> bool:
        return holder is not None and holder.get("token") == self._token

    def _read(self) -> dict[str, Any] | None:
        try:
            return dict(read_json(self._file))
        except (FileNotFoundError, ValueError):
            return None

    def _alive(self) -> bool:
        """Whether the owner has checked the lease recently, by the clock of the file system only."""
        try:
            beaten = self._file.stat().st_mtime
        except FileNotFoundError:
            return False
        probe = self._file.with_name(f".{self._file.name}.{self._token}.staging")
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
        return now - beaten < FRESH
