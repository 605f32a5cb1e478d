"""A look at a Slurm cluster: what does not fit, how to mend it, and a profile that fits."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from polysharp import slurm
from polysharp.configuration import check_configuration
from polysharp.errors import UserError, nearest
from polysharp.matrix import model_slug
from polysharp.models import IDENTITY
from polysharp.slurm import Partition

GPU_MINUTES, CPU_MINUTES = 60, 30  # asked for at the first attempt
GPU_MEMORY, CPU_MEMORY = 16000, 4000  # MB at the first attempt
GIGABYTE = 2**30
LOCAL = ("tmpfs", "ramfs", "overlay")  # file systems that no other node sees


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    level: str  # ok | look | wrong
    text: str


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
    gpu_limit: int | None = None  # the partition's longest job, in minutes
    gpu_node_memory: int | None = None
    cpu_limit: int | None = None
    cpu_node_memory: int | None = None
    gpus_on_cpu_partition: bool = False


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


def examine(
    gpu_partition: str | None,
    cpu_partition: str | None,
    gpu_kind: str | None,
    account: str | None,
    folder: Path,
) -> Examination:
    """Look at the cluster from its login node.

    Parameters
    ----------
    gpu_partition, cpu_partition, gpu_kind, account
        The user's choice, where there is one.
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
    partitions = slurm.partitions()
    with_gpus = _choose_gpus(partitions, gpu_partition, gpu_kind)
    without = _choose_cpus(partitions, cpu_partition, with_gpus)
    for role, one in (("with GPUs", with_gpus), ("without GPUs", without)):
        limit = f"at most {one.minutes} minutes a job" if one.minutes else "no limit of time"
        result.say("ok", f"partition {role}: {one.name} ({one.nodes} nodes, {one.memory_mb} MB, {limit})")
    kind = _kind(with_gpus, gpu_kind)
    gres = f"gpu:{kind}:1" if kind else "gpu:1"
    kinds = ", ".join(f"{count} x {name or 'GPU'}" for name, count in with_gpus.gpus.items())
    chosen, account_reason = _account(account, result)
    status, status_reason = _status(result)
    _requeue(slurm.configuration(), result)
    settings = Settings(
        gpu_partition=with_gpus.name,
        gpu_reason=f"Its nodes have {kinds}" + ("" if gpu_partition is None else "; your choice"),
        cpu_partition=without.name,
        cpu_reason="Your choice" if cpu_partition else _why(without),
        gres=gres,
        gres_reason=f"One GPU of the {len(with_gpus.gpus)} kinds there"
        if len(with_gpus.gpus) > 1
        else "One GPU",
        account=chosen,
        account_reason=account_reason,
        status_command=status,
        status_reason=status_reason,
        gpu_minutes=_within(GPU_MINUTES, with_gpus.minutes),
        gpu_memory=_within(GPU_MEMORY, with_gpus.memory_mb),
        cpu_minutes=_within(CPU_MINUTES, without.minutes),
        cpu_memory=_within(CPU_MEMORY, without.memory_mb),
        gpu_limit=with_gpus.minutes,
        gpu_node_memory=with_gpus.memory_mb,
        cpu_limit=without.minutes,
        cpu_node_memory=without.memory_mb,
        gpus_on_cpu_partition=without == with_gpus,
    )
    _submit(settings, result)
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
            here = Path(model.name).expanduser().is_dir()
            text = "the folder is there" if here else "no such folder"
            found.append(Finding("ok" if here else "wrong", f"model {model.name}: {text}"))
        else:
            where = "is fetched from the hub by the first run, on this node"
            found.append(Finding("look", f"model {model.name}: {where}, which needs internet then"))
    return found


def render(settings: Settings) -> str:
    """Return the profile of these settings, a comment above every key."""
    environment = Environment(
        loader=PackageLoader("polysharp"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("slurm_profile.yaml.j2").render(
        s=settings, published=settings == PUBLISHED, minutes=GPU_MINUTES
    )


def _choose_gpus(partitions: Sequence[Partition], wanted: str | None, kind: str | None) -> Partition:
    """Return the partition with GPUs: the wanted one, else the one with most GPUs that is up."""
    able = [one for one in partitions if one.gpus and one.up and (kind is None or kind in one.gpus)]
    if wanted is not None:
        one = _named(partitions, wanted)
        if not one.gpus:
            raise UserError(f"partition {wanted}: has no GPUs; those that have: {_names(able) or 'none'}")
        return one
    if not able:
        has = sorted({name for one in partitions for name in one.gpus if name})
        what = f"GPUs of the kind {kind!r}" if kind else "GPUs"
        seen = f"; the kinds there: {', '.join(has)}{nearest(kind, has)}" if kind and has else ""
        raise UserError(f"no partition that is up has {what}{seen}")
    # Where several have as many, the one that lets jobs run longest, then the first.
    return max(able, key=lambda one: (one.all_gpus * one.nodes, one.minutes or float("inf")))


def _choose_cpus(partitions: Sequence[Partition], wanted: str | None, with_gpus: Partition) -> Partition:
    """Return the partition without GPUs: the wanted one, else the default, else any; else the one with."""
    if wanted is not None:
        return _named(partitions, wanted)
    able = [one for one in partitions if one.up and not one.gpus]
    return next((one for one in able if one.default), able[0] if able else with_gpus)


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


def _kind(partition: Partition, wanted: str | None) -> str | None:
    """Return the kind of GPU to ask for: the wanted one; none where there is only one."""
    if wanted is not None:
        if wanted not in partition.gpus:
            have = ", ".join(kind for kind in partition.gpus if kind)
            raise UserError(
                f"GPU kind {wanted!r}: partition {partition.name} has {have or 'no kinds'}"
                f"{nearest(wanted, partition.gpus)}"
            )
        return wanted
    return None


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


def _requeue(configuration: dict[str, str], result: Examination) -> None:
    if configuration.get("JobRequeue") == "0":
        result.say("look", "requeue: off by default (JobRequeue=0); the profile asks for it, job by job")
    else:
        result.say("ok", "requeue: jobs that are preempted or lose their node go back into the queue")


def _submit(settings: Settings, result: Examination) -> None:
    """Ask Slurm whether it would take the two kinds of job that the profile submits."""
    account = [f"--account={settings.account}"] if settings.account else []
    for what, partition, options in (
        ("fine-tuning", settings.gpu_partition, [f"--gres={settings.gres}"]),
        ("tfidf", settings.cpu_partition, []),
    ):
        size = (
            (settings.gpu_minutes, settings.gpu_memory)
            if options
            else (settings.cpu_minutes, settings.cpu_memory)
        )
        asked = [f"--partition={partition}", f"--time={size[0]}", f"--mem={size[1]}", *options, *account]
        reason = slurm.refusal(asked)
        if reason is None:
            result.say("ok", f"Slurm would take a job of {what}: {' '.join(asked)}")
        else:
            result.say("wrong", f"Slurm refuses a job of {what}: {' '.join(asked)}: {reason}")


def _disk(folder: Path, result: Examination) -> None:
    free = shutil.disk_usage(folder).free / GIGABYTE
    level = "ok" if free > 20 else "look"
    result.say(level, f"disk: {free:.0f} GB free in {folder}; every data set's best classifier stays there")
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
