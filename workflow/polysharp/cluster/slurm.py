"""Queries about a Slurm cluster and our jobs, through Slurm's own commands."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from polysharp.core.errors import UserError

SECONDS = 60  # within which Slurm has to answer
UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # that the executor gives every run
NAMED = re.compile(rf".+_{UUID}")
JOBS_AT_ONCE = 500  # in one question
ALIVE = "PENDING,CONFIGURING,RUNNING,SUSPENDED"  # states of jobs that have not ended
MIG = re.compile(r"(^|_)\d+g\.\d+gb")  # names of parts of a GPU


@dataclass(frozen=True)
class Partition:
    """A partition: what matters of it here."""

    name: str
    default: bool
    up: bool
    minutes: int | None  # the longest job; None without a limit
    nodes: int
    memory_mb: int  # of its largest node, or of its largest with GPUs, if there are any
    gpus: dict[str, int]  # by kind, of all its nodes together; the kind is "" if none is named

    @property
    def whole_gpus(self) -> int:
        """Return the number of GPUs, not counting parts of one (MIG, as in a100_1g.5gb)."""
        return sum(count for kind, count in self.gpus.items() if not MIG.search(kind))


def available() -> bool:
    """Whether Slurm's commands are available here."""
    return shutil.which("sbatch") is not None


def partitions() -> list[Partition]:
    """Return the partitions, from sinfo.

    Raises
    ------
    UserError
        When the controller does not answer.
    """
    found: dict[str, Partition] = {}
    for line in _ask("sinfo", "-h", "-e", "-o", "%P|%a|%l|%D|%m|%G").splitlines():
        name, up, limit, nodes, memory, gres = line.split("|", 5)
        one = Partition(
            name.rstrip("*"),
            name.endswith("*"),
            up == "up",
            parse_minutes(limit),
            int(nodes),
            int(memory),
            {kind: count * int(nodes) for kind, count in parse_gpus(gres).items()},
        )
        before = found.get(one.name)
        found[one.name] = one if before is None else _together(before, one)
    return list(found.values())


def _together(first: Partition, second: Partition) -> Partition:
    """Merge two lines of sinfo about one partition, which has a line for every kind of node."""
    kinds = {*first.gpus, *second.gpus}
    with_gpus = [one for one in (first, second) if one.gpus]
    return Partition(
        first.name,
        first.default,
        first.up,
        first.minutes,
        first.nodes + second.nodes,
        max(one.memory_mb for one in with_gpus or (first, second)),
        {kind: first.gpus.get(kind, 0) + second.gpus.get(kind, 0) for kind in sorted(kinds)},
    )


def parse_minutes(limit: str) -> int | None:
    """Return Slurm's time limit, ``[days-]hours:minutes:seconds`` or shorter, in minutes; None if infinite.

    Raises
    ------
    ValueError
        When it is not a time.
    """
    if limit.lower() in ("infinite", "unlimited", "n/a"):
        return None
    days, dash, rest = limit.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        hours, minute = (*parts, 0, 0)[:2]
    elif len(parts) == 3:
        hours, minute = parts[0], parts[1]
    else:
        hours, minute = 0, parts[0]
    return (int(days or 0) * 24 + hours) * 60 + minute


def parse_gpus(gres: str) -> dict[str, int]:
    """Return the GPUs of a node by kind, from a value such as ``gpu:a100:2(S:0-1),gpu:4,license:1``."""
    found: dict[str, int] = {}
    for kind, count in re.findall(r"(?:^|,)gpu(?::([^:,()]+(?=:)))?:(\d+)", gres):
        found[kind] = found.get(kind, 0) + int(count)
    return found


def accounts() -> list[str]:
    """Return the accounts that this user may use, the default one first; none without accounting."""
    user = f"user={getpass.getuser()}"
    default = _ask("sacctmgr", "-n", "-P", "show", "user", user, "format=DefaultAccount", fails=True).split()
    lines = _ask("sacctmgr", "-n", "-P", "show", "associations", user, "format=Account", fails=True).split()
    return list(dict.fromkeys([*default, *lines]))


def configuration() -> dict[str, str]:
    """Return slurm.conf as the controller has it, by key.

    Raises
    ------
    UserError
        When the controller does not answer.
    """
    pairs = [line.split("=", 1) for line in _ask("scontrol", "show", "config").splitlines() if "=" in line]
    return {key.strip(): value.strip() for key, value in pairs}


def preemption(partition: str) -> str:
    """Return what happens to preempted jobs of a partition, in Slurm's terms."""
    shown = _ask("scontrol", "show", "partition", "-o", partition, fails=True)
    found = re.search(r"\bPreemptMode=(\S+)", shown)
    return found.group(1) if found else ""


def accounting_answers() -> bool:
    """Whether sacct can say how jobs ended."""
    try:
        _ask("sacct", "-n", "-X")
    except UserError:
        return False
    return True


def why_refused(options: Sequence[str]) -> str | None:
    """Return why sbatch would refuse a job with these options, or None if it would accept it."""
    try:
        _ask("sbatch", "--test-only", *options, "--wrap=true")
    except UserError as error:
        return str(error).partition(": ")[2] or str(error)
    return None


