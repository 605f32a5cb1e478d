"""sbatch, sacct, squeue and their like for the driver, which wait where Slurm's own give up at once.

The executor takes a failed sbatch for a failed job, and asks again in silence when sacct or squeue do not
answer: a controller that is away for two minutes, or a limit on the jobs that a user may have in the
queue, would cost every job its attempts. Some ends of jobs it does not know, and waits for ever. The
commands in workflow/slurm, which the workflow puts first in the PATH, are these functions. They import
little, as every submission starts one.
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

PAUSE = 10  # seconds between two tries
ANSWER = 45  # seconds within which a status has to come: less than the executor's own patience of 60
# How the jobs of cells are named in the command that is submitted.
CELL = re.compile(r"\btask=([\w-]+),language=([\w-]+),label_type=(\w+),method=([\w-]+),seed=(\d+)")
# Reasons for which a job waits until somebody does something, as squeue gives them, and what to do.
STUCK = {
    r"TimeLimit|NodeLimit|MaxWall|Max\w+PerJob|MinCpus|MinMemory|BadConstraints|InvalidQOS|InvalidAccount": (
        "lower what the profile asks for, `scancel {job}`, and give the same command again when it has ended"
    ),
    r"H[eo]ld|held|DependencyNeverSatisfied": "`scontrol release {job}` lets it go on, if you may",
    r"Grp(?!\w*Run)\w*Minutes": "the hours of your account are used up; name another in the profile",
    r"Partition(Down|Inactive)": "the partition is closed; name another in the profile",
}
STATE = re.compile(r"State|%T")  # what sacct and squeue are asked for when it is how jobs ended
# What Slurm says when a later try may succeed.
LATER = re.compile(
    "unable to contact slurm controller|socket timed out|connection (refused|reset|timed out)"
    "|zero bytes were transmitted|communication (shutdown|connection) failure|temporarily unable"
    "|resource temporarily unavailable|in standby mode|(max|grp)_?submit_?jobs?_?(per|limit)|job queue full",
    re.IGNORECASE,
)


def sbatch() -> None:
    """Be sbatch: try again while what it says may pass; what it refuses for good is the cell's failure.

    No more time is asked for than the partition allows, as such a job would wait for ever; a training
    that is cut off goes on at its next attempt. Prints what sbatch has printed, exits with its status.
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
        sys.exit("sbatch: the run is being ended; nothing more is submitted")
    if done.returncode == 0 and (number := re.match(r"\d+", done.stdout)):
        if ";" not in done.stdout:  # followed by a cluster that squeue would have to be asked about
            note_job(number.group())
        if ending_file().exists():
            slurm.cancel([number.group()])
    if done.returncode and (cell := CELL.search(" ".join([*sys.argv, given]))):
        _note_refusal("/".join([*cell.groups()[:-1], f"seed-{cell.group(5)}"]), done.stderr)
    _pass_on(done)
    sys.exit(done.returncode)


def sacct() -> None:
    """Be sacct, once; the terminal hears of it when it does not answer, and of jobs that wait for ever."""
    _look("sacct")


def squeue() -> None:
    """Be squeue, once; the terminal hears of it when it does not answer, and of jobs that wait for ever."""
    _look("squeue")


def sacctmgr() -> None:
    """Be sacctmgr, once: where it does not answer the executor asks sshare."""
    _leave_the_path()
    done = _run("sacctmgr", sys.argv[1:], seconds=ANSWER)
    _pass_on(done)
    sys.exit(done.returncode)


def sshare() -> None:
    """Be sshare, by which the executor looks for an account before it submits: try again as sbatch does."""
    _leave_the_path()
    while True:
        done = _run("sshare", sys.argv[1:])
        if ending_file().exists() or not _may_pass("sshare", done):
            break
        time.sleep(PAUSE)
    _pass_on(done)
    sys.exit(done.returncode)


