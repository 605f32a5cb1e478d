"""sbatch, sacct, squeue and similar commands for the driver, which wait where Slurm's own give up at once.

The executor treats a failed sbatch as a failed job, and retries silently when sacct or squeue do not
answer: a controller that is away for two minutes, or a limit on the jobs that a user may have in the
queue, would use up the attempts of every job. Some final states of jobs it does not know: it would wait for
ever. The commands in workflow/slurm, which the workflow puts first in the PATH, call these functions. They
import little, because every submission starts one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from polysharp.cluster import driver, slurm
from polysharp.cluster.driver_files import driver_waits, ending_file, note_job, submitted_jobs, tell_driver
from polysharp.core.errors import UserError
from polysharp.core.failure_file import FailureNote, failure_file, read_failure, write_failure
from polysharp.core.paths import REPORT, Paths

PAUSE = 10  # seconds between two attempts
ANSWER = 45  # seconds to wait for the states of jobs: less than the executor's own limit of 60
# How a cell is named in the command that is submitted.
CELL = re.compile(r"\btask=([\w-]+),language=([\w-]+),label_type=(\w+),method=([\w-]+),seed=(\d+)")
# Reasons, in squeue's words, for which a job waits until somebody acts, and what to do.
STUCK = {
    r"TimeLimit|NodeLimit|MaxWall|Max\w+PerJob|MinCpus|MinMemory|BadConstraints|InvalidQOS|InvalidAccount": (
        "lower what the profile requests, `scancel {job}`, and run the same command again when it has ended"
    ),
    r"H[eo]ld|held|DependencyNeverSatisfied": "`scontrol release {job}` releases it, if you are allowed to",
    r"Grp(?!\w*Run)\w*Minutes": "the hours of your account are used up; set another one in the profile",
    r"Partition(Down|Inactive)": "the partition is closed; set another one in the profile",
}
STATE = re.compile(r"State|%T")  # in the arguments of sacct and squeue if they are asked for job states
# What Slurm says when a later attempt may succeed.
LATER = re.compile(
    "unable to contact slurm controller|socket timed out|connection (refused|reset|timed out)"
    "|zero bytes were transmitted|communication (shutdown|connection) failure|temporarily unable"
    "|resource temporarily unavailable|in standby mode|(max|grp)_?submit_?jobs?_?(per|limit)|job queue full",
    re.IGNORECASE,
)


def sbatch() -> None:
    """Act as sbatch: retry while its error may pass, and record a final refusal as the cell's failure.

    No more time is requested than the partition allows, because such a job would wait for ever; a training
    that is cut off resumes at its next attempt. Print what sbatch has printed, and exit with its status.
    """
    _leave_the_path()
    given = "" if sys.stdin.isatty() else sys.stdin.read()
    arguments = _within_limits(sys.argv[1:])
    while not ending_file().exists():
        done = _run("sbatch", arguments, given)
        if not _may_pass("sbatch", done):
            break
        if job := _taken(arguments):  # the answer was lost, not the job
            done = subprocess.CompletedProcess([], 0, f"{job}\n", "")
            break
    else:
        sys.exit("sbatch: the run is ending; nothing more is submitted")
    if done.returncode == 0 and (number := re.match(r"\d+", done.stdout)):
        if ";" not in done.stdout:  # not followed by a cluster, which squeue would need, too
            note_job(number.group())
        if ending_file().exists():
            slurm.cancel([number.group()])
    if done.returncode and (cell := CELL.search(" ".join([*sys.argv, given]))):
        _note_refusal("/".join([*cell.groups()[:-1], f"seed-{cell.group(5)}"]), done.stderr)
    _pass_on(done)
    sys.exit(done.returncode)


def sacct() -> None:
    """Act as sacct, without retries. Report if it does not answer, and jobs that wait for ever."""
    _look("sacct")


def squeue() -> None:
    """Act as squeue, without retries. Report if it does not answer, and jobs that wait for ever."""
    _look("squeue")


def sacctmgr() -> None:
    """Act as sacctmgr, without retries: if it does not answer, the executor asks sshare."""
    _leave_the_path()
    done = _run("sacctmgr", sys.argv[1:], seconds=ANSWER)
    _pass_on(done)
    sys.exit(done.returncode)


def sshare() -> None:
    """Act as sshare, with which the executor looks for an account before it submits: retry like sbatch."""
    _leave_the_path()
    while True:
        done = _run("sshare", sys.argv[1:])
        if ending_file().exists() or not _may_pass("sshare", done):
            break
        time.sleep(PAUSE)
    _pass_on(done)
    sys.exit(done.returncode)


def cancel_what_is_left() -> None:
    """If the driver is ending, cancel the jobs that it has submitted and not cancelled.

    While the executor queries job states, which takes minutes if Slurm is slow, it loses sight of its jobs.
    """
    submitted = submitted_jobs()
    if not submitted or not ending_file().exists():
        return
    try:
        left = sorted(submitted & slurm.active_jobs(completing=False))
    except UserError as error:
        tell_driver("left", f"it is not known whether jobs of this run are left in the queue: {error}")
        return
    if left:
        slurm.cancel(left)
        tell_driver("left", f"cancelled {len(left)} Slurm jobs that were left: {' '.join(left)}")


def _look(name: str) -> None:
    """Act as a command that reports job states."""
    if process := driver.driver_here():
        driver.seen(process)
    _leave_the_path()
    submitted = submitted_jobs()  # before Slurm is asked: it may not list later jobs
    done = _run(name, sys.argv[1:], seconds=ANSWER)
    how = STATE.search(" ".join(sys.argv[1:]))
    if how and done.returncode == 0:
        done.stdout = _ends(done.stdout, submitted if name == "squeue" else set())
    _pass_on(done)  # before what follows, which may take longer than the executor waits
    if how and done.returncode:
        tell_driver(name, f"{name}: {_line(done.stderr)}; job states are not known until it answers")
    for job, reason in slurm.waiting_jobs(Path.cwd()):
        for pattern, remedy in STUCK.items():
            if re.search(pattern, reason):
                tell_driver(
                    f"job-{job}", f"Slurm job {job} waits for ever ({reason}): {remedy.format(job=job)}"
                )
    sys.exit(done.returncode)


def _ends(rows: str, submitted: set[str]) -> str:
    """Return rows of job and state, with final states translated into ones that the executor knows.

    It would wait for ever for a job that somebody has cancelled (``CANCELLED by 1000``), for one that was
    preempted or lost its node and is not requeued, and, if squeue is asked, for one that Slurm has
    forgotten: whether that one is complete is judged by its output files.
    """
    states = dict(row.split("|", 1) for row in rows.splitlines() if "|" in row)
    states = {job: re.sub(r"^CANCELLED by \d+$", "CANCELLED", state) for job, state in states.items()}
    if gone := {job for job, state in states.items() if state in ("PREEMPTED", "NODE_FAIL")}:
        with suppress(UserError):  # asked again the next time
            states |= dict.fromkeys(gone - slurm.active_jobs(), "CANCELLED")
    states |= dict.fromkeys(submitted - states.keys(), "COMPLETED")
    return "".join(f"{job}|{state}\n" for job, state in states.items())


def _within_limits(arguments: list[str]) -> list[str]:
    """Return sbatch's arguments with no more minutes (-t) than the partition (-p) allows."""
    place = {name: number + 1 for number, name in enumerate(arguments[:-1]) if name in ("-t", "-p")}
    if len(place) < 2:
        return arguments
    asked, partition = arguments[place["-t"]], arguments[place["-p"]]
    allowed = slurm.longest_minutes(partition)
    if not asked.isdecimal() or allowed is None or int(asked) <= allowed:
        return arguments
    tell_driver(
        f"time-{partition}",
        f"partition {partition} allows {allowed} minutes: these are requested instead of {asked}; a training "
        "that needs longer resumes at its next attempt",
    )
    number = place["-t"]
    return [*arguments[:number], str(allowed), *arguments[number + 1 :]]


