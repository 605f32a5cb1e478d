"""The commands' ends, files that appear at once, and help with errors."""

import errno
import hashlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polysharp.cli import NAMES, options, running
from polysharp.cli.running import ASKED_TO_STOP, run_command
from polysharp.core.errors import UserError, nearest
from polysharp.core.files import read_json, replacing, replacing_folder, sha256, write_json, write_text
from tests import warm
from tests.conftest import make_texts, write_command, write_source

HEAVY = ("torch", "transformers", "sklearn", "scipy", "matplotlib")


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [warm.python(), "-m", "polysharp", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture
def arguments(tmp_path: Path) -> Namespace:
    return Namespace(log=tmp_path / "logs" / "log.txt", failure=tmp_path / "work" / "failure.json")


@pytest.fixture(autouse=True)
def unchanged_process() -> Iterator[None]:
    """Put back what a command changes in its process: logging, and what signals do."""
    before = running.log.handlers, running.log.propagate, running.log.level
    handlers = {number: signal.getsignal(number) for number in ASKED_TO_STOP}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    running.log.handlers, running.log.propagate = before[0], before[1]
    running.log.setLevel(before[2])


def fail(error: Exception) -> Callable[[Namespace], None]:
    def main(arguments: Namespace) -> None:
        raise error

    return main


# --- How a command ends ---------------------------------------------------------------------------


def test_a_mistake_of_the_user_is_told_without_a_traceback(
    arguments: Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(fail(UserError("first: wrong", "second: wröng")), arguments, "cell")
    assert ended.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in lines] == [
        "[cell] error: first: wrong",
        "[cell] error: second: wröng",
    ]
    logged = arguments.log.read_text(encoding="utf-8")
    assert "error: first: wrong" in logged and "Traceback" not in logged
    told = {"class": "input", "reason": "first: wrong; second: wröng", "slurm_job": None}
    assert read_json(arguments.failure) == told


@pytest.mark.parametrize("preempted", [True, False])
def test_a_command_that_is_preempted_puts_its_job_back(
    preempted: bool, arguments: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = "2026-11-21T12:00:00" if preempted else "None"
    for name, script in (
        ("sbatch", ""),
        ("scontrol", f"echo Requeue=1 PreemptTime={time}; echo $@ >> asked"),
    ):
        write_command(tmp_path / "bin", name, script)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run_command(lambda _: os.kill(os.getpid(), signal.SIGTERM), arguments, "cell")
    assert ended.value.code == 75
    told = {"class": "stopped", "reason": "stopped by SIGTERM; rerun to start from the beginning"}
    assert read_json(arguments.failure) == {**told, "slurm_job": "4711"}
    assert ("requeue 4711" in (tmp_path / "asked").read_text()) == preempted


@pytest.mark.parametrize("ignored", [False, True])
def test_a_terminal_that_closes_ends_a_command_unless_it_was_started_with_nohup(
    ignored: bool, arguments: Namespace
) -> None:
    def main(_arguments: Namespace) -> None:
        os.kill(os.getpid(), signal.SIGHUP)

    if ignored:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        run_command(main, arguments, "cell")
        assert not arguments.failure.exists()
        return
    with pytest.raises(SystemExit) as ended:
        run_command(main, arguments, "cell")
    assert ended.value.code == 75
    reason = "stopped by SIGHUP; rerun to start from the beginning"
    assert read_json(arguments.failure) == {"class": "stopped", "reason": reason, "slurm_job": None}
    for number in ASKED_TO_STOP:  # while it ends, others may ask as well
        assert signal.getsignal(number) is signal.SIG_IGN


def test_a_bug_leaves_its_traceback_in_the_log_and_a_short_reason(
    arguments: Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(fail(RuntimeError("out of memory\nand much more")), arguments, "cell")
    assert ended.value.code == 1
    assert "Traceback" in arguments.log.read_text() and "this is a bug" in arguments.log.read_text()
    assert read_json(arguments.failure)["reason"] == "RuntimeError: out of memory"
    assert read_json(arguments.failure)["class"] == "bug"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "state.pt"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        ValueError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        ),  # safetensors
    ],
    ids=str,
)
def test_a_full_disk_is_told_in_a_sentence(
    error: Exception, arguments: Namespace, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrapped(arguments: Namespace) -> None:
        try:
            raise error
        finally:
            raise RuntimeError("unexpected pos 704 vs 598")  # torch, while it handles the first

    with pytest.raises(SystemExit):
        run_command(wrapped, arguments, "cell")
    (line,) = capsys.readouterr().err.splitlines()
    assert "error: no space left on the disk" in line and "run the same command again" in line
    assert read_json(arguments.failure)["class"] == "disk"


def test_a_command_that_is_done_returns_and_removes_the_old_failure(arguments: Namespace) -> None:
    write_json(arguments.failure, {"reason": "of yesterday"})
    seen: list[bool] = []

    def main(given: Namespace) -> None:
        seen.append(given.failure.exists())
        running.log.info("working")

    assert run_command(main, arguments, "cell") is None
    assert seen == [False]  # gone as soon as the command starts: a killed one leaves no old reason
    assert not arguments.failure.exists()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d working\n", arguments.log.read_text())


def test_the_log_is_begun_anew(arguments: Namespace) -> None:
    write_text(arguments.log, "of yesterday\n")
    run_command(lambda _: None, arguments, "cell")
    assert arguments.log.read_text() == ""


def test_without_log_and_failure_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        run_command(fail(UserError("wrong")), Namespace(log=None, failure=None), "cell")
    assert not list(tmp_path.iterdir())


def test_a_closed_pipe_is_no_bug() -> None:
    program = (
        "from argparse import Namespace\nfrom polysharp.cli.running import run_command\n"
        "def main(arguments):\n    raise BrokenPipeError\n"
        "run_command(main, Namespace(log=None, failure=None), 'cell')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr, done.stdout) == (1, "", "")


def test_a_study_is_read_from_one_line_of_json(tmp_path: Path) -> None:
    write_source(tmp_path / "data", make_texts("single"))
    (tmp_path / "datasets.tsv").write_text("language\tlabel_type\tsource\nenglish\tsingle\tdata\n")
    parser = options.command_parser("merge-reports", "")
    options.add_study_options(parser)
    content = json.dumps({"datasets": "datasets.tsv", "training": {"learning_rate": 1e-05}})
    arguments = parser.parse_args(["--config", content, "--base", str(tmp_path)])
    configuration, matrix = options.read_study(arguments)
    assert configuration.training.learning_rate == 1e-5
    assert [dataset.path for dataset in matrix.datasets] == ["main/english/single"]


# --- The commands ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_help_is_quick_and_light(name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "polysharp", name, "--help"],
        capture_output=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: polysharp {name} ")
    assert "--log FILE" in done.stdout and "--failure FILE" in done.stdout
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if "import time:" in line}
    assert "polysharp.cli.running" in imported
    assert not imported & set(HEAVY)
    # Seconds of the processor, as the clock also measures what else the machine does.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("train", ["rho", "ascent_share"]),
        ("train-probe", ["class_weights"]),
        ("train-tfidf", ["train_size"]),
    ],
)
def test_help_of_a_training_lists_its_settings(name: str, settings: list[str]) -> None:
    listed = re.findall(r"^  (\w+) +[A-Z'].*Default: .*\.$", call(name, "--help").stdout, flags=re.MULTILINE)
    assert set(settings) <= set(listed)
    assert ("rho" in listed) == (name == "train")


