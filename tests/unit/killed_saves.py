"""Train a cell, kill the training before one of its writes, train on, compare: for every kind of write.

    python -m tests.unit.killed_saves MODEL DATA FOLDER [--every]

Kills once at every kind of write, or with --every at each single write. Prints a line of JSON for every
kill. Python reports what it does to files as audit events; the process forks for every training, as its
libraries take seconds to load.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree

from polysharp.config.settings import ModelSettings, TrainingSettings
from polysharp.data.prepared import read_prepared
from polysharp.models.folder import read_identity
from polysharp.results.runs import write_receipt
from polysharp.training.cells import train_cell
from polysharp.training.hardware import accelerator
from polysharp.training.inputs import PretrainedModel, SharedTrainingInputs
from polysharp.training.snapshots import StopRequest

WRITES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.utime"}


class Writes:
    """The writes of this process inside a folder, in their order; at one of them the process is killed."""

    def __init__(self, folder: Path, kill_at: int | None) -> None:
        self._folder, self._kill_at = str(folder), kill_at
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        path = str(arguments[0]) if arguments else ""
        if event == "open":
            flags = arguments[2]
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event not in WRITES:
            return
        if not path.startswith(self._folder):
            return
        if len(self.seen) == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.seen.append(f"{event} {path.removeprefix(self._folder)}")


def train(model: Path, data: Path, folder: Path) -> None:
    """Train a cell of four steps with a snapshot after each, of which the newest two are kept."""
    settings = TrainingSettings(epochs=2, batch_size=20, dropout=0.1, inverse_regularisation=[0.1])
    reading = ModelSettings(name="tiny", max_length=24)
    device = accelerator("float32", 1)
    inputs = SharedTrainingInputs(
        PretrainedModel(model, reading), read_prepared(data), settings, "macro_f1", device
    )
    work, output = folder / "work", folder / "run"
    train_cell(inputs, read_identity(model), 1, output, work, StopRequest(), 0)
    write_receipt(output / "job.json", {1: output})


def forked(work: Callable[[], None]) -> int:
    """Do something in a fork of this process, and return how it ended."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def content(folder: Path) -> dict[str, bytes]:
    """Return what has to be the same."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "costs.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def main(model: Path, data: Path, folder: Path, every: bool) -> None:
    whole = folder / "whole"

    def undisturbed() -> None:
        writes = Writes(whole, None)
        train(model, data, whole)
        (folder / "writes.json").write_text(json.dumps(writes.seen))

    assert forked(undisturbed) == 0
    expected = content(whole)
    seen = json.loads((folder / "writes.json").read_text())
    places: dict[str, list[int]] = {}
    for number, write in enumerate(seen):
        places.setdefault(re.sub(r"step-\d+|\.\w+\.staging", "#", write), []).append(number)
    for place, (kind, numbers) in enumerate(places.items()):
        # Of the same write in several snapshots the first, at the next kind of write the last.
        for number in numbers if every else [numbers[-(place % 2)]]:
            study = folder / f"killed-{number}"

            def killed(study: Path = study, number: int = number) -> None:
                Writes(study, number)
                train(model, data, study)

            ended = forked(killed)
            resumed = forked(lambda study=study: train(model, data, study))  # type: ignore[misc]
            print(
                json.dumps(
                    {
                        "write": kind,
                        "killed": ended == -signal.SIGKILL,
                        "resumed": resumed == 0,
                        "same": content(study) == expected,
                    }
                ),
                flush=True,
            )
            rmtree(study)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), every="--every" in sys.argv)
