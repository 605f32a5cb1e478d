"""Snapshots of an unfinished training: complete, verified, or not there.

A snapshot is a folder ``step-<n>`` with the state and a manifest of its SHA-256. It is written
beside its place and renamed into it, so that a process killed at any moment leaves the one before.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from polysharp.errors import Interrupted
from polysharp.files import read_json, replacing_folder, sha256, write_json

log = logging.getLogger("polysharp.snapshots")
STATE, MANIFEST = "state.pt", "manifest.json"
KEPT = 2  # the newest, and the one before in case the newest does not verify


class Snapshots:
    """The snapshots of one training, in a folder of their own.

    Parameters
    ----------
    folder
        Where they are; made when it is needed.
    identity
        What the bytes of the training depend on. A snapshot of another identity is of no use.
    seconds
        Least time between two snapshots; 0 writes one after every step.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], seconds: float) -> None:
        self._folder, self._seconds = folder, seconds
        self._identity = json.loads(json.dumps(identity))  # as the manifest will give it back
        self._saved, self._step = time.monotonic(), 0
        self._signal: int | None = None

    def listen(self) -> None:
        """Turn the first SIGTERM or SIGINT into a request to stop at the next step; a second one kills."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        self._signal = number
        log.info("%s: a snapshot is written after this step", signal.Signals(number).name)
        for again in (signal.SIGTERM, signal.SIGINT):
            signal.signal(again, signal.SIG_DFL)

    @property
    def wanted(self) -> bool:
        """Whether it is time for a snapshot."""
        return self._signal is not None or time.monotonic() - self._saved >= self._seconds

    def write(self, step: int, state: Mapping[str, Any]) -> None:
        """Write the state after `step` steps, and forget all but the newest."""
        folder = self._folder / f"step-{step:08d}"
        with replacing_folder(folder) as staging:
            with (staging / STATE).open("wb") as stream:
                torch.save(dict(state), stream)
                stream.flush()
                os.fsync(stream.fileno())
            manifest = {"step": step, "identity": self._identity, "sha256": sha256(staging / STATE)}
            write_json(staging / MANIFEST, manifest)
        for old in self._all()[:-KEPT]:
            shutil.rmtree(old)
        self._step, self._saved = step, time.monotonic()

    def stop_if_asked(self) -> None:
        """Raise Interrupted when a signal has asked for the end; called when a snapshot is written."""
        if self._signal is not None:
            name = signal.Signals(self._signal).name
            raise Interrupted(
                f"stopped by {name} after step {self._step}; started again it goes on from there"
            )

    def newest(self) -> dict[str, Any] | None:
        """Return the newest state of this training that verifies, or None."""
        for folder in reversed(self._all()):
            reason = self._fault(folder)
            if reason is None:
                log.info("resumed from the snapshot %s", folder.name)
                return dict(torch.load(folder / STATE, map_location="cpu", weights_only=True))
            log.warning("the snapshot %s is removed: %s", folder, reason)
            shutil.rmtree(folder)
        return None

    def clear(self) -> None:
        """Remove them all: the training is complete."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _all(self) -> list[Path]:
        return sorted(self._folder.glob("step-*"))

    def _fault(self, folder: Path) -> str | None:
        """Return what is wrong with a snapshot, None when nothing is."""
        try:
            manifest = read_json(folder / MANIFEST)
            if manifest["identity"] != self._identity:
                changed = sorted(
                    key
                    for key in {*manifest["identity"], *self._identity}
                    if manifest["identity"].get(key) != self._identity.get(key)
                )
                return f"it belongs to other {', '.join(changed)}"
            if sha256(folder / STATE) != manifest["sha256"]:
                return f"{STATE} is not what was written"
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return f"{type(error).__name__}: {error}"
        return None
