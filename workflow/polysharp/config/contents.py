"""Checksums of the files that a study reads. A file is hashed again if its size or times have changed."""

from __future__ import annotations

import hashlib
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from polysharp.config.packages import PACKAGE, installed_weights
from polysharp.config.settings import ModelSettings
from polysharp.config.slugs import model_slug
from polysharp.config.study import Matrix, predictions_of
from polysharp.core.errors import UserError
from polysharp.core.files import expanded, read_json, replacing, sha256
from polysharp.core.paths import IDENTITY, INNER, PREPARED, REPORT, Paths

RECORD = Path(".snakemake/polysharp/contents.json")  # size, times and SHA-256 of every file of the study
RECORDS = Path(".snakemake/metadata")  # Snakemake's own; a file's name is the path of a result in base64
# All files that models are read from, in any layout, and few others.
MODEL_FILES = ("*.json", "*.txt", "*.model", "*.safetensors", "pytorch_model*.bin")
MODEL_FOLDERS = ("", INNER)
SETTLED = 2_000_000_000  # ns after which another change of a file is sure to change its times


def study_contents(matrix: Matrix, look: bool, record: Path = RECORD) -> dict[str, str]:
    """Return the SHA-256 of every local model, data set and table of predictions.

    The keys are ``models/<model>``, ``data/<data set>`` and ``outside/<file>``. What is on the hub has no
    key: its revision identifies it.

    Parameters
    ----------
    look
        Whether to read files again whose size or times differ from `record`, and to update it. Jobs of the
        workflow do not: they use what the workflow found, also on another machine.

    Raises
    ------
    UserError
        With a line for every file that cannot be read.
    """
    files = _files(matrix)
    digests = _digests({path for of_key in files.values() for path in of_key}, look, record)
    return {
        key: _together((path.name, digests[path]) for path in of_key)
        for key, of_key in files.items()
        if of_key
    }


def older_results(matrix: Matrix) -> list[str]:
    """Return results that are older than their input files, and of which Snakemake has no record.

    Snakemake's records hold the SHA-256 of the inputs of a result. Without them, for example after
    `.snakemake` was removed, only the times of modification show that an input may have changed. A copy of
    the whole study keeps these times.
    """
    paths = Paths()
    made_from: dict[Path, Sequence[Path]] = {}
    for key, files in _files(matrix).items():
        kind, _, name = key.partition("/")
        if kind == "data":
            made_from[paths.data(name) / PREPARED] = files
        elif kind == "models":
            made_from[paths.models / name / IDENTITY] = files
    for cell in matrix.cells:
        if (path := predictions_of(cell)) is not None:
            made_from[paths.run(cell.path) / REPORT] = [Path(path)]
    return [str(result) for result, files in made_from.items() if _is_older(result, files)]


def _is_older(result: Path, files: Sequence[Path]) -> bool:
    if (RECORDS / urlsafe_b64encode(str(result).encode()).decode()).exists():
        return False
    try:
        made = result.stat().st_mtime_ns
        return any(path.stat().st_mtime_ns > made for path in files)
    except OSError:  # the result does not exist; missing files are reported elsewhere
        return False


def _files(matrix: Matrix) -> dict[str, Sequence[Path]]:
    """Return the files of every local model, data set and table of predictions, by key."""
    files: dict[str, Sequence[Path]] = {}
    for dataset in matrix.datasets:
        if dataset.hub is None:
            files[f"data/{dataset.path}"] = dataset.inputs
    for cell in matrix.cells:
        if cell.has_model and (key := f"models/{model_slug(cell.dataset.model)}") not in files:
            files[key] = model_files(cell.dataset.model)
        if (path := predictions_of(cell)) is not None:
            files[f"outside/{path}"] = [Path(path)]
    return files


def model_files(model: ModelSettings) -> list[Path]:
    """Return the files of a model in a local folder or an installed package, sorted; none for the hub."""
    if model.name.startswith(PACKAGE):
        found = installed_weights(model.name.removeprefix(PACKAGE))
        if found is None or found.is_file():
            return [found] if found else []
    else:
        found = expanded(model.name)
    folders = [found / name for name in MODEL_FOLDERS]
    matching = [sorted({path for name in MODEL_FILES for path in folder.glob(name)}) for folder in folders]
    return [path for of_folder in matching for path in of_folder if path.is_file()]


def _digests(paths: Iterable[Path], look: bool, record: Path) -> dict[Path, str]:
    """Return the SHA-256 of files; only those that may have changed since they were recorded are read."""
    known, changed = _read(record), False
    found: dict[Path, str] = {}
    lines: list[str] = []
    for path in sorted(paths):
        entry = known.get(str(path), {})
        try:
            state = _state(path) if look or not entry else None
            if state is not None and entry.get("state") != state:
                changed = True
                entry = known[str(path)] = {"state": state, "sha256": sha256(path)}
                if time.time_ns() - max(state[1:3]) < SETTLED:
                    entry["state"] = []  # another change might not be seen: read it again next time
            found[path] = entry["sha256"]
        except OSError as error:
            lines.append(f"{path}: {error.strerror}; expected a readable file")
    if lines:
        raise UserError(*lines)
    if look and changed:
        with suppress(OSError), replacing(record) as staging:
            staging.write_text(json.dumps(known, indent=0) + "\n", encoding="utf-8")
    return found


def _read(record: Path) -> dict[str, Any]:
    """Return the record; nothing if it is damaged, as it only saves time."""
    try:
        content = read_json(record)
    except (OSError, ValueError):
        return {}
    if not isinstance(content, Mapping):
        return {}
    return {
        path: entry
        for path, entry in content.items()
        if isinstance(entry, Mapping) and isinstance(entry.get("sha256"), str)
    }


def _state(path: Path) -> list[int]:
    """Return what reveals a change: size in bytes, times of content and inode in ns, inode."""
    state = path.stat()
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]


def _together(digests: Iterable[tuple[str, str]]) -> str:
    lines = "".join(f"{digest}  {name}\n" for name, digest in digests)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
