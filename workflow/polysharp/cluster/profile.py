"""A profile for Slurm: its settings, each with the reason."""

from __future__ import annotations

from dataclasses import dataclass

from polysharp.config.jobs import SEED_MINUTES
from polysharp.core.rendering import template

GPU_MINUTES, CPU_MINUTES = SEED_MINUTES, 30  # at the first attempt
GPU_MEMORY, CPU_MEMORY = 16000, 4000  # MB at the first attempt


@dataclass(frozen=True)
class ProfileSettings:
    """The settings of a profile, each with the reason."""

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
    qos: str | None = None  # of jobs with a GPU, like the constraint
    cpu_qos: str | None = None
    constraint: str | None = None
    first_check: int | None = None  # seconds until a job's state is queried; None for the executor's default


PUBLISHED = ProfileSettings(
    gpu_partition="gpu",
    gpu_reason="yours: the partition that has GPUs (sinfo -s lists all)",
    cpu_partition="cpu",
    cpu_reason="yours: a partition for jobs without a GPU",
    gres="gpu:1",
    gres_reason="yours: some clusters require a kind, as in gpu:a100:1",
    account=None,
    account_reason="yours, if your cluster requires one: the account "
    "(sacctmgr show associations user=$USER lists them)",
    status_command="auto",
    status_reason="How job states are queried: sacct if there is accounting, otherwise set squeue",
    gpu_minutes=GPU_MINUTES,
    gpu_memory=GPU_MEMORY,
    cpu_minutes=CPU_MINUTES,
    cpu_memory=CPU_MEMORY,
)


def render_profile(settings: ProfileSettings) -> str:
    """Return a profile with these settings, and a comment above every key."""
    return template("slurm_profile.yaml.j2").render(
        s=settings, published=settings == PUBLISHED, minutes=GPU_MINUTES
    )
