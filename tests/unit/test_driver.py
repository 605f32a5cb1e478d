"""Whether the run that is noted in a study's folder lives."""

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Timer

import pytest

from polysharp.cluster import driver, processes
from polysharp.cluster.driver import FOLDER, SILENT, process_here
from polysharp.cluster.driver_files import driver_waits
from polysharp.core.files import read_json, write_json
from tests.conftest import ROOT, write_command


@pytest.fixture(autouse=True)
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for Snakemake."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def test_where_none_is_noted_none_lives() -> None:
    assert driver.at_work(process_here(1)) is None
    driver.seen(process_here(1))
    driver.end(process_here(1))
    assert not FOLDER.exists()


def test_a_run_forgets_itself_and_no_other(run: subprocess.Popen[bytes]) -> None:
    driver.start(process_here(run.pid))
    driver.end(process_here(run.pid + 1))
    assert driver.at_work(process_here(1))
    driver.end(process_here(run.pid))
    assert driver.at_work(process_here(1)) is None


def test_a_run_on_this_machine_lives_until_it_is_killed(run: subprocess.Popen[bytes]) -> None:
    driver.start(process_here(run.pid))
    assert driver.at_work(process_here(1)) == f"process {run.pid} on {platform.node()}"
    assert driver.at_work(process_here(run.pid)) is None  # itself
    run.kill()
    run.wait()
    assert driver.at_work(process_here(1)) is None


def test_whether_a_run_may_live_is_known_at_once(run: subprocess.Popen[bytes]) -> None:
    assert not driver.may_be_running()
    driver.start(process_here(run.pid))
    assert driver.may_be_running()
    run.kill()
    run.wait()
    assert not driver.may_be_running()
    elsewhere(SILENT - 60)
    started = time.monotonic()
    assert driver.may_be_running()
    elsewhere(SILENT + 1)
    assert not driver.may_be_running() and time.monotonic() - started < 1


def test_a_number_that_another_process_has_now_is_no_run(run: subprocess.Popen[bytes]) -> None:
    driver.start(process_here(run.pid))
    note = FOLDER / f"{process_here(run.pid)}.json"
    write_json(note, read_json(note) | {"started": "1"})
    assert driver.at_work(process_here(2)) is None


def test_a_command_does_not_wait_for_somebody_elses_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver has ended, and its number was given to a process that may not be signalled."""
    monkeypatch.setenv(driver.DRIVER, str(process_here(1)))
    child = os.fork()
    if child == 0:
        with suppress(PermissionError):  # not as root: it is somebody else's anyway
            os.setuid(65534)
        status = 99
        with suppress(Exception):
            status = int(driver_waits())
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    monkeypatch.setenv(driver.DRIVER, str(process_here()))
    assert driver_waits()
    driver.start(process_here())
    assert driver_waits()


LOGIN2 = FOLDER / "login2-7.json"


def elsewhere(silent: float) -> None:
    """Note a run on another machine that was seen so many seconds ago."""
    write_json(LOGIN2, {"host": "login2", "process": 7})
    os.utime(LOGIN2, (time.time() - silent,) * 2)


def test_a_run_elsewhere_that_is_seen_again_lives() -> None:
    elsewhere(SILENT - 60)
    shown = Timer(2, os.utime, [LOGIN2])
    shown.start()
    assert driver.at_work(process_here(7)) == "process 7 on login2"  # the same number on another machine
    shown.join()


def test_a_run_elsewhere_that_stays_silent_is_dead() -> None:
    elsewhere(SILENT - 3)
    started = time.monotonic()
    assert driver.at_work(process_here(1)) is None
    assert 1 < time.monotonic() - started < 10


def test_a_run_elsewhere_that_ends_is_waited_for_no_longer() -> None:
    elsewhere(0)
    ended = Timer(1, LOGIN2.unlink)
    ended.start()
    assert driver.at_work(process_here(1)) is None
    ended.join()


def test_the_jobs_of_a_living_run_are_left_alone(run: subprocess.Popen[bytes], tmp_path: Path) -> None:
    names = ["polysharp_0f1e2d3c-0000-4000-8000-0123456789ab", "polysharp", "polysharp_study"]
    lines = [f"echo '{4711 + number}|{name}|{tmp_path}'" for number, name in enumerate(names)]
    for name in ("sbatch", "scancel", "squeue"):
        write_command(tmp_path / "bin", name, "\n".join([f"echo $@ >> {tmp_path / name}", *lines]))
    path = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "workflow")}
    command = [sys.executable, "-m", "polysharp", "cancel-orphans"]
    driver.start(process_here(run.pid))
    for _ in range(2):  # the second has the jobs that the killed one has left, and not those of others
        done = subprocess.run(command, env=os.environ | path, capture_output=True, text=True, check=True)
        if run.poll() is None:
            assert "another run" in done.stderr and not (tmp_path / "scancel").exists()
            run.kill()
            run.wait()
    assert "left 1 Slurm jobs, which are cancelled: 4711" in done.stderr
    assert (tmp_path / "scancel").read_text() == "4711\n"


HANGUP = """
import os, signal, subprocess, sys
from polysharp.cluster.driver_files import end_in_order_on_hangup
if {ignored}:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
end_in_order_on_hangup(lambda: {local})
if {finishes}:
    signal.signal(signal.SIGTERM, lambda *_: print("finishes", flush=True))
job = subprocess.Popen(["sleep", "60"])
print(job.pid, flush=True)
os.kill(os.getpid(), signal.SIGHUP)
print(job.poll() if {ignored} else job.wait(), flush=True)
"""


@pytest.mark.parametrize(
    ("case", "said", "status", "job_lives"),
    [
        ({"finishes": True}, ["finishes", "-1"], 0, False),  # a run that is at work
        ({}, [], 129, False),  # one that has not come so far
        ({"local": False}, [], -signal.SIGHUP, True),  # jobs on a cluster go on
        ({"ignored": True}, ["None"], 0, True),  # nohup
    ],
)
def test_a_run_whose_terminal_closes_stops_the_jobs_of_this_machine(
    case: dict[str, bool], said: list[str], status: int, job_lives: bool
) -> None:
    script = HANGUP.format(**{"ignored": False, "local": True, "finishes": False} | case)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        job = processes.describe(int(run.stdout.readline()))
        run.wait()
        deadline = time.monotonic() + (0.2 if job_lives else 10)
        while (lived := processes.lives(job)) and time.monotonic() < deadline:
            time.sleep(0.01)
        if lived:
            os.kill(job["process"], signal.SIGKILL)  # it has the stream
        assert run.stdout.read().split() == said
    assert (run.returncode, lived) == (status, job_lives)
