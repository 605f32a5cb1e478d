"""Names given by users as safe parts of a path."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata

from polysharp.config.settings import ModelSettings
from polysharp.config.sources import HubSource

SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def slug(name: str) -> str:
    """Return `name` as a part of a path: ``[a-z0-9][a-z0-9_-]{0,63}``, accents dropped.

    Raises
    ------
    ValueError
        When nothing of it can be used in a path.
    """
    result = _latin(name)[:64]
    if not result:
        raise ValueError(f"{name!r}: expected a name with Latin letters or digits")
    return result


def _latin(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_-]+", "-", plain).strip("-_")


def model_slug(model: ModelSettings) -> str:
    """Return the folder of a prepared model: readable, and different for every name and revision."""
    return _unique("model", model.name, model.revision)


def hub_slug(source: HubSource) -> str:
    """Return the folder of a downloaded data set: readable, and different for every source."""
    return _unique("data", source.name, source.revision, source.configuration)


def _unique(otherwise: str, name: str, *rest: str | None) -> str:
    """Return a readable part of a path that is different for every name and rest."""
    text = "-".join([name, *(part for part in rest if part is not None)])
    digest = hashlib.sha256(json.dumps([name, *rest]).encode()).hexdigest()[:8]
    readable = _latin(text.rstrip("/").replace(":", "-").split("/")[-1])[:55]
    return f"{readable or otherwise}-{digest}"
