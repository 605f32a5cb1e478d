"""Examine a Slurm cluster: what does not fit, how to fix it, and a profile that fits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from polysharp.cluster import slurm
from polysharp.cluster.examination import Examination, examine_disk
from polysharp.cluster.profile import (
    CPU_MEMORY,
    CPU_MINUTES,
    GPU_MEMORY,
    GPU_MINUTES,
    PUBLISHED,
    ProfileSettings,
)
from polysharp.cluster.slurm import Partition
from polysharp.core.errors import UserError, nearest

KIND = re.compile(r"[A-Za-z0-9_.]+")  # kinds of GPU that the executor can request
REMEMBERED = 120  # seconds for which Slurm must remember ended jobs, so that squeue can tell how they ended


@dataclass(frozen=True)
class Choice:
    """What the user has chosen; None for what the doctor chooses."""

    gpu_partition: str | None = None
    cpu_partition: str | None = None
    gpu_kind: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None


def examine(choice: Choice, folder: Path) -> Examination:
    """Examine the cluster from its login node.

    Parameters
    ----------
    folder
        Where the workflow will run.

    Raises
    ------
    UserError
        When there is no Slurm, its controller does not answer, or a choice does not exist.
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
        limit = f"at most {one.minutes} minutes per job" if one.minutes else "no time limit"
        result.say("ok", f"partition {role}: {one.name} ({one.nodes} nodes, {one.memory_mb} MB, {limit})")
    settings = _without_qos_where_it_is_refused(settings, result)
    _requeue(configuration, with_gpus, result)
    examine_disk(folder, result)
    result.settings = settings
    return result


def _with_gpus(partitions: Sequence[Partition], wanted: str | None, kind: str | None) -> list[Partition]:
    """Return the partitions with GPUs, the best one first: the wanted one alone, else all that are up."""
    able = [one for one in partitions if one.gpus and one.up and (kind is None or kind in one.gpus)]
    if wanted is not None:
        one = _named(partitions, wanted)
        if not one.gpus:
            raise UserError(f"partition {wanted}: has no GPUs; these have: {_names(able) or 'none'}")
        return [one]
    if not able:
        has = sorted({name for one in partitions for name in one.gpus if name})
        what = f"GPUs of the kind {kind!r}" if kind else "GPUs"
        seen = f"; available kinds: {', '.join(has)}{nearest(kind, has)}" if kind and has else ""
        raise UserError(f"no partition that is up has {what}{seen}")
    # If several have as many, the one that lets jobs run longest, then the first.
    return sorted(able, key=lambda one: (one.whole_gpus, one.minutes or float("inf")), reverse=True)


def _without_gpus(partitions: Sequence[Partition], wanted: str | None, with_gpus: Partition) -> Partition:
    """Return the partition without GPUs: the wanted one, else the default, else any; else the one with."""
    if wanted is not None:
        return _named(partitions, wanted)
    able = [one for one in partitions if one.up and not one.gpus]
    return next((one for one in able if one.default), able[0] if able else with_gpus)


def _taken(
    settings: ProfileSettings, candidates: Sequence[Partition], choice: Choice, result: Examination
) -> tuple[ProfileSettings, Partition]:
    """Return the settings with the first partition in which Slurm would accept a fine-tuning job."""
    refused: list[tuple[ProfileSettings, list[str], str]] = []
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
        reason = slurm.why_refused(asked)
        if reason is None:
            for other, _, why in refused:
                result.say("look", f"partition {other.gpu_partition}: not used: {why}")
            _submitted("fine-tuning", asked, None, result)
            return tried, one
        refused.append((tried, asked, reason))
    for _, asked, why in refused:
        _submitted("fine-tuning", asked, why, result)
    return refused[0][0], candidates[0]


def _without_qos_where_it_is_refused(settings: ProfileSettings, result: Examination) -> ProfileSettings:
    """Return the settings, without a QOS for jobs without a GPU if Slurm only accepts it with GPUs."""
    asked = _asked(settings, gpu=False)
    reason = slurm.why_refused(asked)
    if reason and settings.cpu_qos:
        without = replace(settings, cpu_qos=None)
        if slurm.why_refused(_asked(without, gpu=False)) is None:
            settings, asked, reason = without, _asked(without, gpu=False), None
    _submitted("tfidf", asked, reason, result)
    return settings


def _named(partitions: Sequence[Partition], name: str) -> Partition:
    for one in partitions:
        if one.name == name:
            return one
    raise UserError(
        f"partition {name!r}: not found; expected one of {_names(partitions)}"
        f"{nearest(name, (one.name for one in partitions))}"
    )


def _names(partitions: Sequence[Partition]) -> str:
    return ", ".join(one.name for one in partitions)


def _gres(partition: Partition, wanted: str | None) -> tuple[str, str]:
    """Return how to request a GPU, and why: of the wanted kind, or of the most common one."""
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
                f"GPU kind {wanted!r}: the executor can only request kinds of letters, digits, '_' and '.'; "
                "leave it out, or choose a partition that has only this kind"
            )
        return "gpu:1", "One GPU of any kind; a requeued training that gets another kind starts again"
    reason = "Your choice" if wanted else "The most common kind: a training can only resume on the same kind"
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
        result.say("ok", "account: none found for you; the profile sets none")
        return None, "No account is known for you; set one if your cluster requires it"
    others = f"; you also have: {', '.join(own[1:])}" if own[1:] else ""
    result.say("look" if own[1:] else "ok", f"account: {own[0]}{others}")
    return own[0], f"Your default account{others}"


def _status(result: Examination) -> tuple[str, str]:
    if slurm.accounting_answers():
        result.say("ok", "accounting: sacct answers")
        return "sacct", "How job states are queried: accounting answers here"
    result.say("look", "accounting: sacct does not answer; squeue is used, which gives no cause of failures")
    return "squeue", "How job states are queried: there is no accounting here"


def _first_check(configuration: dict[str, str]) -> int | None:
    """Return after how many seconds to ask squeue, if Slurm forgets jobs before the executor would ask."""
    found = re.match(r"\d+", configuration.get("MinJobAge", ""))
    age = int(found.group()) if found else REMEMBERED
    return max(1, age // 3) if age < REMEMBERED else None


def _requeue(configuration: dict[str, str], partition: Partition, result: Examination) -> None:
    if configuration.get("JobRequeue") == "0":
        result.say("look", "requeue: off by default (JobRequeue=0); the profile requests it for each job")
    mode = slurm.preemption(partition.name) or configuration.get("PreemptMode", "")
    if "CANCEL" in mode:
        result.say(
            "look",
            f"preemption: jobs of partition {partition.name} are cancelled (PreemptMode={mode}); a job that "
            "gets no time to requeue itself resumes from its last snapshot at its next attempt (there are "
            "three)",
        )
    else:
        result.say("ok", "requeue: jobs that are preempted or lose their node are requeued")


def _asked(settings: ProfileSettings, *, gpu: bool) -> list[str]:
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
    """Report whether Slurm would accept a job."""
    if reason is None:
        result.say("ok", f"Slurm would accept a {what} job: {' '.join(asked)}")
    else:
        remedy = "choose with --gpu-partition, --cpu-partition, --account, --qos or --constraint"
        result.say("wrong", f"Slurm refuses a {what} job: {' '.join(asked)}: {reason}; {remedy}")
