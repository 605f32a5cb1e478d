"""The doctor's findings, and what it examines besides Slurm: models and disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from polysharp.cluster.profile import ProfileSettings
from polysharp.config.checking import check_configuration
from polysharp.config.slugs import model_slug
from polysharp.core.files import expanded
from polysharp.core.paths import IDENTITY

GIGABYTE = 2**30
LOCAL = ("tmpfs", "ramfs", "overlay")  # file systems that other nodes do not see
SCRATCH = ("SCRATCH", "WORK")  # environment variables that name a large disk on many clusters


@dataclass(frozen=True)
class Observation:
    """One finding."""

    level: str  # ok | look | wrong
    text: str


@dataclass
class Examination:
    """The findings, and the profile that follows from them."""

    findings: list[Observation] = field(default_factory=list)
    settings: ProfileSettings | None = None

    def say(self, level: str, text: str) -> None:
        """Add a finding."""
        self.findings.append(Observation(level, text))

    @property
    def fits(self) -> bool:
        """Whether nothing is wrong."""
        return not any(finding.level == "wrong" for finding in self.findings)


def examine_models(content: Mapping[str, Any], prepared: Path) -> list[Observation]:
    """Return whether the models of a configuration are on this machine.

    Parameters
    ----------
    content
        The configuration as read from its file.
    prepared
        The folder of prepared models.
    """
    configuration, lines = check_configuration(content)
    found = [Observation("wrong", line) for line in lines]
    for model in {model.name: model for model in configuration.models.values()}.values():
        if (prepared / model_slug(model) / IDENTITY).is_file():
            found.append(Observation("ok", f"model {model.name}: prepared"))
        elif model.name.startswith("package:"):
            package = model.name.removeprefix("package:")
            here = find_spec(package.replace("-", "_")) is not None
            text = "installed" if here else "not installed; see the README"
            found.append(Observation("ok" if here else "wrong", f"model {model.name}: {text}"))
        elif model.name.startswith((".", "/", "~")):
            here = expanded(model.name).is_dir()
            text = "the folder exists" if here else "no such folder"
            found.append(Observation("ok" if here else "wrong", f"model {model.name}: {text}"))
        else:
            where = "the first run downloads it from the hub, on this node"
            found.append(Observation("look", f"model {model.name}: {where}, which then needs internet"))
    return found


def examine_disk(folder: Path, result: Examination) -> None:
    """Report how much disk space there is, and whether compute nodes can see it."""
    free = shutil.disk_usage(folder).free / GIGABYTE
    level = "ok" if free > 20 else "look"
    result.say(
        level,
        f"disk: {free:.0f} GB free in {folder}, where the best classifier of every data set is kept; a quota "
        "is not taken into account",
    )
    for name in SCRATCH:
        place = Path(os.environ.get(name, ""))
        if place.is_absolute() and place.is_dir() and not folder.is_relative_to(place):
            result.say(
                "ok",
                f"disk: ${name} is {place}, {shutil.disk_usage(place).free / GIGABYTE:.0f} GB free; "
                f"`--directory ${name}/study` puts everything that a study makes there; some clusters delete "
                "it after some weeks",
            )
    kind = _file_system(folder)
    if kind in LOCAL:
        result.say("wrong", f"{folder} is on {kind}, which compute nodes cannot see; use a shared folder")
    if not os.access(folder, os.W_OK):
        result.say("wrong", f"{folder}: cannot be written to")


def _file_system(folder: Path) -> str:
    """Return the type of the file system of a folder, or nothing if /proc does not have it."""
    best, kind = "", ""
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return ""
    place = f"{folder.resolve()}/"
    for line in mounts:
        _, point, this, *_ = line.split()
        if place.startswith(f"{point.rstrip('/')}/") and len(point) >= len(best):
            best, kind = point, this
    return kind
