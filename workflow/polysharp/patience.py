"""sbatch and sacct for the driver, which wait where Slurm's own give up at once.

The executor takes a failed sbatch for a failed job, and asks again in silence when sacct does not
answer: a controller that is away for two minutes, or a limit on the jobs that a user may have in the
queue, would cost every job its attempts. The commands in workflow/slurm, which the workflow puts first
in the PATH, are these functions. Standard library only, as every submission starts one.
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

PAUSE = 10  # seconds between two tries
SAID_EVERY = 300  # seconds between two lines about the same wait
DRIVER = "POLYSHARP_DRIVER"  # variable with the process whose terminal hears of waits, and that is waited for
SILENT = Path("work/sacct.silent")  # its time is when the terminal last heard that sacct does not answer
# How the jobs of cells are named in the command that is submitted.
CELL = re.compile(r"\btask=([\w-]+),language=([\w-]+),label_type=(\w+),method=([\w-]+),seed=(\d+)")
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

    Prints what sbatch has printed, and exits with its status.
    """
    given = "" if sys.stdin.isatty() else sys.stdin.read()
    said: float | None = None
    while True:
        done = _real("sbatch", given)
        if done.returncode == 0 or not LATER.search(done.stderr) or not _awaited():
            break
        if said is None or time.monotonic() - said > SAID_EVERY:
            said = time.monotonic()
            _say(f"sbatch: {_line(done.stderr)}; trying again every {PAUSE} s")
        time.sleep(PAUSE)
    if done.returncode and (cell := CELL.search(" ".join([*sys.argv, given]))):
        failure = Path("work/runs", *cell.groups()[:-1], f"seed-{cell.group(5)}", "failure.json")
        failure.parent.mkdir(parents=True, exist_ok=True)
        told = {"class": "refused", "reason": f"sbatch: {_line(done.stderr)}", "slurm_job": None}
        failure.write_text(json.dumps(told), encoding="utf-8")
    _finish(done)


def account() -> None:
    """Be sacct, once; the terminal hears of it when it does not answer."""
    done = _real("sacct", "")
    if done.returncode:
        with suppress(OSError):
            if not SILENT.exists() or time.time() - SILENT.stat().st_mtime > SAID_EVERY:
                SILENT.touch()
                _say(f"sacct: {_line(done.stderr)}; how jobs ended is not known until it answers")
    else:
        SILENT.unlink(missing_ok=True)
    _finish(done)


def _real(name: str, given: str) -> subprocess.CompletedProcess[str]:
    """Run Slurm's own command with our arguments."""
    ours = Path(sys.argv[0]).resolve().parent
    path = os.pathsep.join(entry for entry in os.get_exec_path() if Path(entry).resolve() != ours)
    command = shutil.which(name, path=path)
    if command is None:
        sys.exit(f"{name}: not found")
    return subprocess.run([command, *sys.argv[1:]], input=given, capture_output=True, text=True, check=False)


def _awaited() -> bool:
    """Whether the driver is still there."""
    try:
        os.kill(int(os.environ[DRIVER]), 0)
    except (KeyError, ValueError, ProcessLookupError):
        return False
    return True


def _say(line: str) -> None:
    """Say something on the terminal of the driver, which keeps what we print for itself."""
    with suppress(OSError, KeyError), Path(f"/proc/{os.environ[DRIVER]}/fd/2").open("a") as terminal:
        terminal.write(f"{time.strftime('%H:%M:%S')} {line}\n")


def _line(text: str) -> str:
    """Return what a command said, without its own name before every line."""
    return " ".join(re.sub(r"^(sbatch|sacct): (error: )?", "", line) for line in text.splitlines())


def _finish(done: subprocess.CompletedProcess[str]) -> None:
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    sys.exit(done.returncode)
