"""Whose lock a later run may take away: that of a run which is known to be over, and no other."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from polysharp.cluster import driver, locks, processes
from polysharp.cluster.driver import process_here
from polysharp.core.files import read_json, write_json

LOCK = locks.FOLDER / "0.output.lock"
WAIT = "import sys; print(flush=True); sys.stdin.read()"


@pytest.fixture(autouse=True)
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run() -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds a lock."""
    with subprocess.Popen([sys.executable, "-S", "-c", WAIT], stdin=-1, stdout=-1) as process:
        assert process.stdout
        process.stdout.readline()
        LOCK.parent.mkdir(parents=True)
        LOCK.write_text("results/report.tsv\n")
        driver.start(process_here(process.pid), [LOCK])
        yield process
        process.kill()


def note(run: subprocess.Popen[bytes]) -> Path:
    return driver.FOLDER / f"{process_here(run.pid)}.json"


def change(run: subprocess.Popen[bytes], **values: object) -> None:
    """Change what is noted of a run."""
    write_json(note(run), read_json(note(run)) | values)


def kill(run: subprocess.Popen[bytes]) -> None:
    run.kill()
    run.wait()


def test_the_lock_of_a_run_goes_when_it_is_killed_and_not_before(run: subprocess.Popen[bytes]) -> None:
    assert locks.remove_stale() == [] and LOCK.exists()
    (line,) = locks.who_holds()
    assert line == f"This folder is in use: process {run.pid} on {process_here().host} is running in it."
    run.kill()
    while processes.lives(read_json(note(run))):  # nobody has asked yet how it ended: a zombie
        time.sleep(0.01)
    assert Path(f"/proc/{run.pid}").exists()
    assert locks.remove_stale() == [f"process {run.pid} on {process_here().host}"]
    assert not LOCK.exists() and not note(run).exists() and locks.who_holds() == []


def test_a_number_that_another_process_has_now_keeps_no_lock(run: subprocess.Popen[bytes]) -> None:
    change(run, started="1")
    assert len(locks.remove_stale()) == 1 and not LOCK.exists()


def test_a_machine_that_was_started_again_has_no_run_of_before(run: subprocess.Popen[bytes]) -> None:
    change(run, boot="another", machine="4f2a")
    if processes.describe(run.pid)["machine"]:
        assert locks.remove_stale() == []  # a machine of the same name
        change(run, machine=processes.describe(run.pid)["machine"])
        assert len(locks.remove_stale()) == 1 and not LOCK.exists()


@pytest.mark.parametrize(
    "where",
    [
        {"host": "login2"},
        {"namespace": "pid:[1]"},  # a container beside
        {"boot": "another", "machine": ""},  # a container, which often has no name of its machine
        {"boot": ""},  # a system that does not say
    ],
)
def test_of_a_run_elsewhere_nothing_is_known_and_what_to_type_is_said(
    where: dict[str, str], run: subprocess.Popen[bytes]
) -> None:
    kill(run)
    change(run, **where)
    assert locks.remove_stale() == [] and LOCK.exists()
    (line,) = locks.who_holds()
    name = f"process {run.pid} on {where.get('host', process_here().host)}"
    assert f"locked by {name}." in line and "--unlock" in line


def test_a_lock_that_another_run_has_taken_since_stays(run: subprocess.Popen[bytes]) -> None:
    kill(run)
    LOCK.unlink()  # by --unlock
    LOCK.write_text("results/report.tsv\n")
    assert locks.remove_stale() == [] and LOCK.exists()
    assert not note(run).exists()
    (line,) = locks.who_holds()
    assert "no record by whom" in line and "--unlock" in line


def test_locks_of_others_that_snakemake_has_removed_are_put_back(run: subprocess.Popen[bytes]) -> None:
    before = driver.read_lock(LOCK)
    LOCK.unlink()
    LOCK.parent.rmdir()
    locks.put_back(Path.cwd())
    assert driver.read_lock(LOCK) == before
    kill(run)
    assert len(locks.remove_stale()) == 1  # it is known again
    locks.put_back(Path.cwd())
    assert not LOCK.exists()


def test_a_note_that_is_damaged_claims_nothing(run: subprocess.Popen[bytes]) -> None:
    kill(run)
    for text in ("{", "[]", "{}", '{"host": 1, "process": "x"}'):
        note(run).write_text(text)
        assert locks.remove_stale() == [] and LOCK.exists()
        assert len(locks.who_holds()) == 1
        assert driver.at_work(process_here()) is None