def job_states(jobs: Sequence[str]) -> dict[str, str]:
    """Return how jobs ended, in Slurm's terms, by job; empty without accounting."""
    if not jobs or shutil.which("sacct") is None:
        return {}
    listed = ",".join(sorted(set(jobs)))
    output = _ask("sacct", "-X", "-n", "-P", "--format=JobID,State", "-j", listed, fails=True)
    rows = [line.split("|") for line in output.splitlines()]
    return {row[0]: row[1].split()[0] for row in rows if len(row) == 2 and row[1]}


def elapsed_seconds(jobs: Iterable[str]) -> dict[str, float]:
    """Return how long jobs ran, as Slurm counts it, by job, with all requeues; empty without accounting.

    Jobs that have not ended are left out: their time still grows. A study may have been copied from another
    cluster, whose jobs had the same numbers: only jobs that are named as by the executor are returned.
    """
    listed = sorted(set(jobs))
    found: dict[str, float] = {}
    for first in range(0, len(listed) if shutil.which("sacct") else 0, JOBS_AT_ONCE):
        asked = ",".join(listed[first : first + JOBS_AT_ONCE])
        fields = "--format=JobIDRaw,ElapsedRaw,State,JobName"
        output = _ask("sacct", "-X", "-n", "-P", "--duplicates", fields, "-j", asked, fails=True)
        rows = [row for line in output.splitlines() if len(row := line.split("|", 3)) == 4]
        active = {job for job, _, state, _ in rows if state in ALIVE.split(",")}
        for job, seconds, _, name in rows:
            if job not in active and seconds.isdecimal() and NAMED.fullmatch(name):
                found[job] = found.get(job, 0.0) + int(seconds)
    return found


def queued_jobs(prefix: str, folder: Path) -> list[str]:
    """Return this user's jobs in the queue that run in a folder and are named as by the executor.

    Raises
    ------
    UserError
        When the controller does not answer.
    """
    output = _ask("squeue", "-h", "-u", getpass.getuser(), "-o", "%i|%j|%Z")
    rows = [line.split("|", 2) for line in output.splitlines()]
    named = re.compile(rf"{re.escape(prefix)}_{UUID}")
    return [job for job, name, place in rows if named.fullmatch(name) and _same(place, folder)]


def active_jobs(completing: bool = True) -> set[str]:
    """Return this user's jobs that have not ended, with or without those that are just completing.

    squeue is not asked for states (-t): it would not list a job that is in another state as well, such as
    being requeued, signalled or resized.

    Raises
    ------
    UserError
        When the controller does not answer.
    """
    output = _ask("squeue", "-h", "-u", getpass.getuser(), "-o", "%i|%T", seconds=10)
    states = dict(row.split("|", 1) for row in output.splitlines())
    return {job for job, state in states.items() if completing or state != "COMPLETING"}


def waiting_jobs(folder: Path) -> list[tuple[str, str]]:
    """Return this user's jobs that wait in the queue and run in a folder, with the reasons."""
    asked = ("squeue", "-h", "-u", getpass.getuser(), "-t", "PENDING", "-o", "%i|%r|%Z")
    rows = _ask(*asked, fails=True, seconds=10).splitlines()
    jobs = [row.split("|", 2) for row in rows]
    return [(job, reason) for job, reason, place in jobs if _same(place, folder)]


def find_job(name: str, comment: str) -> str | None:
    """Return this user's newest waiting or running job with a name and a comment, or None.

    Raises
    ------
    UserError
        When the controller does not answer.
    """
    asked = ("squeue", "-h", "-u", getpass.getuser(), "-n", name, "-t", ALIVE, "-o", "%i|%k")
    rows = [row.split("|", 1) for row in _ask(*asked).splitlines()]
    return max((job for job, said in rows if said == comment), key=int, default=None)


def longest_minutes(partition: str) -> int | None:
    """Return the most minutes that a job may take in a partition, or in any of several (a,b)."""
    limits = [
        parse_minutes(line) for line in _ask("sinfo", "-h", "-p", partition, "-o", "%l", fails=True).split()
    ]
    return None if None in limits else max((limit for limit in limits if limit is not None), default=None)


def cancel(jobs: Sequence[str]) -> None:
    """Cancel jobs; those that have ended meanwhile are ignored."""
    _ask("scancel", *jobs, fails=True)


def requeue_if_preempted() -> bool:
    """Requeue the Slurm job of this process if it is being preempted; return whether it was requeued.

    In the grace time of a preemption, Slurm sends SIGTERM. A job that then ends by itself counts as failed
    and uses up an attempt; one that is requeued resumes.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if not job or not available():
        return False
    shown = dict(re.findall(r"(\w+)=(\S*)", _ask("scontrol", "show", "job", "-o", job, fails=True)))
    if shown.get("PreemptTime", "None") == "None" or shown.get("Requeue") != "1":
        return False
    try:
        _ask("scontrol", "requeue", job)
    except UserError:
        return False
    return True


def _same(place: str, folder: Path) -> bool:
    return os.path.realpath(place) == os.path.realpath(folder)


def _ask(*command: str, fails: bool = False, seconds: float = SECONDS) -> str:
    """Run a command and return its output; with `fails`, nothing if it failed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    except FileNotFoundError:
        reason = "not found"
    except subprocess.TimeoutExpired:
        reason = f"no answer within {seconds} s"
    else:
        if done.returncode == 0:
            return done.stdout
        reason = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
    if fails:
        return ""
    raise UserError(f"{command[0]}: {reason}")
