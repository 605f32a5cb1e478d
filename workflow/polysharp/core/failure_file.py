"""failure.json: why a step of a study failed. Written by the step's process, read for the tables.

Keep imports here fast: every submission to Slurm starts a process that imports this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from polysharp.core.files import read_json, write_json

NAME = "failure.json"


@dataclass(frozen=True)
class FailureNote:
    """Why a step failed. `failure_class` is a key of the remedies in :mod:`polysharp.reporting.failures`."""

    failure_class: str
    reason: str
    slurm_job: str | None


def failure_file(step: str, work: Path = Path("work")) -> Path:
    """Return the path of the failure note of a step; a step is named by its folder in `work`.

    Examples: ``runs/<cell>``, ``data/<data set>``, ``models/<model>``, ``sources/<source>``.
    """
    return work / step / NAME


def write_failure(path: Path, note: FailureNote) -> None:
    """Write a note to `path` atomically."""
    content = {"class": note.failure_class, "reason": note.reason, "slurm_job": note.slurm_job}
    write_json(path, content)


def read_failure(path: Path) -> FailureNote | None:
    """Return the note at `path`, or None if there is none or it cannot be read."""
    try:
        content = read_json(path)
        return FailureNote(content.get("class", "bug"), content["reason"], content.get("slurm_job"))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, AttributeError):
        return None


def remove_failure(path: Path) -> None:
    """Remove the note at `path`, if there is one."""
    path.unlink(missing_ok=True)


def remove_failures(kind: str, work: Path = Path("work")) -> None:
    """Remove the notes of all steps of a kind, such as ``models``."""
    for path in (work / kind).rglob(NAME):
        remove_failure(path)
