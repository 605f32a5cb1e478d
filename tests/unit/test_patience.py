"""sbatch, sacct and squeue of workflow/slurm, before commands of our own making in Slurm's place."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from polysharp.cluster.driver import DRIVER, Process, process_here
from polysharp.cluster.driver_files import read_told
from tests.conftest import ROOT, write_command

SHIMS = ROOT / "workflow/slurm"
JOB = "snakemake --target-jobs 'finetune:task=main,language=english,label_type=single,method=sam,seed=3' -j1"
FAILURE = "work/runs/main/english/single/sam/seed-3/failure.json"
AWAY = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"


@pytest.fixture(autouse=True)
def nothing_said_of_the_queue(tmp_path: Path) -> None:
    """Put commands in Slurm's place that say nothing; a test may write its own."""
    put(tmp_path, "squeue", "exit 0")
    put(tmp_path, "sinfo", "exit 0")
    # Python imports this module when it starts: our commands wait a second where users' wait ten, or 45.
    quick = "from polysharp.cluster import wrappers; wrappers.PAUSE, wrappers.ANSWER = 1, 2"
    (tmp_path / "quick").mkdir()
    (tmp_path / "quick/sitecustomize.py").write_text(quick)


def put(folder: Path, name: str, script: str) -> None:
    """Put a shell script in the place of one of Slurm's commands."""
    write_command(folder / "bin", name, script)


