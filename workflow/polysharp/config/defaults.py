"""The defaults and explanations of all keys, as YAML and for --help."""

from __future__ import annotations

import json
from typing import Any

import yaml
from pydantic import BaseModel

from polysharp.config.settings import SETTINGS, Configuration
from polysharp.core.terms import Kind


def commented_defaults() -> str:
    """Return the defaults of all keys as YAML, each below a comment that explains it."""
    lines = [
        "# Generated from workflow/polysharp/config/settings.py by `make schemas`: every key, its default."
    ]
    for key, field in Configuration.model_fields.items():
        default = field.get_default(call_default_factory=True)
        lines += ["", f"# {field.description}"]
        if not isinstance(default, BaseModel):
            lines.append(_as_yaml(key, _plain(default)))
            continue
        lines.append(f"{key}:")
        for inner, inner_field in type(default).model_fields.items():
            lines.append(f"  # {inner_field.description}")
            lines.append(f"  {_as_yaml(inner, _plain(getattr(default, inner)))}")
    return "\n".join(lines) + "\n"


def explain_settings(kind: Kind) -> str:
    """Return a line per setting of `kind`: key, default and meaning, for the help of the commands."""
    fields = SETTINGS[kind].model_fields
    width = max(map(len, fields))
    return "\n".join(
        f"  {key:{width}}  {field.description} "
        + ("Required." if field.is_required() else f"Default: {json.dumps(field.default)}.")
        for key, field in fields.items()
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return value.model_dump(exclude_defaults=True) if isinstance(value, BaseModel) else value


def _as_yaml(key: str, value: Any) -> str:
    if isinstance(value, dict):
        return yaml.safe_dump({key: value}, sort_keys=False, width=1000, default_flow_style=None).rstrip()
    lines = yaml.safe_dump(value, width=1000, default_flow_style=True).splitlines()
    return f"{key}: {lines[0]}"  # the second line of a plain value is YAML's end mark
