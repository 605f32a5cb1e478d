"""What clusters do to a run, done to it: in the end the bytes of an undisturbed run."""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from tests.integration.study import Study
from tests.slurm.cluster import Cluster, wait_until
from tests.slurm.runs import (
    PROFILE,
    Driver,
    accounted,
    holder,
    log_of,
    long_study,
    runs_again,
    snapshots,
    state_of,
    suspended,
)


def test_a_requeued_training_goes_on(
    cluster: Cluster, ready: Study, undisturbed: Study, tmp_path: Path
) -> None:
    study = long_study(ready, tmp_path / "requeued")
    with Driver(cluster, study) as driver:
        job = driver.wait_until_it_trains()["slurm_job"]
        cluster.run("scontrol", "requeue", job)
        driver.wait(lambda: runs_again(cluster, job))
        driver.ends_well()
    assert "resumed from the snapshot" in log_of(study)
    assert study.bytes_of_results() == undisturbed.bytes_of_results()


def test_a_preempted_training_goes_on(
    cluster: Cluster, ready: Study, undisturbed: Study, tmp_path: Path
) -> None:
    study = long_study(ready, tmp_path / "preempted")
    low = ("--set-resources", "finetune:slurm_partition=gpulow", "finetune:gres=gpu:1")
    with Driver(cluster, study, *low) as driver:
        job = driver.wait_until_it_trains()["slurm_job"]
        urgent = ["--partition=gpu", "--nodes=2", "--gres=gpu:2", "--time=1", "--output=/dev/null"]
        cluster.run("sbatch", *urgent, "--wrap=sleep 1")
        driver.wait(lambda: runs_again(cluster, job))
        driver.ends_well()
    assert "Trying to restart job" not in driver.output  # no attempt is used up
    assert "resumed from the snapshot" in log_of(study)
    assert study.bytes_of_results() == undisturbed.bytes_of_results()


def test_a_training_that_is_preempted_for_good_goes_on_at_the_next_attempt(
    cluster: Cluster, ready: Study, undisturbed: Study, tmp_path: Path
) -> None:
    study = long_study(ready, tmp_path / "scavenged")
    resources = ["slurm_partition=scavenge", "gres=gpu:1", "slurm_extra='--no-requeue'"]
    for_good = ("--set-resources", *(f"finetune:{resource}" for resource in resources))
    with Driver(cluster, study, *for_good) as driver:
        driver.wait_until_it_trains()
        urgent = ["--partition=gpu", "--nodes=2", "--gres=gpu:2", "--time=1", "--output=/dev/null"]
        cluster.run("sbatch", *urgent, "--wrap=sleep 1")
        driver.ends_well()
    assert ["PREEMPTED"] in accounted(cluster, study, "State")
    assert "Trying to restart job" in driver.output
    assert "resumed from the snapshot" in log_of(study)
    assert study.bytes_of_results() == undisturbed.bytes_of_results()


def test_a_training_that_somebody_cancels_goes_on_at_the_next_attempt(
    cluster: Cluster, ready: Study, undisturbed: Study, tmp_path: Path
) -> None:
    study = long_study(ready, tmp_path / "cancelled")
    with Driver(cluster, study) as driver:
        cluster.run("scancel", driver.wait_until_it_trains()["slurm_job"])
        driver.ends_well()
    assert "status is: 'CANCELLED'" in driver.output and "Trying to restart job" in driver.output
    assert "resumed from the snapshot" in log_of(study)
    assert study.bytes_of_results() == undisturbed.bytes_of_results()


def test_a_training_that_outlives_its_time_goes_on_at_the_next_attempt(
    cluster: Cluster, ready: Study, undisturbed: Study, tmp_path: Path
) -> None:
    study = long_study(ready, tmp_path / "out of time")
    resources = ("--set-resources", "finetune:slurm_partition=gpu", "finetune:runtime=attempt")
    with Driver(cluster, study, *resources) as driver:
        trainer = driver.wait_until_it_trains()
        with suspended(trainer["process"]):
            driver.wait(lambda: state_of(cluster, trainer["slurm_job"]) != "RUNNING")
        driver.ends_well()
    assert "TIMEOUT" in driver.output and "Trying to restart job" in driver.output
    assert "resumed from the snapshot" in log_of(study)
    assert study.bytes_of_results() == undisturbed.bytes_of_results()


