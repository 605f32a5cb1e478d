"""What clusters do to a run, done to it: in the end the bytes of an undisturbed run."""

import os
import re
import signal
from pathlib import Path

from tests.integration.study import Study
from tests.slurm.cluster import Cluster, lives, wait_until
from tests.slurm.runs import (
    DATASET,
    METHOD,
    Driver,
    Training,
    accounted,
    at_work,
    by_method,
    files_of,
    log_of,
    long_study,
    queued,
    rows_of,
    runs_again,
    same_trainings,
    snapshots,
    state_of,
    with_resources,
)


def node_of(cluster: Cluster, training: Training) -> str:
    """Return the node that a training runs on."""
    return cluster.run("squeue", "-h", "-j", training.job, "-o", "%N").stdout.strip()


def preempt(cluster: Cluster, study: Study, training: Training) -> None:
    """Have a training's node for a more urgent job."""
    urgent = ["--partition=urgent", "--nodelist", node_of(cluster, training), "--gres=gpu:1", "--time=1"]
    cluster.run("sbatch", *urgent, "--chdir", study.folder, "--output=/dev/null", "--wrap=sleep 1")


def is_as_if_nothing_had_happened(study: Study, *methods: str) -> None:
    """Complete a study without the cluster, and compare methods that do what METHOD does with METHOD."""
    expected = files_of(study)
    made = {method: files_of(study, method) for method in methods}
    study.completed("-c2")
    for method in methods:
        assert made[method] == expected, method
        for table in ("report.tsv", "runs.tsv", "curves.tsv", "confusions.tsv"):
            assert rows_of(study, table, method) == rows_of(study, table, METHOD), (table, method)
    assert not (study.folder / "results/failures.tsv").exists()


def test_trainings_that_slurm_stops_go_on(cluster: Cluster, undisturbed: Study, tmp_path: Path) -> None:
    """One is requeued, one preempted, one preempted for good, one cancelled, one out of time."""
    methods = ("requeued", "preempted", "scavenged", "cancelled", "out-of-time")
    study = same_trainings(undisturbed, tmp_path / "stopped", methods)
    resources = with_resources(
        by_method("slurm_partition", "'gpu'", preempted="'gpulow'", scavenged="'scavenge'"),
        by_method("slurm_extra", "''", scavenged="'--no-requeue'"),
        "finetune:runtime=10*attempt",
    )
    with Driver(cluster, study, "--until", "finetune", *resources) as driver:
        held = dict(zip(methods, driver.hold(*methods), strict=True))
        cluster.run("scontrol", "requeue", held["requeued"].job)
        preempt(cluster, study, held["preempted"])
        preempt(cluster, study, held["scavenged"])
        cluster.run("scancel", held["cancelled"].job)
        # Its limit is nearer now; limits themselves are whole minutes.
        cluster.run("scontrol", "update", f"jobid={held['out-of-time'].job}", "EndTime=now+1")
        driver.wait(lambda: sum(training.asked_to_stop() for training in held.values()) == len(held))
        for method in ("requeued", "preempted"):
            driver.wait(lambda job=held[method].job: runs_again(cluster, job), pause=1)
        driver.ends_well()
    for method in methods:
        stopped = re.findall(r"SIGTERM: stopping as soon as the state is saved", held[method].log)
        assert len(stopped) == 1, held[method].log
        assert "resumed from the snapshot" in log_of(study, method)
    states = {job: state for job, state, _ in accounted(cluster, study, "JobID", "State", "Timelimit")}
    ends = {method: states[training.job] for method, training in held.items()}
    assert ends["requeued"] == ends["preempted"] == "COMPLETED"  # no attempt is used up
    assert ends["scavenged"] == "PREEMPTED" and ends["out-of-time"] == "TIMEOUT"
    assert "status is: 'CANCELLED'" in driver.output and "status is: 'TIMEOUT'" in driver.output
    assert driver.output.count("Trying to restart job") == 3
    # Who was out of time asks for more.
    (last,) = re.findall(r"Slurm job (\d+) on", log_of(study, "out-of-time"))
    assert [last, "00:20:00"] in accounted(cluster, study, "JobID", "Timelimit")
    is_as_if_nothing_had_happened(study, *methods)


