"""Finding the columns of a file by name or pattern, and messages about missing ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from polysharp.core.errors import list_some, nearest
from polysharp.data.raw import Unreadable


class Columns(NamedTuple):
    """Columns of one length.

    `values` are the wanted columns by name, `rows` the numbers of the rows, and `doubts` the numbers of
    rows that may have been misread, each with its content.
    """

    values: dict[str, list[Any]]
    rows: list[int]
    doubts: Sequence[tuple[int, str]] = ()


def matching_columns(wanted: str, header: Iterable[str]) -> list[str]:
    """Return the columns that match a name or a pattern; an existing name is never a pattern."""
    header = list(header)
    return [wanted] if wanted in header else [name for name in header if fnmatchcase(name, wanted)]


def chosen_columns(header: Sequence[str], wanted: Sequence[str], place: str = "") -> list[str]:
    """Return the wanted columns of a header, each once, in its order.

    Raises
    ------
    Unreadable
        When one is missing, or appears twice.
    """
    found = {name for want in wanted for name in matching_columns(want, header)}
    lines = [
        f"{place}column {want!r}: missing; the columns are {quoted_names(header)}{nearest(want, header)}"
        for want in wanted
        if not matching_columns(want, header)
    ]
    lines += [
        f"{place}column {name!r}: appears {header.count(name)} times; expected once"
        for name in sorted(found)
        if header.count(name) > 1
    ]
    if lines:
        raise Unreadable(*lines)
    return [name for name in header if name in found]


def quoted_names(names: Sequence[str]) -> str:
    """Return quoted names as a list for messages."""
    return list_some([repr(name) for name in names])


def cut(lines: list[str], most: int = 5) -> list[str]:
    """Return the first lines, and how many more there are."""
    surplus = len(lines) - most
    return lines[:most] + ([f"and {surplus} more like these"] if surplus > 0 else [])
