"""What the doctor has found, and what it looks at beside Slurm: models and disk."""

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
LOCAL = ("tmpfs", "ramfs", "overlay")  # file systems that no other node sees
SCRATCH = ("SCRATCH", "WORK")  # variables that many clusters name a large disk by


@dataclass(frozen=True)
class Observation:
    """One thing that was looked at."""

    level: str  # ok | look | wrong
    text: str


@dataclass
class Examination:
    """What was found, and the profile that follows from it."""

    findings: list[Observation] = field(default_factory=list)
    settings: ProfileSettings | None = None

    def say(self, level: str, text: str) -> None:
        """Note a finding."""
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
        The configuration as it is read.
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
            text = "the folder is there" if here else "no such folder"
            found.append(Observation("ok" if here else "wrong", f"model {model.name}: {text}"))
        else:
            where = "is fetched from the hub by the first run, on this node"
            found.append(Observation("look", f"model {model.name}: {where}, which needs internet then"))
    return found


def examine_disk(folder: Path, result: Examination) -> None:
    """Note how much disk there is, and whether compute nodes can see it."""
    free = shutil.disk_usage(folder).free / GIGABYTE
    level = "ok" if free > 20 else "look"
    result.say(
        level,
        f"disk: {free:.0f} GB free in {folder}, where every data set's best classifier stays; a quota of "
        "yours is not seen here",
    )
    for name in SCRATCH:
        place = Path(os.environ.get(name, ""))
        if place.is_absolute() and place.is_dir() and not folder.is_relative_to(place):
            result.say(
                "ok",
                f"disk: ${name} is {place}, {shutil.disk_usage(place).free / GIGABYTE:.0f} GB free; "
                f"`--directory ${name}/study` puts all that a study makes there, which some clusters clear "
                "after weeks",
            )
    kind = _file_system(folder)
    if kind in LOCAL:
        result.say("wrong", f"{folder} is on {kind}, which compute nodes do not see; use a shared folder")
    if not os.access(folder, os.W_OK):
        result.say("wrong", f"{folder}: cannot be written to")


def _file_system(folder: Path) -> str:
    """Return the type of the file system that holds a folder, or nothing where /proc does not say."""
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
