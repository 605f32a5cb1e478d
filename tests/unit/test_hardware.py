"""A GPU that torch cannot use is not passed by in silence."""

import re
from pathlib import Path

import pytest
import torch

from polysharp.core.errors import NoGpu, OutOfMemory
from polysharp.training import hardware

VERSION = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.82.01  Wed Oct 27 21:21:55 UTC 2021\n"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine has NVIDIA's driver, and torch finds no GPU."""
    (tmp_path / "version").write_text(VERSION)
    monkeypatch.setattr(hardware, "DRIVER", tmp_path / "version")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize("given", ["0", "1,2", "GPU-8f2c", "MIG-1"])
@pytest.mark.usefixtures("driver")
def test_a_gpu_that_was_given_and_cannot_be_used_is_an_error(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    said = rf"GPU {given} on .*driver is 470\.82\.01, and torch {re.escape(torch.__version__)}"
    with pytest.raises(NoGpu, match=said):
        hardware.accelerator("auto", 1)


@pytest.mark.parametrize("given", ["", "NoDevFiles", "-1"])
@pytest.mark.usefixtures("driver")
def test_where_none_was_given_the_processor_is_taken(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert hardware.accelerator("float32", 1).device.type == "cpu"


def test_without_a_driver_the_processor_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on the pretended GPUs of our cluster."""
    monkeypatch.setattr(hardware, "DRIVER", tmp_path / "version")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert hardware.accelerator("float32", 1).device.type == "cpu"


def test_errors_that_are_not_about_memory_pass() -> None:
    with pytest.raises(RuntimeError, match="shape"), hardware.enough_memory():
        raise RuntimeError("shape mismatch")
    with pytest.raises(OutOfMemory, match="expected a smaller model"), hardware.enough_memory():
        raise RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later")
