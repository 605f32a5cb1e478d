"""What a cluster lacks for a while, or for good: it is waited for, or said."""

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.integration.study import Study, write_data
from tests.slurm.cluster import LIMITED, Cluster, running, wait_until
from tests.slurm.runs import (
    DATASET,
    EPOCHS,
    LONG,
    METHOD,
    Driver,
    accounted,
    by_method,
    cell,
    failures,
    files_of,
    log_of,
    long_study,
    queued,
    rows_of,
    same_trainings,
    submits,
    tfidf_study,
    with_resources,
)


def test_a_slurm_that_is_away_is_waited_for(
    slurm: None, ready: Study, undisturbed: Study, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The controller, accounting or both are away: when jobs are submitted, while they run, when they end."""
    study = long_study(ready, tmp_path / "away")
    other = tfidf_study(undisturbed, tmp_path / "in an account's name", jobs=2)
    account = ("--set-resources", "tfidf:slurm_account=study")
    with running(tmp_path_factory.mktemp("away")) as cluster, ExitStack() as drivers:
        cluster.kill("slurmctld")
        driver = drivers.enter_context(Driver(cluster, study))
        driver.wait(lambda: "sbatch: " in driver.output)
        assert "contact slurm controller" in driver.output and "retrying every 10 s" in driver.output
        cluster.kill("slurmdbd", signal.SIGTERM)
        second = drivers.enter_context(Driver(cluster, other, *account))
        second.wait(lambda: "sshare: " in second.output)
        assert "retrying every 10 s" in second.output
        cluster.start_slurmdbd()
        cluster.start_controller()
        (training,) = driver.hold(METHOD)
        second.ends_well()

        cluster.kill("slurmdbd")
        driver.wait(lambda: "job states are not known until it answers" in driver.output)
        cluster.start_slurmdbd()
        cluster.kill("slurmctld")
        training.go_on()
        driver.wait(lambda: f"epoch {EPOCHS}/{EPOCHS}" in log_of(study))
        cluster.start_controller()
        driver.ends_well()
    assert "Trying to restart job" not in driver.output
    assert study.bytes_of_results() == undisturbed.bytes_of_results()
    assert "Job submission failed" not in second.output
    assert [row["status"] for row in other.table("runs.tsv")] == ["complete"] * 2


def test_a_limit_on_the_jobs_in_the_queue_is_kept_to(
    cluster: Cluster, undisturbed: Study, tmp_path: Path
) -> None:
    """Submissions wait; with the driver that ends they are given up, and the last one completes the study."""
    study = tfidf_study(undisturbed, tmp_path / "one at a time", jobs=4)
    limited = ("--set-resources", f"tfidf:slurm_account={LIMITED}")
    for jobs, number in enumerate((signal.SIGINT, signal.SIGTERM), start=1):
        with Driver(cluster, study, *limited) as driver:
            driver.wait(lambda: "MaxSubmitJob" in driver.output and submits(study))
            driver.process.send_signal(number)
            assert driver.ends() != 0
            wait_until(lambda: not queued(cluster, study), 30, "an empty queue")
            wait_until(lambda: not submits(study), 30, "no submission that still waits")
        assert len(accounted(cluster, study, "JobID")) == jobs
    with Driver(cluster, study, *limited) as driver:
        driver.ends_well()
    assert "MaxSubmitJob" in driver.output and "retrying" in driver.output
    assert "Trying to restart job" not in driver.output
    assert [row["status"] for row in study.table("runs.tsv")] == ["complete"] * 4


@contextmanager
def small_disk(cluster: Cluster, folder: Path, size: str) -> Iterator[None]:
    """Put a file system of its own into a folder, as the cluster sees it; its files stay there at the end."""
    folder.mkdir(parents=True)
    cluster.run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield
        cluster.run("cp", "-r", folder, f"{folder}-kept")
    finally:
        cluster.run("umount", "--lazy", folder)
    folder.rmdir()
    Path(f"{folder}-kept").rename(folder)


def test_what_cells_fail_of_is_said_and_the_others_are_trained(
    cluster: Cluster, undisturbed: Study, tmp_path: Path
) -> None:
    """sbatch refuses one, one has too little memory, two no disk, one no finite loss; a data set is wrong.

    When the causes are fixed, the same command completes them.
    """
    failing = ("refused", "memory", "work-full", "results-full")
    study = same_trainings(undisturbed, tmp_path / "failing", failing, snapshot_seconds=0)
    wild = {"base": "adamw", "learning_rate": 1e30, "head_learning_rate": 1e30, "epochs": 2}
    good: dict[str, object] = {METHOD: None, "probe": None, "tfidf": None}
    good |= {name: {"base": METHOD} for name in failing}
    study.write_model("turkish")
    write_data(study.folder / "data/turkish/single", "turkish", "single")
    poisoned = study.folder / "data/turkish/single/val.json"
    poisoned.write_text('{"Text": ["a"], "Labels": [[]]}', encoding="utf-8")
    study.write_sheet([("english", "single"), ("turkish", "single")])
    study.configure(**LONG | {"methods": {**good, "wild": wild}})
    full = [study.folder / "work/runs" / DATASET / "work-full"]
    full += [study.folder / "results/runs" / DATASET / "results-full"]
    lacking = with_resources(
        by_method("slurm_partition", "'gpu'", refused="'gpus'"),
        by_method("mem_mb", "16000*attempt", memory="300*attempt"),
    )
    # 300 MB do not hold torch, 4,800 do.
    enough = with_resources(
        "finetune:slurm_partition=gpu", by_method("mem_mb", "16000", memory="300*attempt**4")
    )
    with ExitStack() as disks:
        for folder in full:
            disks.enter_context(small_disk(cluster, folder, "16k"))
        with Driver(cluster, study, "--retries=0", *lacking) as driver:
            assert driver.ends() == 1
        rows = failures(study)
        assert {name: row["class"] for name, row in rows.items() if "turkish" not in name} == {
            cell("refused"): "refused",
            cell("memory"): "memory",
            cell("work-full"): "disk",
            cell("results-full"): "disk",
            cell("wild"): "nan",
        }
        of_turkish = {row["class"] for name, row in rows.items() if "turkish" in name}
        assert of_turkish == {"input"}
        assert "invalid partition specified: gpus" in rows[cell("refused")]["reason"]
        assert "make doctor" in rows[cell("refused")]["remedy"]
        assert "raise mem_mb in the profile" in rows[cell("memory")]["remedy"]
        assert all(rows[cell(name)]["slurm_job"] for name in ("memory", "results-full", "wild"))
        status = {(row["language"], row["method"]): row["status"] for row in study.table("report.tsv")}
        assert {status["english", method] for method in (METHOD, "probe", "tfidf")} == {"complete"}
        last = driver.output[-6000:]
        assert f"failed (refused): {cell('refused')}: sbatch: " in last
        assert last.count("failed (disk)") >= 2 and "no space left on the disk" in last
        assert "Traceback (most recent call last)" not in driver.output

        for folder in full:
            cluster.run("mount", "-o", "remount,size=100m", folder)
        study.write_sheet([("english", "single")])
        study.configure(**LONG | {"methods": good})
        with Driver(cluster, study, *enough) as driver:
            driver.ends_well()
    assert driver.output.count("Trying to restart job") == 1
    assert not (study.folder / "results/failures.tsv").exists()
    for name in failing:
        made, expected = files_of(study, name), files_of(study)
        del made["weights"], expected["weights"]  # of the published classifier alone
        assert made == expected, name
        assert rows_of(study, "report.tsv", name) == rows_of(study, "report.tsv", METHOD), name


def test_a_cluster_without_accounting(
    slurm: None, undisturbed: Study, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    study = tfidf_study(undisturbed, tmp_path / "without accounting", jobs=2)
    # A controller that has forgotten how a job ended before it is asked.
    bare = running(tmp_path_factory.mktemp("bare"), accounting=False, options="MinJobAge=10")
    with bare as cluster:
        examined = cluster.run(sys.executable, "-m", "polysharp", "doctor", cwd=study.folder)
        assert "squeue" in examined.stdout
        profile = ("--profile", str(study.folder / "profiles/here"))
        cluster.run(sys.executable, "-m", "snakemake", *study.command(*profile), timeout=1200)
        assert cluster.run("sacct", check=False).returncode != 0
    assert [row["status"] for row in study.table("runs.tsv")] == ["complete"] * 2
