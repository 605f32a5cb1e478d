"""What a run says: lines that Snakemake's events become."""

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from polysharp.cluster import driver, terminal
from polysharp.cluster.driver_files import read_told, tell_driver
from polysharp.cluster.terminal import ProgressLines

RUN = "logs/runs/main/german/single/sam/seed-1.log"


class Snakemake:
    """A logger that is given events as Snakemake gives them, and what it shows."""

    def __init__(self, hides_logs: bool = False) -> None:
        self.logger, self.records = logging.Logger("snakemake"), list[logging.LogRecord]()
        handler = logging.Handler()
        handler.emit = self.records.append  # type: ignore[method-assign]
        self.logger.addHandler(handler)
        self.lines = ProgressLines(self.logger, hides_logs)
        self.event("run_info", stats={"total": 7})

    def event(self, name: str, message: str = "", **values: object) -> None:
        self.logger.info(message, extra={"event": name, **values})

    @property
    def said(self) -> list[str]:
        """Lines without an event, without their time."""
        plain = [record.getMessage() for record in self.records if not hasattr(record, "event")]
        return [line[9:] if line[2:3] == ":" else line for line in plain]


@pytest.fixture
def snakemake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Snakemake]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(driver.DRIVER, str(driver.process_here()))
    result = Snakemake()
    yield result
    result.lines.close()


def write_log(name: str, *lines: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("".join(f"2026-11-28 10:00:00 {line}\n" for line in lines), encoding="utf-8")


def test_a_finished_job_is_a_line_with_its_result(snakemake: Snakemake) -> None:
    snakemake.event("job_info", jobid=3, log=[RUN])
    write_log(RUN, "seed 1", "epoch 1/1: loss 0.1", "validation macro_f1 of seed 1: 0.812")
    snakemake.event("job_finished", job_id=3)
    assert snakemake.said == [
        "[1/7] runs/main/german/single/sam/seed-1: validation macro_f1 of seed 1: 0.812"
    ]


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("logs/models/xlm.log", ["[1/7] models/xlm: last"]),
        ("logs/merge_findings.log", ["[1/7] first", "[1/7] last"]),
        ("logs/data/main/german/single.log", []),  # merge_findings says what was found
        ("logs/draw_figures.log", []),
    ],
)
def test_how_much_a_job_says(log: str, said: list[str], snakemake: Snakemake) -> None:
    snakemake.event("job_info", jobid=3, log=[log])
    write_log(log, "first", "last")
    snakemake.event("job_finished", job_id=3)
    assert snakemake.said == said


def test_a_failed_job_says_why_in_place_of_its_command(snakemake: Snakemake) -> None:
    snakemake.event("job_info", jobid=3, log=[RUN])
    write_log(RUN, "seed 1", *[f"error: row {row}" for row in range(1, 7)])
    snakemake.event("error", 'RuleException:\nCalledProcessError in file "train.smk", line 9:\nCommand ...')
    state = "SLURM-job '7' failed, SLURM status is: 'TIMEOUT'."
    snakemake.event("job_error", jobid=3, rule_msg=state)
    snakemake.event("error", "WorkflowError:\nAt least one job did not complete successfully.")
    name = "runs/main/german/single/sam/seed-1"
    assert snakemake.said == [
        f"{name}: {state}",
        *[f"{name}: error: row {row}" for row in range(1, 5)],
        f"{name}: and 2 more: {RUN}",
    ]
    shown = [record.getMessage() for record in snakemake.records if "Error" in record.getMessage()]
    assert shown == ["WorkflowError:\nAt least one job did not complete successfully."]


def test_the_log_of_an_earlier_attempt_says_nothing(snakemake: Snakemake) -> None:
    write_log(RUN, "error: of the first attempt")
    os.utime(RUN, (time.time() - 60,) * 2)
    snakemake.event("job_info", jobid=3, log=[RUN])
    assert not snakemake.lines.running()
    snakemake.event("job_error", jobid=3, log=[RUN, "logs/slurm/7.log"])
    assert snakemake.said == [f"runs/main/german/single/sam/seed-1: failed; log: {RUN}, logs/slurm/7.log"]


def test_what_is_running_is_said_with_its_last_line(snakemake: Snakemake) -> None:
    for number in range(6):
        log = RUN.replace("seed-1", f"seed-{number}")
        snakemake.event("job_info", jobid=number, log=[log])
        if number:  # the first waits in the queue
            write_log(log, "seed", f"epoch {number}/9")
    snakemake.event("job_finished", job_id=5)
    assert snakemake.lines.running() == "runs/main/german/single/sam/seed-1: epoch 1/9 (and 3 more jobs)"
    for number in (2, 3, 4):
        snakemake.event("job_finished", job_id=number)
    assert snakemake.lines.running() == "runs/main/german/single/sam/seed-1: epoch 1/9"


def test_a_handler_that_would_show_whole_logs_does_not_learn_of_them(snakemake: Snakemake) -> None:
    for hides_logs in (False, True):
        other = Snakemake(hides_logs)
        other.event("job_info", jobid=3, log=[RUN])
        assert other.records[-1].__dict__["log"] == ([] if hides_logs else [RUN])
        other.lines.close()


def test_what_the_wrappers_tell_is_said_while_jobs_are_at_work(
    snakemake: Snakemake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "EVERY", 0)
    snakemake.event("job_info", jobid=3, log=[RUN])
    write_log(RUN, "epoch 1/9")
    tell_driver("job-4711", "Slurm job 4711 waits for ever")
    snakemake.event("job_started", jobs=[3])
    deadline = time.monotonic() + 20
    while len(snakemake.said) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert snakemake.said[:2] == [
        "Slurm job 4711 waits for ever",
        "running: runs/main/german/single/sam/seed-1: epoch 1/9",
    ]


def test_what_is_told_at_the_end_comes_last(snakemake: Snakemake, capsys: pytest.CaptureFixture[str]) -> None:
    snakemake.lines.say_last(["failed: german", "cells: 1 failed"])
    assert capsys.readouterr().err == ""
    tell_driver("left", "2 Slurm jobs are cancelled")
    snakemake.lines.close()
    snakemake.lines.close()
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.endswith("2 Slurm jobs are cancelled") and rest == ["failed: german", "cells: 1 failed"]


def test_nothing_that_is_told_is_lost_or_said_twice(snakemake: Snakemake) -> None:
    for number in range(3):
        tell_driver(f"a {number}", f"line {number}")
    tell_driver("a 2", "the same matter again")  # too soon
    lines, end = read_told()
    assert [line[9:] for line in lines] == ["line 0", "line 1", "line 2"]
    tell_driver("b", "line 3")
    lines, end = read_told(end)
    assert [line[9:] for line in lines] == ["line 3"]
    assert read_told(end) == ([], end)