def call(
    folder: Path, name: str, script: str, *arguments: str, driver: Process | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run one of ours in a folder where Slurm's own is a shell script."""
    put(folder, name, script)
    path = [str(SHIMS), str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    return subprocess.run(
        [name, *arguments],
        cwd=folder,
        env=os.environ
        | {
            "PATH": os.pathsep.join(path),
            "PYTHONPATH": f"{ROOT / 'workflow'}{os.pathsep}{folder / 'quick'}",
            "POLYSHARP_DRIVER": str(driver or process_here()),
        },
        input="the script",
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


class Driver:
    """A process in the driver's place, and what it was told to say."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._process = subprocess.Popen(["sleep", "60"])
        self.process = process_here(self._process.pid)
        monkeypatch.chdir(folder)
        monkeypatch.setenv(DRIVER, str(self.process))

    def said(self) -> list[str]:
        self._process.kill()
        self._process.wait()
        return read_told()[0]


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    return Driver(tmp_path, monkeypatch)


def test_what_is_taken_is_passed_on(tmp_path: Path) -> None:
    done = call(tmp_path, "sbatch", 'echo "4711;here"; cat; echo "$2"; echo aside >&2', "--wrap", JOB)
    assert done.stdout == f"4711;here\nthe script{JOB}\n"
    assert (done.stderr, done.returncode) == ("aside\n", 0)
    assert not (tmp_path / FAILURE).exists()


@pytest.mark.parametrize(
    "passing",
    [
        AWAY,
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
        "sbatch: error: QOSMaxSubmitJobPerUserLimit",
        "sbatch: error: AssocMaxSubmitJobLimit",
        "sbatch: error: AssocGrpSubmitJobsLimit",
        "sbatch: error: Batch job submission failed: Slurm backup controller in standby mode",
    ],
)
def test_what_may_pass_is_tried_again(passing: str, tmp_path: Path) -> None:
    once = f"[ -e tried ] || {{ touch tried; echo '{passing}' >&2; exit 1; }}; cat; echo 4711"
    done = call(tmp_path, "sbatch", once, "--wrap", JOB)
    assert (done.stdout, done.stderr, done.returncode) == ("the script4711\n", "", 0)
    assert not (tmp_path / FAILURE).exists()


@pytest.mark.parametrize(
    "final",
    [
        "sbatch: error: invalid partition specified: gpus",
        # With this ending Slurm also refuses what is too long or too large for ever.
        "sbatch: error: QOSMaxWallDurationPerJobLimit: Job violates accounting/QOS policy "
        "(job submit limit, user's size and/or time limits)",
    ],
)
def test_what_is_refused_for_good_is_the_failure_of_the_cell(final: str, tmp_path: Path) -> None:
    done = call(tmp_path, "sbatch", f'echo "{final}" >&2; exit 1', "--wrap", JOB)
    assert (done.stderr, done.returncode) == (f"{final}\n", 1)
    told = json.loads((tmp_path / FAILURE).read_text())
    assert told == {"class": "refused", "reason": final.replace("error: ", ""), "slurm_job": None}


def test_why_an_earlier_attempt_failed_stays_said(tmp_path: Path) -> None:
    (tmp_path / FAILURE).parent.mkdir(parents=True)
    told = {"class": "nan", "reason": "the loss is nan", "slurm_job": "12"}
    (tmp_path / FAILURE).write_text(json.dumps(told))
    with (tmp_path / FAILURE).open() as before:  # as a process has that reads it meanwhile
        call(tmp_path, "sbatch", "echo 'sbatch: error: too much memory' >&2; exit 1", "--wrap", JOB)
        assert json.load(before) == told
    reason = "the loss is nan; the next attempt was refused: sbatch: too much memory"
    assert json.loads((tmp_path / FAILURE).read_text()) == {**told, "reason": reason}


def lose_the_answer(folder: Path, squeue: str) -> None:
    """Submit a job, 4711, whose answer is lost, where squeue is a shell script: it is submitted once."""
    put(folder, "squeue", squeue)
    lost = "touch $(date +%N); echo 'sbatch: error: Socket timed out on send/recv operation' >&2; exit 1"
    done = call(folder, "sbatch", lost, "--parsable", "--job-name", "us-1", "--comment", "rule_sam 3")
    assert (done.stdout, done.returncode) == ("4711\n", 0)
    assert len([path for path in folder.iterdir() if path.name.isdecimal()]) == 1


def test_a_job_that_was_taken_without_an_answer_is_not_submitted_twice(tmp_path: Path) -> None:
    lose_the_answer(tmp_path, "echo '4710|rule_other'; echo '4711|rule_sam 3'; echo \"$@\" > asked")
    assert "-n us-1 " in (tmp_path / "asked").read_text()


def test_nothing_is_submitted_again_before_squeue_has_answered(tmp_path: Path) -> None:
    lose_the_answer(tmp_path, "[ -e asked ] && { echo '4711|rule_sam 3'; exit; }; touch asked; exit 1")


def test_a_complete_cell_does_not_fail_for_what_is_refused_to_others_of_its_job(tmp_path: Path) -> None:
    report = tmp_path / "results/runs/main/english/single/sam/seed-3/report.json"
    report.parent.mkdir(parents=True)
    report.touch()
    call(tmp_path, "sbatch", "echo 'sbatch: error: too much memory' >&2; exit 1", "--wrap", JOB)
    assert not (tmp_path / FAILURE).exists()


@pytest.mark.parametrize(
    ("name", "asked"), [("sacct", "--format=JobIdRaw,State"), ("squeue", "--format=%i|%T")]
)
def test_ends_of_jobs_are_told_in_words_that_the_executor_knows(
    name: str, asked: str, tmp_path: Path
) -> None:
    for job in (1, 2, 3, 4, 5, 9):  # what was submitted
        call(tmp_path, "sbatch", f"echo {job}", "--wrap", JOB)
    rows = [
        "1|RUNNING",
        "2|CANCELLED by 1000",
        "3|PREEMPTED",
        "4|PREEMPTED",
        "5|NODE_FAIL",
        "6|OUT_OF_MEMORY",
    ]
    said = "\n".join(f"echo '{row}'" for row in rows)
    # Job 3 is being put back into the queue, which 4 and 5 have left; of 9 the controller never says a word.
    queue = "case $* in *-t*) echo '1|RUNNING' ;; *) echo '1|RUNNING'; echo '3|REQUEUED' ;; esac"
    if name == "sacct":
        put(tmp_path, "squeue", queue)
    else:
        said = f"case $* in *--format*) {said} ;; *Z) ;; *) {queue} ;; esac"
    done = call(tmp_path, name, said, asked)
    expected = ["1|RUNNING", "2|CANCELLED", "3|PREEMPTED", "4|CANCELLED", "5|CANCELLED", "6|OUT_OF_MEMORY"]
    assert done.stdout.splitlines() == [*expected, *(["9|COMPLETED"] if name == "squeue" else [])]


def test_where_the_queue_is_not_known_the_end_of_a_job_stays_open(tmp_path: Path) -> None:
    put(tmp_path, "squeue", "exit 1")
    done = call(tmp_path, "sacct", "echo '4|PREEMPTED'", "--format=JobIdRaw,State")
    assert done.stdout == "4|PREEMPTED\n"


def test_an_account_is_asked_for_until_the_controller_answers(tmp_path: Path, driver: Driver) -> None:
    once = f"[ -e tried ] || {{ touch tried; echo '{AWAY}' >&2; exit 1; }}; echo study"
    done = call(tmp_path, "sshare", once, "-U", driver=driver.process)
    assert (done.stdout, done.returncode) == ("study\n", 0)
    (said,) = driver.said()
    assert "sshare: " in said and "retrying every 1 s" in said
    refused = call(tmp_path, "sacctmgr", "echo 'connection refused' >&2; exit 1", "-n")
    assert refused.returncode == 1  # at once: sshare is asked next


def ending(folder: Path) -> Path:
    """Return the file that says that the driver, these tests, is being ended."""
    (folder / "work/said").mkdir(parents=True, exist_ok=True)
    return folder / f"work/said/{process_here()}-ending"


def test_a_driver_that_is_being_ended_submits_nothing(tmp_path: Path) -> None:
    ending(tmp_path).touch()
    done = call(tmp_path, "sbatch", "touch submitted; echo 4711", "--wrap", JOB)
    assert (done.stdout, done.returncode) == ("", 1)
    assert not (tmp_path / "submitted").exists() and not (tmp_path / FAILURE).exists()


def test_a_submission_that_waits_ends_with_the_driver(tmp_path: Path) -> None:
    script = f"touch {ending(tmp_path)}; echo again >> tried; echo '{AWAY}' >&2; exit 1"
    assert call(tmp_path, "sbatch", script, "--wrap", JOB).returncode == 1
    assert (tmp_path / "tried").read_text() == "again\n"
    assert not (tmp_path / FAILURE).exists()


def test_a_job_that_was_submitted_while_the_driver_was_ended_is_cancelled(tmp_path: Path) -> None:
    put(tmp_path, "scancel", "echo $@ > cancelled")
    call(tmp_path, "sbatch", f"touch {ending(tmp_path)}; echo '4711;here'", "--wrap", JOB)
    assert (tmp_path / "cancelled").read_text() == "4711\n"


def test_what_an_ended_driver_has_left_in_the_queue_is_cancelled(tmp_path: Path) -> None:
    for job in (4711, 4712):
        call(tmp_path, "sbatch", f"echo {job}", "--wrap", JOB)
    put(tmp_path, "squeue", "echo '4712|RUNNING'; echo '4713|RUNNING'")  # one of ours, and one of another run
    put(tmp_path, "scancel", "echo $@ > cancelled")
    code = "from polysharp.cluster.wrappers import cancel_what_is_left; cancel_what_is_left()"
    for ended in (False, True):
        if ended:
            ending(tmp_path).touch()
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=os.environ
            | {
                "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT / "workflow"),
                "POLYSHARP_DRIVER": str(process_here()),
            },
            check=True,
        )
        assert (tmp_path / "cancelled").exists() == ended
    assert (tmp_path / "cancelled").read_text() == "4712\n"


def test_nothing_is_waited_for_without_a_driver(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    done = call(
        tmp_path, "sbatch", f"echo '{AWAY}' >&2; exit 1", "--wrap", JOB, driver=process_here(ended.pid)
    )
    assert done.returncode == 1
    assert "contact slurm controller" in json.loads((tmp_path / FAILURE).read_text())["reason"]


@pytest.mark.parametrize("name", ["sacct", "squeue"])
def test_a_status_that_does_not_come_is_said_once(name: str, tmp_path: Path, driver: Driver) -> None:
    for _ in range(2):
        for asked in ("--format=JobIdRaw,State", "--format=%i|%T", "--format=Account"):
            done = call(tmp_path, name, "echo 'no answer' >&2; exit 1", asked, driver=driver.process)
            assert done.returncode == 1 and done.stderr == "no answer\n"
    (said,) = driver.said()
    assert f"{name}: no answer; job states are not known until it answers" in said


def test_a_status_that_takes_too_long_is_said(tmp_path: Path, driver: Driver) -> None:
    done = call(tmp_path, "sacct", "exec sleep 70", "--format=State", driver=driver.process)
    assert done.returncode == 1
    (said,) = driver.said()
    assert "sacct: no answer within 2 s; job states" in said


def test_a_job_that_waits_for_ever_is_said(tmp_path: Path, driver: Driver) -> None:
    here = tmp_path.resolve()
    reasons = ["PartitionTimeLimit", "Priority", "JobHoldMaxRequeue", "AssocGrpCPURunMinutesLimit"]
    lines = [f"{7 + number}|{reason}|{here}" for number, reason in enumerate(reasons)]
    lines.append("6|PartitionTimeLimit|/elsewhere")
    put(tmp_path, "squeue", "\n".join(f"echo '{line}'" for line in lines))
    assert call(tmp_path, "sacct", "echo fine", driver=driver.process).stdout == "fine\n"
    long, held = driver.said()
    assert "Slurm job 7 waits for ever (PartitionTimeLimit): lower what the profile requests" in long
    assert "Slurm job 9 waits for ever (JobHoldMaxRequeue): `scontrol release 9`" in held


@pytest.mark.parametrize(
    ("limits", "expected"),
    [("4:00:00", "240"), ("1:00:00\n2:00:00", "120"), ("infinite", "300"), ("", "300"), ("6:00:00", "300")],
)
def test_no_more_time_is_asked_for_than_the_partition_allows(
    limits: str, expected: str, tmp_path: Path, driver: Driver
) -> None:
    put(tmp_path, "sinfo", f"printf '{limits}'")
    options = ("-p", "gpu", "-t", "300", "--mem", "16000")
    done = call(tmp_path, "sbatch", 'echo "$@"', *options, driver=driver.process)
    assert done.stdout == f"-p gpu -t {expected} --mem 16000\n"
    assert ["allows" in line for line in driver.said()] == ([True] if expected != "300" else [])


def test_from_its_signal_on_a_driver_submits_nothing(tmp_path: Path) -> None:
    script = (
        "import os, signal\nfrom polysharp.cluster.driver_files import register_driver, stop_submitting_on\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('as before'))\n"
        "register_driver()\nstop_submitting_on(signal.SIGTERM)\n"
        "print(os.environ['POLYSHARP_DRIVER'], flush=True)\nos.kill(os.getpid(), signal.SIGTERM)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    process, said = done.stdout.splitlines()
    assert said == "as before"
    assert (tmp_path / f"work/said/{process}-ending").exists()


def test_drivers_on_two_machines_with_the_same_number_keep_their_own_files(tmp_path: Path) -> None:
    script = (
        "import platform, signal\n"
        "from polysharp.cluster.driver_files import register_driver, stop_submitting_on\n"
        "signal.signal(signal.SIGTERM, lambda *_: None)\n"
        "for host in ('login1', 'node-7'):\n"
        "    platform.node = lambda host=host: host\n"
        "    register_driver()\n"
        "    stop_submitting_on(signal.SIGTERM)\n"
        "    signal.raise_signal(signal.SIGTERM)\n"
        "    signal.signal(signal.SIGTERM, lambda *_: None)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
    hosts = sorted(path.name.rsplit("-", 2)[0] for path in (tmp_path / "work/said").iterdir())
    assert hosts == ["login1", "node-7"]


def test_a_process_with_the_drivers_number_on_another_machine_is_not_spoken_to(
    tmp_path: Path, driver: Driver
) -> None:
    elsewhere = Process("elsewhere", driver.process.number)
    done = call(tmp_path, "sbatch", f"echo '{AWAY}' >&2; exit 1", "--wrap", JOB, driver=elsewhere)
    assert done.returncode == 1  # at once: nobody here waits for it
    call(tmp_path, "sacct", "echo 'no answer' >&2; exit 1", "--format=State", driver=elsewhere)
    assert driver.said() == []


@pytest.mark.parametrize("mode", ["default", "remote"])
def test_only_the_main_snakemake_is_the_driver(mode: str, tmp_path: Path) -> None:
    """A job runs Snakemake again, with what it inherits; its number may be the driver's."""
    (tmp_path / "Snakefile").write_text(
        f'include: "{ROOT}/workflow/rules/common.smk"\n'
        "print('handler', signal.getsignal(signal.SIGINT).__module__, file=sys.stderr)\n"
        "rule all:\n    output: touch('made')\n"
    )
    script = (
        f"export POLYSHARP_DRIVER={platform.node()}-$$\n"  # exec keeps the number
        "mkdir -p work/said; touch work/said/$POLYSHARP_DRIVER-jobs\n"
        f'exec "{sys.executable}" -m snakemake -c1 -n --mode {mode}'
    )
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ("handler polysharp.cluster.driver_files" in done.stderr) == (mode == "default")
    assert any((tmp_path / "work/said").iterdir()) == (mode != "default")
