"""Conversion of pickled weights to safetensors: ``python -m polysharp.models.unpickle FOLDER DESTINATION``.

Reading a pickle can run any code. With ``weights_only``, torch reads only tensors; a separate process,
which gets no token, limits the damage if that protection fails.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

from polysharp.core.errors import UserError, first_line
from polysharp.core.files import read_json

PICKLE, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
INHERITED = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "TMPDIR", "LANG", "LC_ALL")  # environment variables


def unpickle(folder: Path, destination: Path) -> None:
    """Write the pickled weights in `folder` as safetensors to `destination`, in a separate process.

    Raises
    ------
    UserError
        When they hold anything but tensors, or are damaged.
    """
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    command = [sys.executable, "-m", "polysharp.models.unpickle", str(folder), str(destination)]
    process = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if process.returncode:
        said = process.stderr.strip().splitlines() or [f"the process ended with {process.returncode}"]
        raise UserError(said[-1])


def _convert(folder: Path, destination: Path) -> None:
    import torch
    from safetensors.torch import save_file

    files = [PICKLE]
    if (folder / INDEX).is_file():
        files = sorted({Path(file).name for file in read_json(folder / INDEX)["weight_map"].values()})
    weights: dict[str, torch.Tensor] = {}
    for file in files:
        try:
            content = torch.load(folder / file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:  # torch's own message explains how to open it anyway
            raise UserError(f"{file} holds other objects than tensors, or is damaged: not opened") from None
        if not isinstance(content, dict):
            raise UserError(f"{file} holds a {type(content).__name__}; expected tensors by name")
        for name, tensor in content.items():
            if not isinstance(tensor, torch.Tensor):
                raise UserError(f"{file}: {name!r} is a {type(tensor).__name__}; expected a tensor")
            weights[name] = tensor.clone().contiguous()  # safetensors refuses tensors that share memory
    save_file(weights, destination, metadata={"format": "pt"})


if __name__ == "__main__":
    try:
        _convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except Exception as error:
        sys.exit(first_line(error))
