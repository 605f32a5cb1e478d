"""sbatch and sacct of workflow/slurm, before commands of our own making in Slurm's place."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SHIMS = ROOT / "workflow/slurm"
JOB = "snakemake --target-jobs 'finetune:task=main,language=english,label_type=single,method=sam,seed=3' -j1"
FAILURE = "work/runs/main/english/single/sam/seed-3/failure.json"
AWAY = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"


@pytest.fixture(autouse=True)
def nothing_said_of_the_queue(tmp_path: Path) -> None:
    """Put commands in Slurm's place that say nothing; a test may write its own."""
    put(tmp_path, "squeue", "exit 0")
    put(tmp_path, "sinfo", "exit 0")


def put(folder: Path, name: str, script: str) -> None:
    """Put a shell script in the place of one of Slurm's commands."""
    (folder / "bin").mkdir(exist_ok=True)
    command = folder / "bin" / name
    command.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    command.chmod(0o755)


def call(
    folder: Path, name: str, script: str, *arguments: str, driver: int | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run one of ours in a folder where Slurm's own is a shell script."""
    put(folder, name, script)
    path = [str(SHIMS), str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    return subprocess.run(
        [name, *arguments],
        cwd=folder,
        env=os.environ
        | {
            "PATH": os.pathsep.join(path),
            "PYTHONPATH": str(ROOT / "workflow"),
            "POLYSHARP_DRIVER": str(driver or os.getpid()),
        },
        input="the script",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_what_is_taken_is_passed_on(tmp_path: Path) -> None:
    done = call(tmp_path, "sbatch", 'echo "4711;here"; cat; echo "$2"; echo aside >&2', "--wrap", JOB)
    assert done.stdout == f"4711;here\nthe script{JOB}\n"
    assert (done.stderr, done.returncode) == ("aside\n", 0)
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    "passing",
    [
        AWAY,
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
        "sbatch: error: QOSMaxSubmitJobPerUserLimit",
        "sbatch: error: AssocMaxSubmitJobLimit",
    ],
)
def test_what_may_pass_is_tried_again(passing: str, tmp_path: Path) -> None:
    once = f"[ -e tried ] || {{ touch tried; echo '{passing}' >&2; exit 1; }}; cat; echo 4711"
    done = call(tmp_path, "sbatch", once, "--wrap", JOB)
    assert (done.stdout, done.stderr, done.returncode) == ("the script4711\n", "", 0)
    assert not (tmp_path / FAILURE).exists()


@pytest.mark.parametrize(
    "final",
    [
        "sbatch: error: invalid partition specified: gpus",
        # With this ending Slurm also refuses what is too long or too large for ever.
        "sbatch: error: QOSMaxWallDurationPerJobLimit: Job violates accounting/QOS policy "
        "(job submit limit, user's size and/or time limits)",
    ],
)
def test_what_is_refused_for_good_is_the_failure_of_the_cell(final: str, tmp_path: Path) -> None:
    done = call(tmp_path, "sbatch", f'echo "{final}" >&2; exit 1', "--wrap", JOB)
    assert (done.stderr, done.returncode) == (f"{final}\n", 1)
    told = json.loads((tmp_path / FAILURE).read_text())
    assert told == {"class": "refused", "reason": final.replace("error: ", ""), "slurm_job": None}


def test_nothing_is_waited_for_without_a_driver(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    done = call(tmp_path, "sbatch", f"echo '{AWAY}' >&2; exit 1", "--wrap", JOB, driver=ended.pid)
    assert done.returncode == 1
    assert "contact slurm controller" in json.loads((tmp_path / FAILURE).read_text())["reason"]


class Terminal:
    """A process in the driver's place, and what is said on its terminal."""

    def __init__(self, file: Path) -> None:
        self._file = file
        with file.open("w") as stream:
            self._process = subprocess.Popen(["sleep", "60"], stderr=stream)
        self.driver = self._process.pid

    def said(self) -> list[str]:
        self._process.kill()
        self._process.wait()
        return self._file.read_text().splitlines()


def test_an_sacct_that_does_not_answer_is_said_once(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path / "terminal")
    for _ in range(2):
        done = call(tmp_path, "sacct", "echo 'no slurmdbd' >&2; exit 1", driver=terminal.driver)
        assert done.returncode == 1 and done.stderr == "no slurmdbd\n"
    (said,) = terminal.said()
    assert "sacct: no slurmdbd; how jobs ended is not known until it answers" in said


def test_a_job_that_waits_for_ever_is_said(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path / "terminal")
    here = tmp_path.resolve()
    lines = [f"7|PartitionTimeLimit|{here}", f"8|Priority|{here}", "9|PartitionTimeLimit|/elsewhere"]
    put(tmp_path, "squeue", "\n".join(f"echo '{line}'" for line in lines))
    assert call(tmp_path, "sacct", "echo fine", driver=terminal.driver).stdout == "fine\n"
    (said,) = terminal.said()
    assert "Slurm job 7 waits for ever (PartitionTimeLimit)" in said


@pytest.mark.parametrize(
    ("limits", "expected"),
    [("4:00:00", "240"), ("1:00:00\n2:00:00", "120"), ("infinite", "300"), ("", "300"), ("6:00:00", "300")],
)
def test_no_more_time_is_asked_for_than_the_partition_allows(
    limits: str, expected: str, tmp_path: Path
) -> None:
    terminal = Terminal(tmp_path / "terminal")
    put(tmp_path, "sinfo", f"printf '{limits}'")
    options = ("-p", "gpu", "-t", "300", "--mem", "16000")
    done = call(tmp_path, "sbatch", 'echo "$@"', *options, driver=terminal.driver)
    assert done.stdout == f"-p gpu -t {expected} --mem 16000\n"
    assert ["allows" in line for line in terminal.said()] == ([True] if expected != "300" else [])


def test_what_is_said_stays_in_a_file_that_the_driver_writes_to(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys\nfrom polysharp.patience import be_the_driver\nbe_the_driver()\n"
        "print('before', flush=True)\nsubprocess.run(['sacct'], capture_output=True)\nprint('after')\n"
    )
    put(tmp_path, "sacct", "echo no slurmdbd >&2; exit 1")
    path = [str(SHIMS), str(tmp_path / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    with (tmp_path / "log").open("w") as log:
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env=os.environ | {"PATH": os.pathsep.join(path), "PYTHONPATH": str(ROOT / "workflow")},
            stdout=log,
            stderr=log,
            check=True,
        )
    before, said, after = (tmp_path / "log").read_text().splitlines()
    assert (before, after) == ("before", "after") and "no slurmdbd" in said
