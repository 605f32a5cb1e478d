"""Snapshots: complete, verified, or not used; and a training stopped by a signal."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from polysharp.core.files import read_json
from polysharp.models.prepare import prepare_model
from polysharp.results.source_code import training_sha256
from polysharp.training.snapshots import Snapshots, StopRequest
from tests import warm

IDENTITY = {"seed": 1, "settings": {"rho": 0.05}}


def state(step: int) -> dict[str, Any]:
    return {"weights": torch.full((3,), float(step)), "progress": {"step": step, "losses": [0.5, 0.25]}}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Return a folder of three snapshots, of which the oldest is gone."""
    snapshots = Snapshots(tmp_path / "snapshots", IDENTITY, 0)
    for step in (1, 2, 30):
        snapshots.write(step, state(step))
    return tmp_path / "snapshots"


def newest_step(folder: Path, identity: dict[str, Any] = IDENTITY) -> int | None:
    snapshots = Snapshots(folder, identity, 0)
    name = snapshots.newest()
    return None if name is None else snapshots.read(name)["progress"]["step"]


def folder_of(root: Path, step: int) -> Path:
    (found,) = root.glob(f"*/step-{step:08d}")
    return found


def test_the_two_newest_are_kept_and_the_newest_is_taken(written: Path) -> None:
    assert sorted(path.name for path in written.glob("*/*")) == ["step-00000002", "step-00000030"]
    snapshots = Snapshots(written, IDENTITY, 0)
    name = snapshots.newest()
    assert name is not None
    found = snapshots.read(name)
    assert torch.equal(found["weights"], torch.full((3,), 30.0))
    assert found["progress"] == {"step": 30, "losses": [0.5, 0.25]}


def test_without_snapshots_there_is_none(tmp_path: Path) -> None:
    assert newest_step(tmp_path / "nowhere") is None


@pytest.mark.parametrize("file", ["state.pt", "manifest.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped"])
def test_a_damaged_snapshot_gives_way_to_the_one_before(file: str, damage: str, written: Path) -> None:
    path = folder_of(written, 30) / file
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "flipped":
        place = content.index(b"sha256") + 12 if file == "manifest.json" else len(content) // 2
        content[place] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(content[: len(content) // 2 if damage == "cut" else 0])
    assert newest_step(written) == 2
    assert newest_step(written) == 2  # and the damaged one is gone
    assert len(list(written.glob("*/step-*"))) == 1


def test_what_belongs_to_other_work_is_left_alone(written: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="polysharp"):
        assert newest_step(written, IDENTITY | {"seed": 2}) is None
    assert "settings, data, model, code or hardware differ" in caplog.text
    Snapshots(written, IDENTITY | {"seed": 2}, 0).write(5, state(5))
    assert newest_step(written, IDENTITY | {"seed": 2}) == 5
    assert newest_step(written) == 30
    Snapshots(written, IDENTITY, 0).clear()
    assert not written.exists()


def test_a_write_that_breaks_off_leaves_what_was_there(written: Path) -> None:
    snapshots = Snapshots(written, IDENTITY, 0)
    with pytest.raises(AttributeError):
        snapshots.write(31, {"what": lambda: "cannot be saved"})
    assert newest_step(written) == 30


def test_what_a_killed_process_left_half_written_is_removed(written: Path) -> None:
    half = folder_of(written, 30).parent / ".step-00000031.123.staging"
    half.mkdir()
    (half / "state.pt").write_bytes(b"half")
    assert newest_step(written) == 30
    assert not half.exists()


def test_a_signal_asks_for_the_end_and_only_a_sigint_after_it_kills(tmp_path: Path) -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        stop = StopRequest()
        snapshots = Snapshots(tmp_path, IDENTITY, 1000, stop)
        stop.listen()
        os.kill(os.getpid(), signal.SIGHUP)
        assert not snapshots.due and not snapshots.asked_to_stop
        os.kill(os.getpid(), signal.SIGTERM)
        assert snapshots.due and snapshots.asked_to_stop
        os.kill(os.getpid(), signal.SIGTERM)  # Slurm sends several
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_snapshots_are_due_by_time(tmp_path: Path) -> None:
    assert Snapshots(tmp_path, IDENTITY, 0).due
    snapshots = Snapshots(tmp_path, IDENTITY, 2)
    assert not snapshots.due
    time.sleep(2.1)
    assert snapshots.due
    snapshots.taken()
    assert not snapshots.due


EPOCHS = 12
RESULTS = [
    "run/predictions.parquet",
    "run/report.json",
    "run/history.jsonl",
    "work/checkpoint/model.safetensors",
]


@pytest.fixture(scope="module")
def train(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Callable[[str], Path],
    prepared_folder: Callable[[str], Path],
) -> Callable[..., "subprocess.Popen[str]"]:
    """Start the command in a folder, with so many seconds between two snapshots."""
    model = tmp_path_factory.mktemp("snapshots") / "model"
    prepare_model(str(tiny_model("bert")), None, model)

    def start(folder: Path, seconds: float, python: str | None = None) -> "subprocess.Popen[str]":
        options: dict[str, object] = {
            "--data": prepared_folder("single"),
            "--model": model,
            "--output": folder / "run",
            "--work": folder / "work",
            "--snapshot-seconds": seconds,
            "--failure": folder / "failure.json",
        }
        settings = ["--set", f"epochs={EPOCHS}", "batch_size=4", "dropout=0.1", "micro_batch_size=3"]
        flat = [str(part) for option in options.items() for part in option]
        return subprocess.Popen(
            [python or warm.python(), "-m", "polysharp", "train", *flat, *settings],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return start


@pytest.fixture(scope="module")
def whole(train: Callable[..., "subprocess.Popen[str]"], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a training that nothing has stopped. To be read only."""
    folder = tmp_path_factory.mktemp("whole")
    with train(folder, 600) as process:
        _, log = process.communicate()
    assert process.returncode == 0, log
    return folder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_the_command_stopped_and_started_again_gives_the_same_bytes(
    number: signal.Signals, tmp_path: Path, train: Callable[..., "subprocess.Popen[str]"], whole: Path
) -> None:
    """All but SIGKILL are answered by a snapshot; after that the last one that was due is taken."""
    snapshots = tmp_path / "work/snapshots"
    killed = number == signal.SIGKILL
    with train(tmp_path, 0 if killed else 600, sys.executable if killed else None) as process:
        assert process.stderr
        for line in process.stderr:
            if f"epoch 3/{EPOCHS}" in line:
                process.send_signal(number)
                break
        process.stderr.read()
    if killed:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 75
        reason = json.loads((tmp_path / "failure.json").read_text())["reason"]
        assert reason.startswith("stopped after step ")
    manifests = list(snapshots.glob("*/step-*/manifest.json"))
    assert {read_json(path)["identity"]["code"] for path in manifests} == {training_sha256()}
    assert not (tmp_path / "run").exists()
    with train(tmp_path, 600) as process:
        _, log = process.communicate()
    assert process.returncode == 0, log
    assert "resumed from the snapshot step-" in log
    assert f"epoch 1/{EPOCHS}" not in log
    for file in RESULTS:
        assert (tmp_path / file).read_bytes() == (whole / file).read_bytes(), file
    assert not snapshots.exists()
    assert not (tmp_path / "failure.json").exists()
