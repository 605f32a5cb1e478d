"""Which seeds have been added to the sum of weights behind a soup."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from polysharp.core.files import read_json, sha256
from polysharp.core.paths import ADDED, REPORT


def in_all_sums(run: Path, soups: Iterable[Path]) -> bool:
    """Return whether the weights of a cell, whose results are in `run`, are in all of these sums."""
    return all(added_seeds(folder).get(run.name) == sha256(run / REPORT) for folder in soups)


def added_seeds(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the report of every seed in the sum in `folder`, by the name of its folder."""
    try:
        return dict(read_json(folder / ADDED))
    except FileNotFoundError:
        return {}
