"""A look at a Slurm cluster: what does not fit, how to mend it, and a profile that fits."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from polysharp.cluster import slurm
from polysharp.cluster.slurm import Partition
from polysharp.config.checking import check_configuration
from polysharp.config.slugs import model_slug
from polysharp.config.study import SEED_MINUTES
from polysharp.core.errors import UserError, nearest
from polysharp.core.files import expanded
from polysharp.core.paths import IDENTITY
from polysharp.core.rendering import template

GPU_MINUTES, CPU_MINUTES = SEED_MINUTES, 30  # asked for at the first attempt
GPU_MEMORY, CPU_MEMORY = 16000, 4000  # MB at the first attempt
GIGABYTE = 2**30
LOCAL = ("tmpfs", "ramfs", "overlay")  # file systems that no other node sees
SCRATCH = ("SCRATCH", "WORK")  # variables that many clusters name a large disk by
KIND = re.compile(r"[A-Za-z0-9_.]+")  # kinds of GPU that the executor can ask for
REMEMBERED = 120  # seconds that Slurm has to remember ended jobs for squeue to say how they ended


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    level: str  # ok | look | wrong
    text: str


@dataclass(frozen=True)
class Choice:
    """What the user has chosen; None where the doctor chooses."""

    gpu_partition: str | None = None
    cpu_partition: str | None = None
    gpu_kind: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None


@dataclass(frozen=True)
class Settings:
    """What a profile says, each with the reason."""

    gpu_partition: str
    gpu_reason: str
    cpu_partition: str
    cpu_reason: str
    gres: str
    gres_reason: str
    account: str | None
    account_reason: str
    status_command: str
    status_reason: str
    gpu_minutes: int
    gpu_memory: int
    cpu_minutes: int
    cpu_memory: int
    gpu_node_memory: int | None = None  # MB
    cpu_limit: int | None = None  # the partition's longest job, in minutes
    cpu_node_memory: int | None = None
    qos: str | None = None  # of jobs with a GPU, as the constraint
    cpu_qos: str | None = None
    constraint: str | None = None
    first_check: int | None = None  # seconds until a job is asked after; None as the executor does


PUBLISHED = Settings(
    gpu_partition="gpu",
    gpu_reason="yours: the partition that has GPUs (sinfo -s lists all)",
    cpu_partition="cpu",
    cpu_reason="yours: a partition for jobs without a GPU",
    gres="gpu:1",
    gres_reason="yours: some clusters want a kind, as in gpu:a100:1",
    account=None,
    account_reason="yours, if your cluster asks for one: the account "
    "(sacctmgr show associations user=$USER lists them)",
    status_command="auto",
    status_reason="How jobs are asked after: sacct where there is accounting, else write squeue",
    gpu_minutes=GPU_MINUTES,
    gpu_memory=GPU_MEMORY,
    cpu_minutes=CPU_MINUTES,
    cpu_memory=CPU_MEMORY,
)


@dataclass
class Examination:
    """What was found, and the profile that follows from it."""

    findings: list[Finding] = field(default_factory=list)
    settings: Settings | None = None

    def say(self, level: str, text: str) -> None:
        """Note a finding."""
        self.findings.append(Finding(level, text))

    @property
    def fits(self) -> bool:
        """Whether nothing is wrong."""
        return not any(finding.level == "wrong" for finding in self.findings)


def examine(choice: Choice, folder: Path) -> Examination:
    """Look at the cluster from its login node.

    Parameters
    ----------
    folder
        Where the workflow is going to run.

    Raises
    ------
    UserError
        When there is no Slurm, its controller does not answer, or a choice is not there.
    """
    if not slurm.available():
        raise UserError("sbatch: not found; run this on the login node of a Slurm cluster")
    result = Examination()
    configuration, partitions = slurm.configuration(), slurm.partitions()
    candidates = _with_gpus(partitions, choice.gpu_partition, choice.gpu_kind)
    without = _without_gpus(partitions, choice.cpu_partition, candidates[0])
    account, account_reason = _account(choice.account, result)
    status, status_reason = _status(result)
    settings = replace(
        PUBLISHED,
        cpu_partition=without.name,
        cpu_reason="Your choice" if choice.cpu_partition else _why(without),
        account=account,
        account_reason=account_reason,
        status_command=status,
        status_reason=status_reason,
        cpu_minutes=_within(CPU_MINUTES, without.minutes),
        cpu_memory=_within(CPU_MEMORY, without.memory_mb),
        cpu_limit=without.minutes,
        cpu_node_memory=without.memory_mb,
        qos=choice.qos,
        cpu_qos=choice.qos,
        constraint=choice.constraint,
        first_check=_first_check(configuration) if status == "squeue" else None,
    )
    settings, with_gpus = _taken(settings, candidates, choice, result)
    for role, one in (("with GPUs", with_gpus), ("without GPUs", without)):
        limit = f"at most {one.minutes} minutes a job" if one.minutes else "no limit of time"
        result.say("ok", f"partition {role}: {one.name} ({one.nodes} nodes, {one.memory_mb} MB, {limit})")
    settings = _without_qos_where_it_is_refused(settings, result)
    _requeue(configuration, with_gpus, result)
    _disk(folder, result)
    result.settings = settings
    return result


def models(content: Mapping[str, Any], prepared: Path) -> list[Finding]:
    """Return whether the models of a configuration are on this machine.

    Parameters
    ----------
    content
        The configuration as it is read.
    prepared
        The folder of prepared models.
    """
    configuration, lines = check_configuration(content)
    found = [Finding("wrong", line) for line in lines]
    for model in {model.name: model for model in configuration.models.values()}.values():
        if (prepared / model_slug(model) / IDENTITY).is_file():
            found.append(Finding("ok", f"model {model.name}: prepared"))
        elif model.name.startswith("package:"):
            package = model.name.removeprefix("package:")
            here = find_spec(package.replace("-", "_")) is not None
            text = "installed" if here else "not installed; see the README"
            found.append(Finding("ok" if here else "wrong", f"model {model.name}: {text}"))
        elif model.name.startswith((".", "/", "~")):
            here = expanded(model.name).is_dir()
            text = "the folder is there" if here else "no such folder"
            found.append(Finding("ok" if here else "wrong", f"model {model.name}: {text}"))
        else:
            where = "is fetched from the hub by the first run, on this node"
            found.append(Finding("look", f"model {model.name}: {where}, which needs internet then"))
    return found


def render(settings: Settings) -> str:
    """Return the profile of these settings, a comment above every key."""
    return template("slurm_profile.yaml.j2").render(
        s=settings, published=settings == PUBLISHED, minutes=GPU_MINUTES
    )


def _with_gpus(partitions: Sequence[Partition], wanted: str | None, kind: str | None) -> list[Partition]:
    """Return the partitions with GPUs, the best one first: the wanted one alone, else all that are up."""
    able = [one for one in partitions if one.gpus and one.up and (kind is None or kind in one.gpus)]
    if wanted is not None:
        one = _named(partitions, wanted)
        if not one.gpus:
            raise UserError(f"partition {wanted}: has no GPUs; those that have: {_names(able) or 'none'}")
        return [one]
    if not able:
        has = sorted({name for one in partitions for name in one.gpus if name})
        what = f"GPUs of the kind {kind!r}" if kind else "GPUs"
        seen = f"; the kinds there: {', '.join(has)}{nearest(kind, has)}" if kind and has else ""
        raise UserError(f"no partition that is up has {what}{seen}")
    # Where several have as many, the one that lets jobs run longest, then the first.
    return sorted(able, key=lambda one: (one.whole_gpus, one.minutes or float("inf")), reverse=True)


def _without_gpus(partitions: Sequence[Partition], wanted: str | None, with_gpus: Partition) -> Partition:
    """Return the partition without GPUs: the wanted one, else the default, else any; else the one with."""
    if wanted is not None:
        return _named(partitions, wanted)
    able = [one for one in partitions if one.up and not one.gpus]
    return next((one for one in able if one.default), able[0] if able else with_gpus)


def _taken(
    settings: Settings, candidates: Sequence[Partition], choice: Choice, result: Examination
) -> tuple[Settings, Partition]:
    """Return the settings with the first partition in which Slurm would take a job of fine-tuning."""
    refused: list[tuple[Settings, list[str], str]] = []
    for one in candidates:
        gres, gres_reason = _gres(one, choice.gpu_kind)
        kinds = ", ".join(f"{count} x {name or 'GPU'}" for name, count in one.gpus.items())
        tried = replace(
            settings,
            gpu_partition=one.name,
            gpu_reason=f"Its nodes have {kinds}" + ("; your choice" if choice.gpu_partition else ""),
            gres=gres,
            gres_reason=gres_reason,
            gpu_minutes=_within(GPU_MINUTES, one.minutes),
            gpu_memory=_within(GPU_MEMORY, one.memory_mb),
            gpu_node_memory=one.memory_mb,
        )
        asked = _asked(tried, gpu=True)
        reason = slurm.refusal(asked)
        if reason is None:
            for other, _, why in refused:
                result.say("look", f"partition {other.gpu_partition}: not taken: {why}")
            _submitted("fine-tuning", asked, None, result)
            return tried, one
        refused.append((tried, asked, reason))
    for _, asked, why in refused:
        _submitted("fine-tuning", asked, why, result)
    return refused[0][0], candidates[0]


def _without_qos_where_it_is_refused(settings: Settings, result: Examination) -> Settings:
    """Return the settings with what Slurm takes of a job without a GPU: a QOS may be for GPUs alone."""
    asked = _asked(settings, gpu=False)
    reason = slurm.refusal(asked)
    if reason and settings.cpu_qos:
        without = replace(settings, cpu_qos=None)
        if slurm.refusal(_asked(without, gpu=False)) is None:
            settings, asked, reason = without, _asked(without, gpu=False), None
    _submitted("tfidf", asked, reason, result)
    return settings


def _named(partitions: Sequence[Partition], name: str) -> Partition:
    for one in partitions:
        if one.name == name:
            return one
    raise UserError(
        f"partition {name!r}: not there; expected one of {_names(partitions)}"
        f"{nearest(name, (one.name for one in partitions))}"
    )


def _names(partitions: Sequence[Partition]) -> str:
    return ", ".join(one.name for one in partitions)


def _gres(partition: Partition, wanted: str | None) -> tuple[str, str]:
    """Return how a GPU is asked for, and why: of the wanted kind, or of the one that is there most."""
    named = {kind: count for kind, count in partition.gpus.items() if kind}
    if wanted is not None and wanted not in named:
        raise UserError(
            f"GPU kind {wanted!r}: partition {partition.name} has {', '.join(named) or 'no kinds'}"
            f"{nearest(wanted, named)}"
        )
    if wanted is None and len(partition.gpus) < 2:
        return "gpu:1", "One GPU"
    kind = wanted or max(named, key=lambda kind: (slurm.MIG.search(kind) is None, named[kind]))
    if not KIND.fullmatch(kind):
        if wanted is not None:
            raise UserError(
                f"GPU kind {wanted!r}: the executor asks for kinds of letters, digits, '_' and '.' alone; "
                "leave it out, or choose a partition that has but this kind"
            )
        return "gpu:1", "One GPU of any kind; one that is requeued starts anew where it finds another kind"
    reason = (
        "Your choice" if wanted else "The kind that is there most: a training goes on on its own kind alone"
    )
    return f"gpu:{kind}:1", reason


def _why(partition: Partition) -> str:
    if partition.gpus:
        return "There is no partition without GPUs"
    return "The default partition" if partition.default else "The first partition without GPUs"


def _within(wanted: int, limit: int | None) -> int:
    return wanted if limit is None else min(wanted, limit)


def _account(wanted: str | None, result: Examination) -> tuple[str | None, str]:
    own = slurm.accounts()
    if wanted is not None:
        if own and wanted not in own:
            raise UserError(
                f"account {wanted!r}: not yours; yours are {', '.join(own)}{nearest(wanted, own)}"
            )
        return wanted, "Your choice"
    if not own:
        result.say("ok", "no accounts are kept, or none is yours: none is given")
        return None, "No account is known for you; write one if your cluster asks for it"
    others = f"; yours, too: {', '.join(own[1:])}" if own[1:] else ""
    result.say("look" if own[1:] else "ok", f"account: {own[0]}{others}")
    return own[0], f"Your default account{others}"


def _status(result: Examination) -> tuple[str, str]:
    if slurm.accounting_answers():
        result.say("ok", "accounting: sacct answers")
        return "sacct", "How jobs are asked after: accounting answers here"
    result.say("look", "accounting: sacct does not answer; jobs are asked after by squeue, without a reason")
    return "squeue", "How jobs are asked after: there is no accounting here"


def _first_check(configuration: dict[str, str]) -> int | None:
    """Return after how many seconds to ask squeue, where Slurm forgets jobs sooner than the executor asks."""
    found = re.match(r"\d+", configuration.get("MinJobAge", ""))
    age = int(found.group()) if found else REMEMBERED
    return max(1, age // 3) if age < REMEMBERED else None


def _requeue(configuration: dict[str, str], partition: Partition, result: Examination) -> None:
    if configuration.get("JobRequeue") == "0":
        result.say("look", "requeue: off by default (JobRequeue=0); the profile asks for it, job by job")
    mode = slurm.preemption(partition.name) or configuration.get("PreemptMode", "")
    if "CANCEL" in mode:
        result.say(
            "look",
            f"preemption: jobs of partition {partition.name} are cancelled (PreemptMode={mode}); one that "
            "gets no time to put itself back into the queue goes on at its next attempt, of which there are "
            "three, and from its last snapshot",
        )
    else:
        result.say("ok", "requeue: jobs that are preempted or lose their node go back into the queue")


def _asked(settings: Settings, *, gpu: bool) -> list[str]:
    """Return the options of a job that the profile submits."""
    partition, minutes, memory = (
        (settings.gpu_partition, settings.gpu_minutes, settings.gpu_memory)
        if gpu
        else (settings.cpu_partition, settings.cpu_minutes, settings.cpu_memory)
    )
    given = {
        "partition": partition,
        "time": minutes,
        "mem": memory,
        "gres": settings.gres if gpu else None,
        "account": settings.account,
        "qos": settings.qos if gpu else settings.cpu_qos,
        "constraint": settings.constraint if gpu else None,
    }
    return [f"--{name}={value}" for name, value in given.items() if value]


def _submitted(what: str, asked: Sequence[str], reason: str | None, result: Examination) -> None:
    """Say whether Slurm would take a job."""
    if reason is None:
        result.say("ok", f"Slurm would take a job of {what}: {' '.join(asked)}")
    else:
        remedy = "choose with --gpu-partition, --cpu-partition, --account, --qos or --constraint"
        result.say("wrong", f"Slurm refuses a job of {what}: {' '.join(asked)}: {reason}; {remedy}")


def _disk(folder: Path, result: Examination) -> None:
    free = shutil.disk_usage(folder).free / GIGABYTE
    level = "ok" if free > 20 else "look"
    result.say(
        level,
        f"disk: {free:.0f} GB free in {folder}, where every data set's best classifier stays; a quota of "
        "yours is not seen here",
    )
    for name in SCRATCH:
        place = Path(os.environ.get(name, ""))
        if place.is_absolute() and place.is_dir() and not folder.is_relative_to(place):
            result.say(
                "ok",
                f"disk: ${name} is {place}, {shutil.disk_usage(place).free / GIGABYTE:.0f} GB free; "
                f"`--directory ${name}/study` puts all that a study makes there, which some clusters clear "
                "after weeks",
            )
    kind = _file_system(folder)
    if kind in LOCAL:
        result.say("wrong", f"{folder} is on {kind}, which compute nodes do not see; use a shared folder")
    if not os.access(folder, os.W_OK):
        result.say("wrong", f"{folder}: cannot be written to")


def _file_system(folder: Path) -> str:
    """Return the type of the file system that holds a folder, or nothing where /proc does not say."""
    best, kind = "", ""
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return ""
    place = f"{folder.resolve()}/"
    for line in mounts:
        _, point, this, *_ = line.split()
        if place.startswith(f"{point.rstrip('/')}/") and len(point) >= len(best):
            best, kind = point, this
    return kind
