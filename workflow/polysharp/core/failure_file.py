"""failure.json: why a step of a study failed. The step's process writes it, the tables read it.

This module is light, as every submission to Slurm starts a process that imports it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from polysharp.core.files import read_json, write_json

NAME = "failure.json"


@dataclass(frozen=True)
class FailureNote:
    """Why a step failed. `failure_class` is one that :mod:`polysharp.reporting.failures` has a remedy for."""

    failure_class: str
    reason: str
    slurm_job: str | None


def failure_file(step: str, work: Path = Path("work")) -> Path:
    """Return where the failure of a step is noted; a step is named by its folder in `work`.

    Examples: ``runs/<cell>``, ``data/<data set>``, ``models/<model>``, ``sources/<source>``.
    """
    return work / step / NAME


def write_failure(path: Path, note: FailureNote) -> None:
    """Write a note to `path`, complete or not at all."""
    content = {"class": note.failure_class, "reason": note.reason, "slurm_job": note.slurm_job}
    write_json(path, content)


def read_failure(path: Path) -> FailureNote | None:
    """Return the note at `path`, or None where there is none that can be read."""
    try:
        content = read_json(path)
        return FailureNote(content.get("class", "bug"), content["reason"], content.get("slurm_job"))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, AttributeError):
        return None


def remove_failure(path: Path) -> None:
    """Remove the note at `path`, where there is one."""
    path.unlink(missing_ok=True)


def remove_failures(kind: str, work: Path = Path("work")) -> None:
    """Remove the notes of all steps of a kind, such as ``models``."""
    for path in (work / kind).rglob(NAME):
        remove_failure(path)
