"""Time, memory, GPU and host of a job: costs.tsv, the only table that differs between runs."""

from __future__ import annotations

import platform
import resource
import sys
import time
from dataclasses import dataclass, field


@dataclass
class Costs:
    """Costs since this object was created; `earlier` is the time of earlier processes, in seconds."""

    started: float = field(default_factory=time.monotonic)
    earlier: float = 0.0

    def __post_init__(self) -> None:
        """Reset the peak memory of the GPU, so that earlier seeds of the same job do not count."""
        if (torch := sys.modules.get("torch")) and torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def as_dict(self) -> dict[str, object]:
        """Return seconds, peak memory of the process and of its GPU in MB, GPU and host."""
        torch = sys.modules.get("torch")  # if torch is not imported, no GPU was used
        gpu = torch is not None and torch.cuda.is_available()
        return {
            "seconds": round(self.earlier + time.monotonic() - self.started, 1),
            "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "gpu": torch.cuda.get_device_name() if torch and gpu else "",
            "gpu_memory_mb": round(torch.cuda.max_memory_allocated() / 2**20) if torch and gpu else 0,
            "host": platform.node(),
        }
