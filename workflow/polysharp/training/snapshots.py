"""Snapshots of an unfinished training, verified by checksum.

A snapshot is a folder ``step-<n>`` with the state and a manifest that has its SHA-256. It is written next
to its final place and then renamed, so that a process killed at any moment leaves the previous one intact.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from polysharp.core.files import read_json, remove_staging, replacing_folder, sha256, write_json
from polysharp.training.lease import Lease

log = logging.getLogger("polysharp.training.snapshots")
STATE, MANIFEST = "state.pt", "manifest.json"
KEPT = 2  # the newest, and the previous one in case the newest is damaged


class StopRequest:
    """A request to stop this process, made by a signal."""

    def __init__(self) -> None:
        self._signal: signal.Signals | None = None

    def listen(self) -> None:
        """Turn SIGTERM, SIGINT or SIGHUP into a request to stop; a further SIGINT kills.

        Further SIGTERMs and SIGHUPs change nothing: Slurm sends several, directly and through srun, and a
        terminal that closes sends more than one. If SIGHUP is ignored (nohup), it stays ignored.
        """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._hear)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        first = not self.made
        self._signal = signal.Signals(number)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if first:  # logged last, as the next signal may come while this one is logged
            log.info("%s: stopping as soon as the state is saved", self._signal.name)

    @property
    def made(self) -> bool:
        """Whether a stop was requested."""
        return self._signal is not None


class Snapshots:
    """The snapshots of one training.

    Parameters
    ----------
    folder
        Has a folder for each identity; created when needed.
    identity
        What the bytes of the training depend on. Snapshots of another identity are left alone.
    seconds
        Minimum time between two snapshots; 0 takes one after every step.
    stop
        Requests a last snapshot and the end of the training.
    lease
        Checked whenever `due` is read, and before a snapshot is written.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, Any],
        seconds: float,
        stop: StopRequest | None = None,
        lease: Lease | None = None,
    ) -> None:
        self._all_identities, self._identity = folder, dict(identity)
        text = json.dumps(self._identity, sort_keys=True)
        self._folder = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
        self._seconds, self._taken = seconds, time.monotonic()
        self._stop, self._lease = stop, lease

    @property
    def asked_to_stop(self) -> bool:
        """Whether a signal has requested a stop."""
        return self._stop is not None and self._stop.made

    @property
    def due(self) -> bool:
        """Whether a snapshot is due."""
        if self._lease:
            self._lease.beat()
        return self.asked_to_stop or time.monotonic() - self._taken >= self._seconds

    def taken(self) -> None:
        """Record that a snapshot was just taken, by this process or, if several train, by another."""
        self._taken = time.monotonic()

    def write(self, step: int, state: Mapping[str, Any]) -> None:
        """Write the state after `step` steps, and remove old snapshots."""
        if self._lease:
            self._lease.check()
        with replacing_folder(self._folder / f"step-{step:08d}") as staging:
            with (staging / STATE).open("wb") as stream:  # so that errors, as of a full disk, are Python's
                torch.save(dict(state), stream)
            manifest = {"step": step, "identity": self._identity, "sha256": sha256(staging / STATE)}
            write_json(staging / MANIFEST, manifest)
        for old in self._written()[:-KEPT]:
            shutil.rmtree(old)

    def newest(self) -> str | None:
        """Return the name of the newest intact snapshot, or None; damaged ones are removed."""
        remove_staging(self._folder)
        for folder in reversed(self._written()):
            try:
                intact = sha256(folder / STATE) == read_json(folder / MANIFEST)["sha256"]
            except (FileNotFoundError, ValueError, KeyError, TypeError):
                intact = False
            if intact:
                return folder.name
            log.warning("the snapshot %s is damaged and removed", folder)
            shutil.rmtree(folder)
        if any(self._all_identities.glob("*/step-*")):
            log.info(
                "the snapshots in %s are not used: settings, data, model, code or hardware differ",
                self._all_identities,
            )
        return None

    def read(self, name: str) -> dict[str, Any]:
        """Return the state of a snapshot by its name."""
        return dict(torch.load(self._folder / name / STATE, map_location="cpu", weights_only=True))

    def clear(self) -> None:
        """Remove all snapshots: the training is complete."""
        shutil.rmtree(self._all_identities, ignore_errors=True)

    def _written(self) -> list[Path]:
        return sorted(self._folder.glob("step-*"))
