"""The workflow on a real Slurm cluster, by profiles/slurm as it is."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from polysharp.files import read_json
from tests.integration.conftest import DATASETS
from tests.integration.study import ROOT, Study
from tests.slurm.cluster import Cluster

pytestmark = pytest.mark.xdist_group("slurm")  # one cluster for all of these tests
PROFILE = ("--profile", str(ROOT / "profiles/slurm"), "--slurm-init-seconds-before-status-checks=5")
CELL = "main/english/single/sam/seed-1"


@contextmanager
def driver(cluster: Cluster, study: Study, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run the workflow on the cluster, and stop it at the end of the block."""
    command = [sys.executable, "-m", "snakemake", *study.command(*PROFILE, *arguments)]
    process = subprocess.Popen(
        cluster.inside(*command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        cluster.run("scancel", "--user=root", check=False)


def ends_well(process: "subprocess.Popen[str]") -> str:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


def wait(condition: Callable[[], bool], process: "subprocess.Popen[str]", seconds: float = 180) -> None:
    """Wait for a condition while the driver lives."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.2)


def starts_now(cluster: Cluster, job: str) -> bool:
    """Take from a job that was put back its two minutes of waiting; return whether it was back already."""
    return cluster.run("scontrol", "update", f"jobid={job}", "StartTime=now", check=False).returncode == 0


@contextmanager
def suspended(process: int) -> Iterator[None]:
    """Let a process do nothing for the length of the block; signals wait for it."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)


def state_of(cluster: Cluster, job: str) -> str:
    """Return a job's state, as squeue gives it; empty once it has gone."""
    return cluster.run("squeue", "-h", "-t", "all", "-j", job, "-o", "%T", check=False).stdout.strip()


def states(cluster: Cluster) -> list[str]:
    """Return rule and state of every job of the accounting, as 'finetune COMPLETED'."""
    lines = cluster.run("sacct", "-X", "-n", "-P", "--duplicates", "--format=Comment,State,Partition").stdout
    return lines.splitlines()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study of one long training, done without a cluster."""
    study = long_study(tmp_path_factory.mktemp("studies") / "undisturbed")
    study.completed("-c1")
    return study


def long_study(folder: Path) -> Study:
    """Return a study whose one training takes long enough to be disturbed."""
    return Study.write(
        folder,
        [("english", "single")],
        seeds=[1],
        methods={"sam": None},
        training={"epochs": 400, "learning_rate": 1e-4, "dropout": 0.1},
        report={"bootstrap": 200},
    )


def trains(study: Study, epoch: int = 3) -> Callable[[], bool]:
    """Return whether the one training of a study has come as far as an epoch."""
    log = study.folder / f"logs/runs/{CELL}.log"
    return lambda: log.exists() and f"epoch {epoch}/" in log.read_text()


def test_a_run_on_the_cluster_gives_the_bytes_of_a_run_without(
    cluster: Cluster,
    finished: Study,
    tmp_path: Path,
) -> None:
    study = Study.write(tmp_path / "on the cluster", DATASETS)
    with driver(cluster, study) as process:
        ends_well(process)
    assert study.bytes_of_results() == finished.bytes_of_results()
    jobs = states(cluster)
    assert len(jobs) == 8
    assert all("COMPLETED" in job for job in jobs), jobs
    assert sum(job.endswith("gpu") for job in jobs) == 6  # the trainings of the baseline tfidf need none


def test_no_job_finds_the_internet(cluster: Cluster) -> None:
    # The address is no real one's; without a route the network says so at once.
    reach = "import socket; socket.create_connection(('198.51.100.1', 80), timeout=5)"
    done = cluster.run("srun", "-p", "gpu", sys.executable, "-c", reach, check=False)
    assert done.returncode != 0
    assert "Network is unreachable" in done.stderr


def test_a_requeued_training_goes_on_where_it_was(
    cluster: Cluster, undisturbed: Study, tmp_path: Path
) -> None:
    study = long_study(tmp_path / "requeued")
    with driver(cluster, study) as process:
        wait(trains(study), process)
        job = read_json(study.folder / "work/runs" / CELL / "lease.json")["slurm_job"]
        cluster.run("scontrol", "requeue", job)
        wait(lambda: bool(list(study.folder.glob("work/runs/**/step-*"))), process)
        wait(lambda: starts_now(cluster, job), process)
        ends_well(process)
    assert "resumed from the snapshot" in (study.folder / f"logs/runs/{CELL}.log").read_text()
    assert study.bytes_of_results() == undisturbed.bytes_of_results()


def test_of_a_node_that_is_given_up_the_living_training_stops(
    cluster: Cluster, undisturbed: Study, tmp_path: Path
) -> None:
    study = long_study(tmp_path / "node lost")
    lease = study.folder / "work/runs" / CELL / "lease.json"
    with driver(cluster, study) as process:
        wait(trains(study), process)
        holder = read_json(lease)
        node = cluster.run("squeue", "-h", "-j", holder["slurm_job"], "-o", "%N").stdout.strip()
        cluster.lose(node)
        try:
            wait(lambda: starts_now(cluster, holder["slurm_job"]), process)
            ends_well(process)
        finally:
            cluster.bring_back(node)
    log = (study.folder / f"logs/runs/{CELL}.log").read_text()
    assert f"taken over from process {holder['process']} on " in log
    assert f"of Slurm job {holder['slurm_job']}" in log
    assert not Path(f"/proc/{holder['process']}").exists()
    assert study.bytes_of_results() == undisturbed.bytes_of_results()


def test_a_killed_run_leaves_no_orphans(cluster: Cluster, undisturbed: Study, tmp_path: Path) -> None:
    study = long_study(tmp_path / "driver killed")
    with driver(cluster, study) as process:
        wait(trains(study), process)
        orphan = read_json(study.folder / "work/runs" / CELL / "lease.json")
        process.kill()
        process.communicate()
        # Its jobs go on: only the next run can look after them.
        command = [sys.executable, "-m", "snakemake", *study.command(*PROFILE)]
        locked = cluster.run(*command, check=False)
        assert locked.returncode != 0 and "--unlock" in locked.stderr
        cluster.run(*command, "--unlock")
        again = cluster.run(*command, timeout=600)
    assert f"left 1 Slurm jobs, which are cancelled: {orphan['slurm_job']}" in again.stderr
    assert "resumed from the snapshot" in (study.folder / f"logs/runs/{CELL}.log").read_text()
    assert study.bytes_of_results() == undisturbed.bytes_of_results()


def test_a_training_that_outlives_its_time_goes_on_at_the_next_attempt(
    cluster: Cluster, undisturbed: Study, tmp_path: Path
) -> None:
    study = long_study(tmp_path / "out of time")
    with driver(cluster, study, "--set-resources", "finetune:runtime=attempt") as process:
        wait(trains(study), process)
        holder = read_json(study.folder / "work/runs" / CELL / "lease.json")
        with suspended(holder["process"]):
            wait(lambda: state_of(cluster, holder["slurm_job"]) != "RUNNING", process)
        output = ends_well(process)
    assert "TIMEOUT" in output and "Trying to restart job" in output
    assert "resumed from the snapshot" in (study.folder / f"logs/runs/{CELL}.log").read_text()
    assert study.bytes_of_results() == undisturbed.bytes_of_results()


def test_the_doctor_writes_a_profile_that_works(
    cluster: Cluster,
    finished: Study,
    tmp_path: Path,
) -> None:
    study = Study.write(tmp_path / "by the doctor", DATASETS)
    doctor = [sys.executable, ROOT / "workflow/scripts/doctor.py"]
    examined = cluster.run(*doctor, cwd=study.folder)
    assert "ok     partition with GPUs: gpu (2 nodes, 64000 MB, at most 240 minutes a job)" in examined.stdout
    assert "ok     Slurm would take a job of fine-tuning: --partition=gpu --time=60" in examined.stdout
    assert "wrong" not in examined.stdout
    for mistake, expected in (
        (["--gpu-partition", "gup"], "partition 'gup': not there; expected one of cpu, gpu, gpulow; did you"),
        (["--gpu-partition", "cpu"], "partition cpu: has no GPUs; those that have: gpu, gpulow"),
        (["--gpu-kind", "a10"], "the kinds there: a100; did you mean 'a100'?"),
        (["--account", "studies"], "account 'studies': not yours; yours are"),
    ):  # fmt: skip
        wrong = cluster.run(*doctor, *mistake, cwd=study.folder, check=False)
        assert wrong.returncode == 1
        assert expected in wrong.stderr and "Traceback" not in wrong.stderr
    profile = ("--profile", str(study.folder / "profiles/here"), PROFILE[-1])
    command = [sys.executable, "-m", "snakemake", *study.command(*profile)]
    cluster.run(*command, timeout=600)
    assert study.bytes_of_results() == finished.bytes_of_results()
