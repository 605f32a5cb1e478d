"""sbatch and sacct for the driver, which wait where Slurm's own give up at once.

The executor takes a failed sbatch for a failed job, and asks again in silence when sacct does not
answer: a controller that is away for two minutes, or a limit on the jobs that a user may have in the
queue, would cost every job its attempts. The commands in workflow/slurm, which the workflow puts first
in the PATH, are these functions. They import little, as every submission starts one.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from polysharp import slurm

PAUSE = 10  # seconds between two tries
SAID_EVERY = 300  # seconds between two lines about the same wait
DRIVER = "POLYSHARP_DRIVER"  # variable with the process whose terminal hears of waits, and that is waited for
SAID = Path("work/said")  # of the study: a file for every thing that was said; its time is when it was
# How the jobs of cells are named in the command that is submitted.
CELL = re.compile(r"\btask=([\w-]+),language=([\w-]+),label_type=(\w+),method=([\w-]+),seed=(\d+)")
# Reasons for which a job waits for ever, as squeue gives them.
NEVER = re.compile(
    r"TimeLimit|NodeLimit|MaxWall|Max\w+PerJob|MinCpus|MinMemory|BadConstraints|InvalidQOS|InvalidAccount"
)
# What Slurm says when a later try may succeed.
LATER = re.compile(
    "unable to contact slurm controller|socket timed out|connection (refused|reset|timed out)"
    "|zero bytes were transmitted|communication (shutdown|connection) failure|temporarily unable"
    "|resource temporarily unavailable|max_?submit_?jobs?_?(per|limit)|job queue full",
    re.IGNORECASE,
)


def be_the_driver() -> None:
    """Let the commands below find this process, and speak on its terminal.

    Where the terminal is a file they would be written over: so everything is added to its end.
    """
    os.environ[DRIVER] = str(os.getpid())
    for stream in (1, 2):
        with suppress(OSError):
            fcntl.fcntl(stream, fcntl.F_SETFL, fcntl.fcntl(stream, fcntl.F_GETFL) | os.O_APPEND)


def submit() -> None:
    """Be sbatch: try again while what it says may pass; what it refuses for good is the cell's failure.

    No more time is asked for than the partition allows, as such a job would wait for ever; a training
    that is cut off goes on at its next attempt. Prints what sbatch has printed, exits with its status.
    """
    given = "" if sys.stdin.isatty() else sys.stdin.read()
    arguments = _within_limits(sys.argv[1:])
    while True:
        done = _real("sbatch", arguments, given)
        if done.returncode == 0 or not LATER.search(done.stderr) or not _awaited():
            break
        _say("sbatch", f"sbatch: {_line(done.stderr)}; trying again every {PAUSE} s")
        time.sleep(PAUSE)
    if done.returncode and (cell := CELL.search(" ".join([*sys.argv, given]))):
        failure = Path("work/runs", *cell.groups()[:-1], f"seed-{cell.group(5)}", "failure.json")
        failure.parent.mkdir(parents=True, exist_ok=True)
        told = {"class": "refused", "reason": f"sbatch: {_line(done.stderr)}", "slurm_job": None}
        failure.write_text(json.dumps(told), encoding="utf-8")
    _finish(done)


def account() -> None:
    """Be sacct, once; the terminal hears of it when it does not answer, and of jobs that wait for ever."""
    done = _real("sacct", sys.argv[1:])
    if done.returncode:
        _say("sacct", f"sacct: {_line(done.stderr)}; how jobs ended is not known until it answers")
    for job, reason in slurm.waiting(Path.cwd()):
        if NEVER.search(reason):
            _say(
                f"job-{job}",
                f"Slurm job {job} waits for ever ({reason}): lower what the profile asks for, or "
                f"`scancel {job}`, which lets it be submitted again",
            )
    _finish(done)


def _within_limits(arguments: list[str]) -> list[str]:
    """Return sbatch's arguments with no more minutes (-t) than the partition (-p) allows."""
    place = {name: number + 1 for number, name in enumerate(arguments[:-1]) if name in ("-t", "-p")}
    if len(place) < 2:
        return arguments
    asked, partition = arguments[place["-t"]], arguments[place["-p"]]
    allowed = slurm.longest(partition)
    if not asked.isdecimal() or allowed is None or int(asked) <= allowed:
        return arguments
    _say(
        f"time-{partition}",
        f"partition {partition} allows {allowed} minutes, and no more are asked for than that (not {asked}); "
        "a training that needs longer goes on at its next attempt",
    )
    number = place["-t"]
    return [*arguments[:number], str(allowed), *arguments[number + 1 :]]


def _real(name: str, arguments: list[str], given: str = "") -> subprocess.CompletedProcess[str]:
    """Run Slurm's own command."""
    ours = Path(sys.argv[0]).resolve().parent
    path = os.pathsep.join(entry for entry in os.get_exec_path() if Path(entry).resolve() != ours)
    command = shutil.which(name, path=path)
    if command is None:
        sys.exit(f"{name}: not found")
    return subprocess.run([command, *arguments], input=given, capture_output=True, text=True, check=False)


def _awaited() -> bool:
    """Whether the driver is still there."""
    try:
        os.kill(int(os.environ[DRIVER]), 0)
    except (KeyError, ValueError, ProcessLookupError):
        return False
    return True


def _say(what: str, line: str) -> None:
    """Say something on the terminal of the driver, which keeps what we print for itself; not too often."""
    name = re.sub(r"\W", "_", what)
    said = SAID / f"{os.environ.get(DRIVER)}-{name}"
    with suppress(OSError, KeyError):
        if said.exists() and time.time() - said.stat().st_mtime < SAID_EVERY:
            return
        said.parent.mkdir(parents=True, exist_ok=True)
        said.touch()
        with Path(f"/proc/{os.environ[DRIVER]}/fd/2").open("a") as terminal:
            terminal.write(f"{time.strftime('%H:%M:%S')} {line}\n")


def _line(text: str) -> str:
    """Return what a command said, without its own name before every line."""
    return " ".join(re.sub(r"^(sbatch|sacct): (error: )?", "", line) for line in text.splitlines())


def _finish(done: subprocess.CompletedProcess[str]) -> None:
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    sys.exit(done.returncode)
