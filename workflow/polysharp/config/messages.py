"""Messages about mistakes in a configuration: what is wrong, and where."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from polysharp.core.errors import UserError, nearest


def explain(error: ValidationError, model: type[BaseModel], prefix: str = "") -> list[str]:
    """Return pydantic's errors as messages: key, value, what was expected, the nearest valid key."""
    lines = []
    for problem in error.errors():
        location = [part for part in problem["loc"] if part != "[key]"]
        key = prefix + ".".join(str(part) for part in location)
        given, kind = problem["input"], problem["type"]
        if kind == "extra_forbidden":
            valid = list(_fields(model, location[:-1]))
            lines.append(
                f"{key}: not a known key; expected one of {listed(valid)}{nearest(location[-1], valid)}"
            )
        elif kind == "missing":
            lines.append(f"{key}: missing")
        elif kind == "value_error":
            text = str(problem["ctx"]["error"])
            lines.append(f"{key}: {text}")
        elif isinstance(given, bool) and "[key]" in problem["loc"]:
            lines.append(f"{key}: YAML reads this bare word as {given}; write it in quotes")
        else:
            expected = problem["msg"].replace("Input should", "expected").replace("expected be", "expected")
            expected = f"expected {_PLAIN[kind]}" if kind in _PLAIN else expected
            hint = nearest(given, re.findall(r"'([^']*)'", expected)) if kind == "literal_error" else ""
            lines.append(f"{key}: {given!r}: {expected[0].lower()}{expected[1:]}{hint}")
    return lines


_PLAIN = {
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "dict_type": "one key per line, each followed by a colon and its value",
    "model_type": "one key per line, each followed by a colon and its value",
    "list_type": "a list",
    "too_short": "at least one entry",
}


def _fields(model: type[BaseModel], location: Sequence[Any]) -> Iterator[str]:
    """Yield the keys that are valid at `location` of `model`."""
    for part in location:
        field = model.model_fields.get(str(part))
        candidates = [field.annotation, *get_args(field.annotation)] if field else [model]
        model = next(
            (item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel)), model
        )
    yield from model.model_fields


def listed(names: Iterable[object]) -> str:
    """Return names separated by commas."""
    return ", ".join(str(name) for name in names)


class Places:
    """Where the keys of the configuration are set: file and line, or the command line."""

    def __init__(self, paths: Sequence[Path], command_line: Mapping[str, Any]) -> None:
        """Read the YAML files in `paths`: later ones override earlier ones, and the command line all of them.

        Raises
        ------
        UserError
            When one is not YAML, or has a key twice (YAML silently takes the last).
        """
        self._lines: dict[str, str] = {}
        duplicates: list[str] = []
        for path in paths:
            try:
                tree = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
            except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
                raise UserError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from None
            seen: set[str] = set()
            for key, line in _keys(tree):
                if key in seen:
                    duplicates.append(f"{path}, line {line}: {key}: appears twice; expected once")
                seen.add(key)
                self._lines[key] = f"{path}, line {line}"
        self._lines |= dict.fromkeys(_dotted(command_line), "--config")
        self._default = ", ".join(str(path) for path in paths) or "configuration"
        if duplicates:
            raise UserError(*duplicates)

    def locate(self, line: str) -> str:
        """Return `line`, which starts with a dotted key, preceded by the place of that key."""
        key = line.partition(":")[0]
        while key not in self._lines and "." in key:
            key = key.rpartition(".")[0]
        return f"{self._lines.get(key, self._default)}: {line}"


def _dotted(content: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in content.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{key}.")


def _keys(node: yaml.Node | None, prefix: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = f"{prefix}{key.value}"
            yield name, key.start_mark.line + 1
            yield from _keys(value, f"{name}.")
