"""Devices, precision, and all that decides whether two runs give the same bytes."""

from __future__ import annotations

import os
import platform

import torch
import transformers
from accelerate import Accelerator


def accelerator(precision: str, threads: int) -> Accelerator:
    """Return an accelerator in the wanted precision, everything on it deterministic.

    Parameters
    ----------
    precision
        ``auto``, ``bfloat16`` or ``float32``.
    threads
        Processor threads of torch; sums in another number of threads end in other digits.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.use_deterministic_algorithms(True)
    # Filling fresh memory would hide others' bugs at a cost in time; nothing here reads it unwritten.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.set_num_threads(threads)
    reduced = precision == "bfloat16" or (precision == "auto" and _has_bfloat16())
    # Without being told that there is no GPU, several processes on CPU would not find each other.
    return Accelerator(mixed_precision="bf16" if reduced else "no", cpu=not torch.cuda.is_available())


def _has_bfloat16() -> bool:
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def fingerprint(device: Accelerator) -> str:
    """Return what the bytes of a training depend on beside its inputs: software, arithmetic, device."""
    if device.device.type == "cuda":
        hardware = torch.cuda.get_device_name(device.device)
    else:
        hardware = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return ", ".join(
        [
            f"torch {torch.__version__}",
            f"transformers {transformers.__version__}",
            hardware,
            f"{torch.get_num_threads()} threads",
            *([f"{device.num_processes} processes"] if device.num_processes > 1 else []),
            "float32" if device.mixed_precision == "no" else "bfloat16",
        ]
    )
