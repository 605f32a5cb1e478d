"""prepared.json: the checksum of a prepared data set, or why its data are refused.

Keep imports here fast: every process of a run imports this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from polysharp.core.files import read_json, sha256, write_json
from polysharp.core.paths import PREPARED, prepared_files


def record_prepared(folder: Path) -> None:
    """Record that the data set in `folder` is prepared."""
    write_json(folder / PREPARED, {"sha256": sha256(*prepared_files(folder))})


def record_refused(folder: Path, lines: Sequence[str]) -> None:
    """Remove the texts of the data set in `folder`, and record why it is refused."""
    for file in prepared_files(folder):
        file.unlink(missing_ok=True)
    write_json(folder / PREPARED, {"refused": lines})


def read_refusal(folder: Path) -> list[str]:
    """Return why the data set of `folder` is refused; nothing if it is not, or not prepared yet."""
    try:
        return list(read_json(folder / PREPARED).get("refused", []))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return []
