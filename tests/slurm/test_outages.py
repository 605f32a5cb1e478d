"""What a cluster lacks for a while, or for good: it is waited for, or said."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from polysharp.patience import PAUSE
from tests.integration.conftest import DATASETS
from tests.integration.study import Study, write_data
from tests.slurm.cluster import Cluster, wait_until
from tests.slurm.runs import CELL, EPOCHS, Driver, accounted, long_study


def failures(study: Study) -> dict[str, dict[str, str]]:
    """Return the rows of failures.tsv by cell."""
    names = ("task", "language", "label_type", "method")
    rows = study.table("failures.tsv")
    return {"/".join([*(row[name] for name in names), f"seed-{row['seed']}"]): row for row in rows}


def test_a_controller_that_is_away_is_waited_for(
    cluster: Cluster, ready: Study, undisturbed: Study, tmp_path: Path
) -> None:
    study = long_study(ready, tmp_path / "controller away")
    cluster.kill("slurmctld")
    try:
        with Driver(cluster, study) as driver:
            driver.wait(lambda: "trying again every 10 s" in driver.output)
            assert "sbatch: " in driver.output and "contact slurm controller" in driver.output
            cluster.start_controller()
            driver.wait_until_it_trains()
            cluster.kill("slurmctld")
            log = study.folder / f"logs/runs/{CELL}.log"
            driver.wait(lambda: f"epoch {EPOCHS}/{EPOCHS}" in log.read_text())
            cluster.start_controller()
            driver.ends_well()
    finally:
        cluster.start_controller()
    assert "Trying to restart job" not in driver.output
    assert study.bytes_of_results() == undisturbed.bytes_of_results()


def test_a_whole_slurm_that_is_away_is_waited_for(cluster: Cluster, tmp_path: Path) -> None:
    study = baselines(tmp_path / "all away")
    cluster.kill("slurmctld")
    cluster.kill("slurmdbd", signal.SIGTERM)
    accounts = ("--set-resources", "probe:slurm_account=study", "tfidf:slurm_account=study")
    with Driver(cluster, study, *accounts) as driver:
        try:
            driver.wait(lambda: "sshare: " in driver.output)
        finally:
            cluster.start_slurmdbd()
            cluster.start_controller()
        driver.ends_well()
    assert "trying again every 10 s" in driver.output
    assert "Job submission failed" not in driver.output
    assert [row["status"] for row in study.table("runs.tsv")] == ["complete"] * 4


def test_accounting_that_is_away_is_waited_for(
    cluster: Cluster, ready: Study, undisturbed: Study, tmp_path: Path
) -> None:
    study = long_study(ready, tmp_path / "accounting away")
    with Driver(cluster, study) as driver:
        driver.wait_until_it_trains()
        cluster.kill("slurmdbd")
        try:
            driver.wait(lambda: "how jobs ended is not known until it answers" in driver.output)
        finally:
            cluster.start_slurmdbd()
        driver.ends_well()
    assert study.bytes_of_results() == undisturbed.bytes_of_results()


def baselines(folder: Path) -> Study:
    """Return a study of four jobs that take no time."""
    return Study.write(folder, DATASETS, methods={"probe": None, "tfidf": None})


@contextmanager
def one_job_at_a_time(cluster: Cluster) -> Iterator[None]:
    """Let the user have one job in the queue, and no more."""
    modify = ("sacctmgr", "-i", "modify", "user", "root", "set")
    cluster.run(*modify, "MaxSubmitJobs=1")
    try:
        yield
    finally:
        cluster.run(*modify, "MaxSubmitJobs=-1")


def test_a_limit_on_the_jobs_in_the_queue_is_kept_to(cluster: Cluster, tmp_path: Path) -> None:
    study = baselines(tmp_path / "one at a time")
    with one_job_at_a_time(cluster), Driver(cluster, study) as driver:
        driver.ends_well()
    assert "MaxSubmitJob" in driver.output and "trying again" in driver.output
    assert "Trying to restart job" not in driver.output
    assert [row["status"] for row in study.table("runs.tsv")] == ["complete"] * 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_driver_that_ends_submits_nothing_more(
    number: signal.Signals, cluster: Cluster, tmp_path: Path
) -> None:
    study = baselines(tmp_path / "ended")
    with one_job_at_a_time(cluster), Driver(cluster, study) as driver:
        driver.wait(lambda: "MaxSubmitJob" in driver.output)
        driver.process.send_signal(number)
        assert driver.ends(120) != 0
        wait_until(lambda: not cluster.run("squeue", "-h").stdout, 10, "an empty queue")
        time.sleep(PAUSE + 5)  # what still waits would be submitted now
    assert len(accounted(cluster, study, "JobID")) == 1


def test_what_sbatch_refuses_is_said_with_the_remedy(cluster: Cluster, ready: Study, tmp_path: Path) -> None:
    study = long_study(ready, tmp_path / "refused")
    with Driver(cluster, study, "--set-resources", "finetune:slurm_partition=gpus") as driver:
        assert driver.ends() == 1
    row = failures(study)[CELL]
    assert row["class"] == "refused" and "invalid partition specified: gpus" in row["reason"]
    assert "make doctor" in row["remedy"]
    assert f"failed (refused): {CELL}: sbatch: " in driver.output[-3000:]


def test_memory_is_raised_at_the_next_attempt_and_then_named(
    cluster: Cluster, ready: Study, undisturbed: Study, tmp_path: Path
) -> None:
    study = long_study(ready, tmp_path / "memory")
    partition = "finetune:slurm_partition=gpu"
    with Driver(cluster, study, "--retries=0", "--set-resources", partition, "finetune:mem_mb=300") as driver:
        assert driver.ends() == 1
    row = failures(study)[CELL]
    assert row["class"] == "memory"
    assert "raise mem_mb in the profile" in row["remedy"]
    # 300 MB do not hold torch, 4,800 do.
    with Driver(cluster, study, "--set-resources", partition, "finetune:mem_mb=300*attempt**4") as driver:
        driver.ends_well()
    assert "Trying to restart job" in driver.output
    assert study.bytes_of_results() == undisturbed.bytes_of_results()


@contextmanager
def small_disk(cluster: Cluster, folder: Path, size: str) -> Iterator[None]:
    """Put a file system of its own into a folder, as the cluster sees it."""
    folder.mkdir(parents=True)
    cluster.run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield
    finally:
        cluster.run("umount", "--lazy", folder)


@pytest.mark.parametrize("place", ["work/runs", "results/runs"])
def test_a_full_disk_is_one_sentence_and_the_run_goes_on_with_space(
    place: str, cluster: Cluster, ready: Study, undisturbed: Study, tmp_path: Path
) -> None:
    study = long_study(ready, tmp_path / "full", snapshot_seconds=2)
    folder = study.folder / place
    with small_disk(cluster, folder, "16k"):
        with Driver(cluster, study, "--retries=0") as driver:
            assert driver.ends() == 1
        assert "Traceback (most recent call last)" not in driver.output
        assert "failed (disk)" in driver.output and "no space left on the disk" in driver.output
        cluster.run("mount", "-o", "remount,size=100m", folder)
        with Driver(cluster, study) as driver:
            driver.ends_well()
        cluster.run("cp", "-r", folder, f"{folder}-kept")
    folder.rmdir()
    Path(f"{folder}-kept").rename(folder)
    assert study.bytes_of_results() == undisturbed.bytes_of_results()


def test_a_poisoned_data_set_and_a_loss_that_is_not_finite_leave_the_others(
    cluster: Cluster, finished: Study, tmp_path: Path
) -> None:
    study = Study.write(tmp_path / "poisoned", DATASETS)
    wild = {"base": "adamw", "learning_rate": 1e30, "head_learning_rate": 1e30, "epochs": 2}
    study.write_model("turkish")
    data = study.folder / "data/turkish/single"
    write_data(data, "turkish", "single")
    (data / "val.json").write_text('{"Text": ["a"], "Labels": [[]]}', encoding="utf-8")
    study.write_sheet([*DATASETS, ("turkish", "single")])
    study.configure(methods={"sam": None, "wild": wild, "probe": None, "tfidf": None}, seeds=[1])
    with Driver(cluster, study, "--retries=0") as driver:
        assert driver.ends() == 1
    rows = failures(study)
    assert {row["class"] for name, row in rows.items() if "/wild/" in name and "turkish" not in name} == {
        "nan"
    }
    assert {row["class"] for name, row in rows.items() if "turkish" in name} == {"input"}
    assert all(row["slurm_job"] for name, row in rows.items() if "turkish" not in name)
    status = {(row["language"], row["method"]): row["status"] for row in study.table("report.tsv")}
    for language in ("english", "french"):
        for method in ("sam", "probe", "tfidf"):
            assert status[language, method] == "complete"
    last = driver.output.splitlines()[-20:]
    assert sum(line.startswith("failed (") or " failed (" in line for line in last) >= 3


def test_a_cluster_without_accounting(tmp_path_factory: pytest.TempPathFactory) -> None:
    # A controller that has forgotten how a job ended before it is asked.
    cluster = Cluster(tmp_path_factory.mktemp("bare"), accounting=False, options="MinJobAge=10")
    study = baselines(tmp_path_factory.mktemp("studies") / "without accounting")
    try:
        cluster.start()
        examined = cluster.run(sys.executable, "-m", "polysharp", "doctor", cwd=study.folder)
        assert "squeue" in examined.stdout
        profile = ("--profile", str(study.folder / "profiles/here"))
        cluster.run(sys.executable, "-m", "snakemake", *study.command(*profile), timeout=600)
        assert cluster.run("sacct", check=False).returncode != 0
    finally:
        cluster.stop()
    assert [row["status"] for row in study.table("runs.tsv")] == ["complete"] * 4
