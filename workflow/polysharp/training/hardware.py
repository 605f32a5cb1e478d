"""Devices, precision, and whatever else determines whether two runs give the same bytes."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import torch
from accelerate import Accelerator

from polysharp.core.errors import NoGpu, OutOfMemory

DRIVER = Path("/proc/driver/nvidia/version")  # exists if NVIDIA's driver is loaded
# Besides torch, these determine token ids, the probe that a head starts from, and the order of the texts.
LIBRARIES = ("transformers", "tokenizers", "scikit-learn", "numpy")
# How torch's allocators, CUDA and cuBLAS report a lack of memory.
NO_MEMORY = re.compile(r"out of memory|can.t allocate memory|STATUS_ALLOC_FAILED", re.IGNORECASE)


def accelerator(precision: str, threads: int) -> Accelerator:
    """Return an accelerator with the given precision and deterministic algorithms.

    Parameters
    ----------
    precision
        ``auto``, ``bfloat16`` or ``float32``.
    threads
        CPU threads of torch. Another number of threads changes the last digits of sums.

    Raises
    ------
    NoGpu
        When this process was given a GPU that torch cannot use: on the CPU, training would take days.
    """
    if not torch.cuda.is_available():
        _check_that_none_was_given()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.use_deterministic_algorithms(True)
    # Filling new memory takes time, and nothing here reads memory before writing to it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.set_float32_matmul_precision("highest")  # containers may have set TensorFloat-32
    torch.set_num_threads(threads)
    reduced = precision == "bfloat16" or (precision == "auto" and _has_bfloat16())
    # Unless told that there is no GPU, several processes on CPU would not find each other.
    return Accelerator(mixed_precision="bf16" if reduced else "no", cpu=not torch.cuda.is_available())


def _check_that_none_was_given() -> None:
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")  # Slurm sets it for the GPUs of a job
    if not DRIVER.exists() or not re.match(r"\d|GPU-|MIG-", given):
        return
    found = re.search(r"\d+(\.\d+)+", DRIVER.read_text())
    wants = (
        f"wants one for CUDA {torch.version.cuda}" if torch.version.cuda else "is built for processors alone"
    )
    raise NoGpu(
        f"GPU {given} on {platform.node()} cannot be used: its driver is {found.group() if found else '?'}, "
        f"and torch {torch.__version__} {wants}; expected another build of torch, or an empty "
        "CUDA_VISIBLE_DEVICES to train on the processor"
    )


def _has_bfloat16() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def lacks_memory(error: RuntimeError) -> bool:
    """Whether an error says that there is not enough memory."""
    return isinstance(error, torch.OutOfMemoryError) or NO_MEMORY.search(str(error)) is not None


@contextmanager
def enough_memory() -> Iterator[None]:
    """Report a lack of memory in plain words, where nothing smaller can be tried.

    Raises
    ------
    OutOfMemory
        In place of torch's own error.
    """
    try:
        yield
    except RuntimeError as error:
        if not lacks_memory(error):
            raise
        raise OutOfMemory(
            "out of memory; expected a smaller model, a lower max_length, or more memory"
        ) from None


def fingerprint(device: Accelerator) -> str:
    """Return what the bytes of a training depend on besides its inputs: software, arithmetic, device.

    The CPU is included even if there is a GPU: the probe is fitted on the CPU.
    """
    gpu = [torch.cuda.get_device_name(device.device)] if device.device.type == "cuda" else []
    return ", ".join(
        [
            f"torch {torch.__version__}",
            *(f"{library} {version(library)}" for library in LIBRARIES),
            *gpu,
            f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
            f"{torch.get_num_threads()} threads",
            *([f"{device.num_processes} processes"] if device.num_processes > 1 else []),
            "float32" if device.mixed_precision == "no" else "bfloat16",
        ]
    )