def test_data_and_a_baseline_by_their_commands(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", make_texts("multi"))
    failure = tmp_path / "failure.json"
    common = ("--failure", failure, "--log", tmp_path / "log.txt", "--output")
    data, output = tmp_path / "data", tmp_path / "run"

    done = call("prepare-data", "--source", source, "--label-type", "single", *common, data)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    where, *errors = done.stderr.splitlines()
    assert f"all findings: {data / 'findings.tsv'}" in where
    assert errors and all("error: " in line for line in errors)
    assert "expected one label, as label_type is 'single'; or use 'multi'" in read_json(failure)["reason"]
    assert {path.name for path in data.iterdir()} == {"findings.json", "findings.tsv", "prepared.json"}
    assert "; ".join(read_json(data / "prepared.json")["refused"]) == read_json(failure)["reason"]

    done = call("prepare-data", "--source", source, "--label-type", "multi", *common, data)
    assert (done.returncode, failure.exists()) == (0, False)
    assert "findings: " in done.stderr

    done = call("train-tfidf", "--data", data, "--set", "C=1", "train_size=5", *common, output)
    assert done.returncode == 1 and "--set C: not a known key" in done.stderr

    chosen = ("--seed", 3, "--set", "train_size=20", "inverse_regularisation=[1, 10]")
    done = call("train-tfidf", "--data", data, *chosen, *common, output)
    assert done.returncode == 0, done.stderr
    report = read_json(output / "report.json")
    assert report["settings"] == {
        "train_size": 20, "class_weights": "balanced", "inverse_regularisation": [1.0, 10.0],
    }  # fmt: skip
    assert report["selection_metric"] == "macro_f1"
    assert set(pl.read_parquet(output / "predictions.parquet")["split"]) == {"validation", "test"}
    assert sorted(path.name for path in output.iterdir()) == [
        "costs.json", "history.jsonl", "predictions.parquet", "report.json",
    ]  # fmt: skip
    costs = read_json(output / "costs.json")
    of_time = {"seconds", "earlier_seconds", "overhead_seconds"}
    assert set(costs) == of_time | {"memory_mb", "gpu", "gpu_memory_mb", "host", "slurm_jobs"}
    assert costs["seconds"] > 0 and costs["overhead_seconds"] > 0


def test_one_file_is_split_by_shares_where_nothing_is_said(tmp_path: Path) -> None:
    source = tmp_path / "texts.csv"
    rows = [f"text number {number},{'ab'[number % 2]},en" for number in range(40)]
    source.write_text("\n".join(["Text,Labels,lang", *rows]), encoding="utf-8")
    common = ("prepare-data", "--source", source, "--label-type", "single")
    done = call(*common, "--output", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    counts = pl.read_parquet(tmp_path / "data/examples.parquet")["split"].value_counts()
    assert dict(counts.iter_rows()) == {"train": 32, "validation": 4, "test": 4}
    done = call(*common, "--splits", "train,val,test", "--output", tmp_path / "other")
    assert done.returncode == 1 and "is one file; expected shares" in done.stderr
    done = call(*common, "--language-column", "lang", "--output", tmp_path / "other")
    assert (
        done.returncode == 1
        and "--language-column: expected --language-value or --language as well" in done.stderr
    )
    done = call(*common, "--language-column", "lang", "--language", "en", "--output", tmp_path / "other")
    assert done.returncode == 0, done.stderr


def test_threads_are_limited_before_anything_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
        monkeypatch.setenv(name, "64")
    running.limit_threads(3)
    assert os.environ["OMP_NUM_THREADS"] == os.environ["POLARS_MAX_THREADS"] == "3"


# --- Files ----------------------------------------------------------------------------------------


def test_a_file_appears_at_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with replacing(path) as staging:
        staging.write_text("half")
        assert not path.exists() and staging.parent == path.parent
        staging.write_text("whole")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_stays_as_it_was_when_the_block_raises(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as staging:
        staging.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_at_once_and_replaces_all_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder"
    write_text(path / "old.txt", "old")
    with replacing_folder(path) as staging:
        write_text(staging / "inner" / "new.txt", "new")
        assert (path / "old.txt").exists() and not (path / "inner").exists()
    assert [file.relative_to(path).as_posix() for file in path.rglob("*.txt")] == ["inner/new.txt"]
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_stays_as_it_was_when_the_block_raises(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    write_text(path / "old.txt", "old")
    with pytest.raises(RuntimeError), replacing_folder(path) as staging:
        (staging / "new.txt").write_text("half")
        raise RuntimeError
    assert [file.name for file in path.iterdir()] == ["old.txt"]
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_no_part_of_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with pytest.raises(KeyboardInterrupt), replacing_folder(path) as staging:
        (staging / "half.txt").write_text("half")
        raise KeyboardInterrupt
    with replacing_folder(path) as staging:
        (staging / "whole.txt").write_text("whole")
    assert [file.name for file in path.iterdir()] == ["whole.txt"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_published_files_have_the_modes_that_the_user_wants(mask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        with replacing_folder(tmp_path / "folder") as staging:
            private = staging / "inner" / "model.safetensors"
            private.parent.mkdir()
            private.touch(mode=0o600)
        write_text(tmp_path / "file.txt", "text")
    finally:
        os.umask(before)
    for path in (tmp_path / "folder" / "inner" / "model.safetensors", tmp_path / "file.txt"):
        assert path.stat().st_mode & 0o777 == mode


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)))
def test_json_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "content.json"
    write_json(path, content)
    assert read_json(path) == content
    assert path.read_bytes().endswith(b"\n")


def test_json_has_no_number_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "file.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_hashes_are_of_the_contents_in_their_order(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"x" * 3_000_000)
    two.write_bytes(b"y")
    assert sha256(one, two) == hashlib.sha256(b"x" * 3_000_000 + b"y").hexdigest()
    assert sha256(two, one) != sha256(one, two)


# --- Errors ---------------------------------------------------------------------------------------


def test_nearest_names() -> None:
    assert nearest("learnig_rate", ["rho", "learning_rate"]) == "; did you mean 'learning_rate'?"
    assert nearest("zzz", ["rho", "learning_rate"]) == ""
    assert nearest(5, [50, "x"]) == "; did you mean '50'?"
    assert nearest("x", []) == ""


def test_lines_of_an_error() -> None:
    error = UserError("one", "two")
    assert error.lines == ("one", "two") and str(error) == "one\ntwo"