def test_trainings_that_are_killed_or_given_up_go_on(
    cluster: Cluster, undisturbed: Study, tmp_path: Path
) -> None:
    """One is killed, and its newest snapshot damaged; the node of the other is lost, its process lives on."""
    methods = ("killed", "given-up")
    study = same_trainings(undisturbed, tmp_path / "killed", methods, snapshot_seconds=0)
    resources = with_resources(by_method("slurm_partition", "'gpu'", given_up="'spare'"))
    with Driver(cluster, study, "--until", "finetune", *resources) as driver:
        killed, given_up = driver.hold(*methods)
        os.kill(killed.process, signal.SIGKILL)
        wait_until(lambda: not lives(killed.process), 10, "end of the killed training")
        before, damaged = snapshots(study, "killed")[-2:]
        content = bytearray((damaged / "state.pt").read_bytes())
        content[len(content) // 2] ^= 1
        (damaged / "state.pt").write_bytes(content)
        node = node_of(cluster, given_up)
        cluster.lose(node)
        try:
            driver.wait(lambda: runs_again(cluster, given_up.job), pause=1)
            successors: list[Training] = []

            def is_taken_over() -> bool:
                given_up.beat()
                successor = at_work(study, "given-up", given_up.process)
                successors.extend([successor] if successor else [])
                return bool(successors)

            driver.wait(is_taken_over)
            given_up.go_on()
            driver.ends_well()
            wait_until(
                lambda: not lives(given_up.process), 30, "end of the first training, which nobody kills"
            )
        finally:
            given_up.go_on()
            cluster.bring_back(node)
    assert f"{damaged.name} is damaged and removed" in log_of(study, "killed")
    assert f"resumed from the snapshot {before.name}" in log_of(study, "killed")
    # Not the log of the last attempt. Snakemake on a lost node waits another minute for the job's outputs and
    # removes what it then finds of them. That may be the receipt of the training that went on: its job is
    # tried once more, and finds the cell complete.
    taken_over = f"taken over from process {given_up.process} on "
    assert taken_over in successors[0].log, successors[0].log + driver.output
    assert f"of Slurm job {given_up.job}" in successors[0].log
    is_as_if_nothing_had_happened(study, *methods)


def test_a_training_outlives_four_drivers(
    cluster: Cluster, ready: Study, undisturbed: Study, tmp_path: Path
) -> None:
    """One is interrupted, one killed, one asked to end; the fourth has nothing to train."""
    study = long_study(ready, tmp_path / "drivers")
    with Driver(cluster, study) as driver:
        (first,) = driver.hold(METHOD)
        driver.process.send_signal(signal.SIGINT)
        driver.wait(first.asked_to_stop)
        assert driver.ends() != 0
        assert state_of(cluster, first.job) in ("CANCELLED", "COMPLETING")
        assert "cancelled" in (study.folder / "results/failures.tsv").read_text()

    with Driver(cluster, study) as driver:
        (orphan,) = driver.hold(METHOD, after=first.process)  # it has to live until it is cancelled
        assert "resumed from the snapshot" in log_of(study)
        driver.process.kill()
        driver.process.wait()
        assert queued(cluster, study) == [orphan.job]
        # Its jobs go on: only the next run can look after them, which takes its lock away as well.
        with Driver(cluster, study) as third:
            third.wait(lambda: f"process {driver.process.pid} on" in third.output)
            third.wait(lambda: "which are cancelled" in third.output)
            third.wait(orphan.asked_to_stop)
            (last,) = third.hold(METHOD, after=orphan.process)
            third.process.send_signal(signal.SIGTERM)
            last.go_on()
            assert third.ends() != 0
            assert (study.folder / "results/runs" / DATASET / "sam/seed-1/job.json").exists()
    assert f"left 1 Slurm jobs, which are cancelled: {orphan.job}" in third.output
    assert "resumed from the snapshot" in log_of(study)

    before = accounted(cluster, study, "JobID")
    with Driver(cluster, study) as driver:
        driver.ends_well()
    assert accounted(cluster, study, "JobID") == before  # nothing is trained a second time
    assert study.bytes_of_results() == undisturbed.bytes_of_results()
