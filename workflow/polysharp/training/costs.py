"""Time, memory and place of a job: costs.tsv, the one table that differs from run to run."""

from __future__ import annotations

import platform
import resource
import sys
import time
from dataclasses import dataclass, field


@dataclass
class Costs:
    """Measured from the making of this object on; `earlier` are the seconds of the processes before."""

    started: float = field(default_factory=time.monotonic)
    earlier: float = 0.0

    def __post_init__(self) -> None:
        """Measure the memory of a GPU from now on: what seeds before have used is theirs."""
        if (torch := sys.modules.get("torch")) and torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def as_dict(self) -> dict[str, object]:
        """Return seconds, peak memory of the process and of its GPU in MB, GPU and host."""
        torch = sys.modules.get("torch")  # without it there was no GPU to use
        gpu = torch is not None and torch.cuda.is_available()
        return {
            "seconds": round(self.earlier + time.monotonic() - self.started, 1),
            "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "gpu": torch.cuda.get_device_name() if torch and gpu else "",
            "gpu_memory_mb": round(torch.cuda.max_memory_allocated() / 2**20) if torch and gpu else 0,
            "host": platform.node(),
        }
