"""The workflow on a real Slurm cluster, by profiles/slurm as it is and by the doctor's."""

import csv
import subprocess
import sys
from pathlib import Path

from tests.integration.conftest import DATASETS
from tests.integration.study import ROOT, Study
from tests.slurm.cluster import Cluster, processes_in, wait_until
from tests.slurm.runs import PROFILE, Driver, accounted, long_study


def test_a_run_on_the_cluster_gives_the_bytes_of_a_run_without(
    cluster: Cluster, finished: Study, tmp_path: Path
) -> None:
    study = Study.write(tmp_path / "on the cluster", DATASETS)
    with Driver(cluster, study) as driver:
        driver.ends_well()
    assert study.bytes_of_results() == finished.bytes_of_results()
    jobs = accounted(cluster, study, "State", "Partition")
    assert len(jobs) == 8
    assert {state for state, _ in jobs} == {"COMPLETED"}
    # The trainings of the baseline tfidf need no GPU.
    assert [partition for _, partition in jobs].count("gpu") == 6
    (efficiency,) = (study.folder / "logs/slurm").glob("efficiency_report_*.csv")
    with efficiency.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 8
    assert all(float(row["Memory Usage (%)"]) > 0 for row in rows)


def test_no_job_finds_the_internet(cluster: Cluster) -> None:
    # The address is no real one's; without a route the network says so at once.
    reach = "import socket; socket.create_connection(('198.51.100.1', 80), timeout=5)"
    done = cluster.run("srun", "-p", "gpu", sys.executable, "-c", reach, check=False)
    assert done.returncode != 0
    assert "Network is unreachable" in done.stderr


def test_the_doctor_writes_a_profile_that_works(
    cluster: Cluster, ready: Study, undisturbed: Study, tmp_path: Path
) -> None:
    study = long_study(ready, tmp_path / "by the doctor")
    doctor = [sys.executable, "-m", "polysharp", "doctor"]
    examined = cluster.run(*doctor, cwd=study.folder)
    assert "ok     partition with GPUs: gpu (2 nodes, 128000 MB, at most 240 min" in examined.stdout
    assert "ok     Slurm would accept a fine-tuning job: --partition=gpu --time=60" in examined.stdout
    assert "wrong" not in examined.stdout
    with_gpus = "gpu, gpulow, scavenge, urgent, spare"
    for mistake, expected in (
        (["--gpu-partition", "gup"], f"'gup': not found; expected one of cpu, {with_gpus}; did you"),
        (["--gpu-partition", "cpu"], f"partition cpu: has no GPUs; these have: {with_gpus}"),
        (["--gpu-kind", "a10"], "available kinds: a100; did you mean 'a100'?"),
        (["--account", "studies"], "account 'studies': not yours; yours are"),
    ):  # fmt: skip
        wrong = cluster.run(*doctor, *mistake, cwd=study.folder, check=False)
        assert wrong.returncode == 1
        assert expected in wrong.stderr and "Traceback" not in wrong.stderr
    profile = ("--profile", str(study.folder / "profiles/here"), PROFILE[-1])
    command = [sys.executable, "-m", "snakemake", *study.command(*profile)]
    cluster.run(*command, timeout=1200)
    assert study.bytes_of_results() == undisturbed.bytes_of_results()


def test_a_cluster_ends_with_the_process_that_uses_it(slurm: None, tmp_path: Path) -> None:
    use = (
        "import sys, time; from pathlib import Path; from tests.slurm.cluster import running\n"
        "with running(Path(sys.argv[1]), accounting=False) as cluster:\n"
        "    cluster.run('sbatch', '-p', 'gpu', '--output=/dev/null', '--wrap=sleep 600')\n"
        "    print('runs', flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", use, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout and user.stdout.readline() == "runs\n"
        namespaces = int((tmp_path / "cluster/processes/namespaces").read_text())
        space = Path(f"/proc/{namespaces}/ns/net").stat().st_ino
        assert len(processes_in(space)) > 10
        user.kill()
    wait_until(lambda: not processes_in(space), 30, "end of everything in the namespace")
    wait_until(lambda: not (tmp_path / "runs").exists(), 10, "end of the cluster's keeper")
