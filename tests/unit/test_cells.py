"""The command that trains cells: several in one process, complete ones left alone."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from polysharp.core.files import read_json, sha256, write_json
from polysharp.models.prepare import prepare_model
from tests import warm

METHOD = "main/english/single/sam"
FILES = [
    f"run/{METHOD}/seed-{{}}/report.json",
    f"run/{METHOD}/seed-{{}}/predictions.parquet",
    f"run/{METHOD}/seed-{{}}/history.jsonl",
    f"work/{METHOD}/seed-{{}}/checkpoint/model.safetensors",
    f"work/{METHOD}/seed-{{}}/checkpoint/config.json",
]
OFTEN = (
    "import polysharp.cli, polysharp.training.lease; "
    "polysharp.training.lease.HEARTBEAT = 0.2; polysharp.cli.main()"
)


class Command:
    """`polysharp train` on one data set and model, in a folder."""

    def __init__(self, folder: Path, data: Path, model: Path) -> None:
        self.folder, self.data, self.model = folder, data, model

    def report(self, seed: int) -> Path:
        return self.folder / f"run/{METHOD}/seed-{seed}/report.json"

    def start(
        self, seeds: list[int], *settings: str, folder: Path | None = None, study: list[int] | None = None
    ) -> "subprocess.Popen[str]":
        """Start the command, in which a process often looks at its lease."""
        known = ["--study-seeds", *map(str, study)] if study else []
        return self._start([f"{METHOD}/seed-{seed}" for seed in seeds], known, settings, folder)

    def _start(
        self, cells: Sequence[str], known: Sequence[str], settings: Sequence[str], folder: Path | None
    ) -> "subprocess.Popen[str]":
        folder = folder or self.folder
        options: dict[str, object] = {
            "--data": self.data,
            "--model": self.model,
            "--output": folder / "run/{cell}",
            "--work": folder / "work/{cell}",
            "--failure": folder / "work/{cell}/failure.json",
            "--receipt": folder / "job.json",
        }
        flat = [str(part) for option in options.items() for part in option]
        script = [warm.python(), "-c", OFTEN, "train", *flat]
        chosen = [
            "--cells",
            *cells,
            *known,
            "--set",
            "epochs=2",
            "batch_size=8",
            "dropout=0.1",
            *settings,
        ]
        return subprocess.Popen([*script, *chosen], stderr=subprocess.PIPE, text=True)

    def __call__(
        self, seeds: list[int], *settings: str, folder: Path | None = None, study: list[int] | None = None
    ) -> tuple[int, str]:
        with self.start(seeds, *settings, folder=folder, study=study) as process:
            _, log = process.communicate(timeout=300)
        return process.returncode, log

    def train(self, cells: Sequence[str], folder: Path | None = None) -> tuple[int, str]:
        """Train cells of any data sets."""
        with self._start(cells, (), (), folder) as process:
            _, log = process.communicate(timeout=300)
        return process.returncode, log


@pytest.fixture
def command(
    tmp_path: Path, tiny_model: Callable[[str], Path], prepared_folder: Callable[[str], Path]
) -> Command:
    prepare_model(str(tiny_model("bert")), None, tmp_path / "model")
    return Command(tmp_path / "study", prepared_folder("single"), tmp_path / "model")


@pytest.mark.parametrize("settings", [(), ("train_size=20",), ('head="random"',)], ids=str)
def test_seeds_of_one_job_have_the_bytes_of_jobs_of_their_own(
    command: Command, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    status, log = command([3, 1], *settings)
    assert status == 0, log
    for seed in (1, 3):
        alone = tmp_path / f"alone-{seed}"
        assert command([seed], *settings, folder=alone)[0] == 0
        for file in FILES:
            name = file.format(seed)
            if (
                "checkpoint" not in name
                or (command.folder / f"work/{METHOD}/seed-{seed}/checkpoint").exists()
            ):
                assert (command.folder / name).read_bytes() == (alone / name).read_bytes(), name
    kept = {path.parent.name for path in command.folder.glob(f"work/{METHOD}/*/checkpoint")}
    values = {
        f"seed-{seed}": read_json(command.report(seed))["scores"]["validation"]["macro_f1"] for seed in (1, 3)
    }
    assert kept == {seed for seed, value in values.items() if value == max(values.values())}
    reports = {f"{METHOD}/seed-{seed}": sha256(command.report(seed)) for seed in (3, 1)}
    assert read_json(command.folder / "job.json") == {"sha256": reports}
    assert len(set(reports.values())) == 2
    assert {path.name for path in command.folder.glob(f"work/{METHOD}/*/*")} == {"checkpoint"}


def test_a_complete_seed_is_left_alone_and_the_missing_one_is_trained(command: Command) -> None:
    assert command([1])[0] == 0
    report = command.report(1)
    before = report.stat().st_mtime_ns
    status, log = command([1, 2])
    assert status == 0
    assert "seed 1 is complete" in log and "seed 2 is complete" not in log
    assert report.stat().st_mtime_ns == before
    assert set(read_json(command.folder / "job.json")["sha256"]) == {
        f"{METHOD}/seed-{seed}" for seed in (1, 2)
    }
    # Other settings are other work.
    status, log = command([1, 2], "learning_rate=0.002")
    assert status == 0 and "is complete" not in log
    assert read_json(report)["settings"]["learning_rate"] == 0.002


def test_a_seed_that_fails_does_not_take_the_others_along(command: Command) -> None:
    # The place of its results is taken by a file.
    in_the_way = command.report(2).parent
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("in the way")
    status, log = command([1, 2, 3])
    assert status == 1
    assert command.report(1).exists() and command.report(3).exists()
    assert not (command.folder / "job.json").exists()
    failures = {seed: command.folder / f"work/{METHOD}/seed-{seed}/failure.json" for seed in (1, 2, 3)}
    assert [seed for seed, file in failures.items() if file.exists()] == [2]
    in_the_way.unlink()
    status, log = command([1, 2, 3])
    assert status == 0
    assert "seed 1 is complete" in log and "seed 3 is complete" in log
    assert not failures[2].exists()


def test_a_failure_of_the_whole_job_is_every_seeds(command: Command, tmp_path: Path) -> None:
    command.model = tmp_path / "nowhere"
    status, log = command([1, 2])
    assert status == 1
    notes = [command.folder / f"work/{METHOD}/seed-{seed}/failure.json" for seed in (1, 2)]
    reasons = [json.loads(note.read_text())["reason"] for note in notes]
    assert reasons[0] == reasons[1] and "not a prepared model" in reasons[0], log
    assert "Traceback" not in log


def test_several_cells_need_a_place_each(command: Command, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            warm.python(), "-m", "polysharp", "train", "--cells", f"{METHOD}/seed-1", f"{METHOD}/seed-2",
            "--data", command.data, "--model", command.model,
            "--output", tmp_path / "run", "--work", tmp_path / "work/{cell}",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "--output" in done.stderr and "expected {cell} in it" in done.stderr


def test_of_two_processes_the_one_that_came_last_ends_the_work(command: Command, tmp_path: Path) -> None:
    long = ("epochs=100", "batch_size=40", "learning_rate=1e-5")
    alone = tmp_path / "alone"
    with command.start([1], *long) as first:
        assert first.stderr
        for line in first.stderr:
            if "epoch 3/100" in line:
                break
        lease = command.folder / f"work/{METHOD}/seed-1/lease.json"
        holder = read_json(lease)["process"]
        os.kill(holder, signal.SIGSTOP)  # or it might be done before the second has started
        second = command.start([1], *long)
        deadline = time.monotonic() + 120
        while read_json(lease)["process"] == holder:
            assert second.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(holder, signal.SIGCONT)
        rest = first.stderr.read()
        first.wait()
        assert (first.returncode, "has taken over this cell" in rest) == (75, True), rest
    assert second.stderr
    log = second.stderr.read()
    assert (second.wait(), f"taken over from process {holder}" in log) == (0, True), log
    assert command([1], *long, folder=alone)[0] == 0
    for file in FILES:
        name = file.format(1)
        assert (command.folder / name).read_bytes() == (alone / name).read_bytes(), name


def test_a_seed_that_has_left_the_study_is_not_compared_with(command: Command) -> None:
    assert command([1, 3])[0] == 0
    path = command.report(3)
    report = read_json(path)
    report["scores"]["validation"]["macro_f1"] = 2.0  # better than any
    write_json(path, report)
    for study, kept in (([1], True), ([1, 3], False)):
        command.report(1).unlink()
        assert command([1], study=study)[0] == 0
        assert (command.folder / f"work/{METHOD}/seed-1/checkpoint").exists() == kept


def test_cells_of_several_data_sets_have_the_bytes_of_commands_of_their_own(
    command: Command, tmp_path: Path, prepared_folder: Callable[[str], Path]
) -> None:
    """The encoder is loaded once: neither training, nor the other label type, may leave a trace in it."""
    cells = [f"main/{kind}/{kind}/sam/seed-{seed}" for kind in ("single", "multi") for seed in (1, 2)]
    for kind in ("single", "multi"):
        shutil.copytree(prepared_folder(kind), tmp_path / f"data/main/{kind}/{kind}")
    command.data = tmp_path / "data/{dataset}"
    status, log = command.train(cells)
    assert status == 0, log
    assert "validation macro_f1 of 4 cells" in log
    for cell in cells:
        status, _ = command.train([cell], folder=tmp_path / "alone")
        assert status == 0
        for file in ("report.json", "predictions.parquet", "history.jsonl"):
            one, other = (folder / f"run/{cell}/{file}" for folder in (command.folder, tmp_path / "alone"))
            assert one.read_bytes() == other.read_bytes(), file
    kept = [path.parents[1].name for path in command.folder.glob("work/main/*/*/sam/*/checkpoint")]
    assert len(kept) >= 2  # of each data set, or more if seeds are equally good


def test_a_data_set_that_is_not_there_leaves_those_of_others_alone(
    command: Command, tmp_path: Path, prepared_folder: Callable[[str], Path]
) -> None:
    shutil.copytree(prepared_folder("multi"), tmp_path / "data/main/multi/multi")
    command.data = tmp_path / "data/{dataset}"
    cells = [f"main/{kind}/{kind}/sam/seed-1" for kind in ("single", "multi")]
    status, log = command.train(cells)
    assert status == 1 and "Traceback" not in log
    assert (command.folder / f"run/{cells[1]}/report.json").exists()
    assert "no prepared data set" in read_json(command.folder / f"work/{cells[0]}/failure.json")["reason"], (
        log
    )
