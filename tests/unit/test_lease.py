"""Of several processes that train one cell, the one that came last goes on."""

import os
import time
from pathlib import Path

import pytest

from polysharp.cli.running import attempt
from polysharp.core.files import read_json, write_json
from polysharp.training.lease import FRESH, HEARTBEAT, Lease, LeaseLost
from polysharp.training.snapshots import Snapshots, StopRequest


def age(lease: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(lease, (then, then))


def test_the_newcomer_goes_on_and_the_other_stops(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = Lease(tmp_path), Lease(tmp_path)
    first.take()
    first.check()
    with caplog.at_level("INFO", logger="polysharp"):
        second.take()
    assert f"taken over from process {os.getpid()} on " in caplog.text
    second.check()
    with pytest.raises(LeaseLost, match="has taken over this cell; nothing more is written here"):
        first.check()


def test_the_lease_of_a_process_that_died_is_taken_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Lease(tmp_path).take()
    age(tmp_path / "lease.json", FRESH + 10)
    with caplog.at_level("INFO", logger="polysharp"):
        Lease(tmp_path).take()
    assert not caplog.records
    assert [path.name for path in tmp_path.iterdir()] == ["lease.json"]


def test_the_slurm_job_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    Lease(tmp_path).take()
    assert read_json(tmp_path / "lease.json")["slurm_job"] == "4711"


def test_a_lease_at_rest_is_kept_and_taken_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stopped = Lease(tmp_path)
    stopped.take()
    stopped.rest()
    assert stopped.held
    Lease(tmp_path).take()
    assert not caplog.records and not stopped.held


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"token": 1}'])
def test_a_lease_that_is_gone_or_broken_is_lost(tmp_path: Path, content: str | None) -> None:
    lease = Lease(tmp_path)
    lease.take()
    (tmp_path / "lease.json").unlink()
    if content is not None:
        (tmp_path / "lease.json").write_text(content)
    with pytest.raises(LeaseLost):
        lease.check()
    Lease(tmp_path).take()


def test_a_heartbeat_is_due_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lease, file = Lease(tmp_path), tmp_path / "lease.json"
    lease.take()
    age(file, 1000)
    lease.beat()
    assert time.time() - file.stat().st_mtime > 900
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + HEARTBEAT)
    lease.beat()
    assert time.time() - file.stat().st_mtime < 10
    write_json(file, {"token": "another"})
    lease.beat()  # not yet again
    monkeypatch.setattr(time, "monotonic", lambda: now + 2 * HEARTBEAT)
    with pytest.raises(LeaseLost):
        lease.beat()


def test_a_file_system_that_does_not_answer_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = Lease(tmp_path)
    lease.take()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + HEARTBEAT)
    away = tmp_path.with_name("away")
    tmp_path.rename(away)
    tmp_path.write_text("no folder: every look at the lease is an OSError")
    lease.beat()
    tmp_path.unlink()
    away.rename(tmp_path)
    age(tmp_path / "lease.json", 1000)
    lease.beat()
    assert time.time() - (tmp_path / "lease.json").stat().st_mtime < 10


def test_whose_the_lease_is(tmp_path: Path) -> None:
    first, second = Lease(tmp_path), Lease(tmp_path)
    assert not first.held
    first.take()
    second.take()
    assert second.held and not first.held
    second.release()
    assert not second.held and not list(tmp_path.iterdir())


def test_nothing_is_written_without_the_lease(tmp_path: Path) -> None:
    lease = Lease(tmp_path)
    lease.take()
    snapshots = Snapshots(tmp_path / "snapshots", {"seed": 1}, 0, StopRequest(), lease)
    snapshots.write(1, {"step": 1})
    Lease(tmp_path).take()
    with pytest.raises(LeaseLost):
        snapshots.write(2, {"step": 2})
    assert [path.name for path in tmp_path.glob("snapshots/*/*")] == ["step-00000001"]


def test_a_lost_lease_ends_unfinished_and_leaves_no_reason(tmp_path: Path) -> None:
    lease, failure = Lease(tmp_path), tmp_path / "failure.json"
    lease.take()
    Lease(tmp_path).take()
    assert attempt(lease.check, [failure]) == 75
    assert not failure.exists()
