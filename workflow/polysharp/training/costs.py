"""Time, memory, GPU and host of a cell: costs.tsv, the only table that differs between runs."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from polysharp.core.files import read_json, write_json
from polysharp.core.paths import COSTS


@dataclass
class Costs:
    """Costs of a cell since this object was created.

    Attributes
    ----------
    earlier
        Seconds that earlier processes spent on the cell.
    slurm_jobs
        The Slurm jobs that worked on it.
    """

    started: float = field(default_factory=time.monotonic)
    earlier: float = 0.0
    slurm_jobs: list[str] = field(default_factory=lambda: [*filter(None, [os.environ.get("SLURM_JOB_ID")])])

    def __post_init__(self) -> None:
        """Reset the peak memory of the GPU, so that earlier cells of the same job do not count."""
        if (torch := sys.modules.get("torch")) and torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def as_dict(self) -> dict[str, object]:
        """Return seconds, peak memory of the process and of its GPU in MB, GPU, host and Slurm jobs."""
        torch = sys.modules.get("torch")  # if torch is not imported, no GPU was used
        gpu = torch is not None and torch.cuda.is_available()
        return {
            "seconds": round(self.earlier + time.monotonic() - self.started, 1),
            "earlier_seconds": round(self.earlier, 1),
            "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "gpu": torch.cuda.get_device_name() if torch and gpu else "",
            "gpu_memory_mb": round(torch.cuda.max_memory_allocated() / 2**20) if torch and gpu else 0,
            "host": platform.node(),
            "slurm_jobs": self.slurm_jobs,
        }


def share_overhead(folders: Sequence[Path]) -> None:
    """Divide what this process took beside its cells, such as loading libraries, among them.

    Parameters
    ----------
    folders
        Of the results of the cells that this process has made. Each gets a share in proportion to the seconds
        that it took here.
    """
    costs = {folder: dict(read_json(folder / COSTS)) for folder in folders}
    here = {folder: entry["seconds"] - entry["earlier_seconds"] for folder, entry in costs.items()}
    total = sum(here.values())
    overhead = max(0.0, _process_seconds() - total)
    for folder, entry in costs.items():
        share = here[folder] / total if total else 1 / len(costs)
        write_json(folder / COSTS, {**entry, "overhead_seconds": round(overhead * share, 1)})


def _process_seconds() -> float:
    """Return for how many seconds this process has been running; proc(5)."""
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return uptime - started / os.sysconf("SC_CLK_TCK")