def test_a_killed_training_goes_on_from_the_newest_snapshot_that_is_whole(
    cluster: Cluster, ready: Study, undisturbed: Study, tmp_path: Path
) -> None:
    study = long_study(ready, tmp_path / "killed", snapshot_seconds=1)
    with Driver(cluster, study) as driver:
        trainer = driver.wait_until_it_trains()
        driver.wait(lambda: len(snapshots(study)) > 1)
        os.kill(trainer["process"], signal.SIGKILL)
        before, damaged = snapshots(study)
        content = bytearray((damaged / "state.pt").read_bytes())
        content[len(content) // 2] ^= 1
        (damaged / "state.pt").write_bytes(content)
        driver.ends_well()
    assert f"{damaged.name} is damaged and removed" in log_of(study)
    assert f"resumed from the snapshot {before.name}" in log_of(study)
    assert study.bytes_of_results() == undisturbed.bytes_of_results()


def test_of_a_node_that_is_given_up_the_living_training_stops(
    cluster: Cluster, ready: Study, undisturbed: Study, tmp_path: Path
) -> None:
    study = long_study(ready, tmp_path / "node lost")
    with Driver(cluster, study) as driver:
        lost = driver.wait_until_it_trains()
        node = cluster.run("squeue", "-h", "-j", lost["slurm_job"], "-o", "%N").stdout.strip()
        with suspended(lost["process"]):  # it has to live until the next one comes
            cluster.lose(node)
            driver.wait(lambda: runs_again(cluster, lost["slurm_job"]))
            driver.wait(lambda: holder(study)["process"] != lost["process"])
        try:
            driver.ends_well()
            gone = Path(f"/proc/{lost['process']}")
            wait_until(lambda: not gone.exists(), 30, "end of the first training, which nobody kills")
        finally:
            cluster.bring_back(node)
    assert f"taken over from process {lost['process']} on " in log_of(study)
    assert f"of Slurm job {lost['slurm_job']}" in log_of(study)
    assert study.bytes_of_results() == undisturbed.bytes_of_results()


def test_a_killed_driver_leaves_no_orphans(
    cluster: Cluster, ready: Study, undisturbed: Study, tmp_path: Path
) -> None:
    study = long_study(ready, tmp_path / "driver killed")
    with Driver(cluster, study) as driver:
        orphan = driver.wait_until_it_trains()
        with suspended(orphan["process"]):  # it has to live until it is cancelled
            driver.process.kill()
            driver.process.wait()
            # Its jobs go on: only the next run can look after them.
            command = [sys.executable, "-m", "snakemake", *study.command(*PROFILE)]
            locked = cluster.run(*command, check=False)
            assert locked.returncode != 0 and "--unlock" in locked.stderr
            cluster.run(*command, "--unlock")
            with Driver(cluster, study) as again:
                again.wait(lambda: "which are cancelled" in again.output)
                with suppress(ProcessLookupError):  # Slurm may have woken it, to end it
                    os.kill(orphan["process"], signal.SIGCONT)
                again.ends_well()
    assert f"left 1 Slurm jobs, which are cancelled: {orphan['slurm_job']}" in again.output
    assert "resumed from the snapshot" in log_of(study)
    assert study.bytes_of_results() == undisturbed.bytes_of_results()


def test_an_interrupted_driver_takes_its_jobs_along(
    cluster: Cluster, ready: Study, undisturbed: Study, tmp_path: Path
) -> None:
    study = long_study(ready, tmp_path / "driver interrupted")
    with Driver(cluster, study) as driver:
        job = driver.wait_until_it_trains()["slurm_job"]
        driver.process.send_signal(signal.SIGINT)
        assert driver.ends() != 0
        assert state_of(cluster, job) in ("CANCELLED", "COMPLETING")
        assert "cancelled" in (study.folder / "results/failures.tsv").read_text()
    with Driver(cluster, study) as driver:
        driver.ends_well()
    assert "resumed from the snapshot" in log_of(study)
    assert study.bytes_of_results() == undisturbed.bytes_of_results()


def test_a_driver_that_is_asked_to_end_lets_its_jobs_finish(
    cluster: Cluster, ready: Study, undisturbed: Study, tmp_path: Path
) -> None:
    study = long_study(ready, tmp_path / "driver ended")
    with Driver(cluster, study) as driver:
        driver.wait_until_it_trains()
        driver.process.send_signal(signal.SIGTERM)
        assert driver.ends() != 0
        assert (study.folder / "results/runs" / "main/english/single/sam/seed-1/job.json").exists()
    before = accounted(cluster, study, "JobID")
    with Driver(cluster, study) as driver:
        driver.ends_well()
    assert accounted(cluster, study, "JobID") == before  # nothing is trained a second time
    assert study.bytes_of_results() == undisturbed.bytes_of_results()