def _leave_the_path() -> None:
    """Remove the folder of our commands from the PATH: from here on, Slurm's own are called."""
    ours = Path(sys.argv[0]).resolve().parent
    others = (entry for entry in os.get_exec_path() if Path(entry).resolve() != ours)
    os.environ["PATH"] = os.pathsep.join(others)


def _run(
    name: str, arguments: list[str], given: str = "", seconds: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Slurm's own command; it has failed if it takes more than `seconds`."""
    try:
        return subprocess.run(
            [name, *arguments], input=given, capture_output=True, text=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess([], 1, "", f"{name}: no answer within {seconds} s\n")
    except FileNotFoundError:
        sys.exit(f"{name}: not found")


def _may_pass(name: str, done: subprocess.CompletedProcess[str]) -> bool:
    """Whether a command may succeed if it is retried, and the driver waits for that; if so, report it."""
    if done.returncode == 0 or not LATER.search(done.stderr) or not driver_waits():
        return False
    tell_driver(name, f"{name}: {_line(done.stderr)}; retrying every {PAUSE} s")
    return True


def _taken(arguments: list[str]) -> str | None:
    """Pause; return the job with these arguments if Slurm has accepted it although its answer was lost.

    Nothing may be submitted again until squeue has answered that there is no such job.
    """
    options = dict(pairwise(arguments))
    while True:
        time.sleep(PAUSE)
        if "--job-name" not in options or "--comment" not in options:
            return None
        if ending_file().exists() or not driver_waits():
            return None
        with suppress(UserError):
            return slurm.find_job(options["--job-name"], options["--comment"])


def _note_refusal(cell: str, said: str) -> None:
    """Record sbatch's refusal as a cell's failure; the reason of an earlier failure is preserved."""
    if (Paths().run(cell) / REPORT).exists():
        return  # complete: the job was for other seeds
    failure = failure_file(f"runs/{cell}")
    refused = f"sbatch: {_line(said)}"
    before = read_failure(failure)
    if before and before.failure_class != "refused":
        refused = f"{before.reason}; the next attempt was refused: {refused}"
        write_failure(failure, replace(before, reason=refused))
    else:
        write_failure(failure, FailureNote("refused", refused, None))


def _line(text: str) -> str:
    """Return what a command said in one line, without its own name."""
    return " ".join(re.sub(r"^\w+: (error: )?", "", line) for line in text.splitlines())


def _pass_on(done: subprocess.CompletedProcess[str]) -> None:
    """Print what a command has printed."""
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    sys.stdout.flush()