def cancel_what_is_left() -> None:
    """Cancel what this driver has submitted and not cancelled, if it is being ended.

    While the executor asks how its jobs are, which takes minutes where Slurm is slow, it has none to cancel.
    """
    submitted = submitted_jobs()
    if not submitted or not ending_file().exists():
        return
    try:
        left = sorted(submitted & slurm.active_jobs(completing=False))
    except UserError as error:
        tell_driver("left", f"whether jobs of this run are left in the queue is not known: {error}")
        return
    if left:
        slurm.cancel(left)
        tell_driver("left", f"{len(left)} Slurm jobs that were left are cancelled: {' '.join(left)}")


def _look(name: str) -> None:
    """Be a command that says how jobs are."""
    if (process := driver.own_driver()) and process.is_here:
        driver.seen(process)
    _leave_the_path()
    submitted = submitted_jobs()  # before Slurm is asked: what comes meanwhile need not be among its answers
    done = _run(name, sys.argv[1:], seconds=ANSWER)
    how = STATE.search(" ".join(sys.argv[1:]))
    if how and done.returncode == 0:
        done.stdout = _ends(done.stdout, submitted if name == "squeue" else set())
    _pass_on(done)  # before what follows, which may take longer than the executor waits
    if how and done.returncode:
        tell_driver(name, f"{name}: {_line(done.stderr)}; how jobs ended is not known until it answers")
    for job, reason in slurm.waiting_jobs(Path.cwd()):
        for pattern, remedy in STUCK.items():
            if re.search(pattern, reason):
                tell_driver(
                    f"job-{job}", f"Slurm job {job} waits for ever ({reason}): {remedy.format(job=job)}"
                )
    sys.exit(done.returncode)


def _ends(rows: str, submitted: set[str]) -> str:
    """Return rows of job and state with the ends of jobs in words that the executor takes for ends.

    It waits for ever for a job that somebody has cancelled (``CANCELLED by 1000``), for one that was
    preempted or lost its node and does not come back into the queue, and, where squeue is asked, for one
    that Slurm has forgotten: whether that one is complete is seen from what it should have made.
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
        f"partition {partition} allows {allowed} minutes, and no more are asked for than that (not {asked}); "
        "a training that needs longer goes on at its next attempt",
    )
    number = place["-t"]
    return [*arguments[:number], str(allowed), *arguments[number + 1 :]]


def _leave_the_path() -> None:
    """Take the folder of our commands from the PATH: from here on Slurm's own are meant."""
    ours = Path(sys.argv[0]).resolve().parent
    others = (entry for entry in os.get_exec_path() if Path(entry).resolve() != ours)
    os.environ["PATH"] = os.pathsep.join(others)


def _run(
    name: str, arguments: list[str], given: str = "", seconds: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Slurm's own command; one that takes more than so many seconds has failed."""
    try:
        return subprocess.run(
            [name, *arguments], input=given, capture_output=True, text=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess([], 1, "", f"{name}: no answer within {seconds} s\n")
    except FileNotFoundError:
        sys.exit(f"{name}: not found")


def _may_pass(name: str, done: subprocess.CompletedProcess[str]) -> bool:
    """Whether a command may succeed if it is tried again, and the driver waits for that; say so."""
    if done.returncode == 0 or not LATER.search(done.stderr) or not driver_waits():
        return False
    tell_driver(name, f"{name}: {_line(done.stderr)}; trying again every {PAUSE} s")
    return True


def _taken(arguments: list[str]) -> str | None:
    """Pause; return the job of these arguments that Slurm has taken although its answer did not come.

    Before squeue has answered that there is none, nothing may be submitted again.
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
    """Note what sbatch has refused as a cell's failure; why an earlier attempt failed stays said."""
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
    """Return what a command said, without its own name before every line."""
    return " ".join(re.sub(r"^\w+: (error: )?", "", line) for line in text.splitlines())


def _pass_on(done: subprocess.CompletedProcess[str]) -> None:
    """Print what a command has printed."""
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    sys.stdout.flush()
