"""Which columns of a file are read, found by name or pattern, and what is said where one is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from polysharp.core.errors import list_some, nearest
from polysharp.data.raw import Unreadable


class Columns(NamedTuple):
    """Columns of one length.

    `values` are those of the wanted columns by name, `rows` the numbers of the rows, and `doubts` the
    numbers of rows that may be meant otherwise than they were read, each with what stands there.
    """

    values: dict[str, list[Any]]
    rows: list[int]
    doubts: Sequence[tuple[int, str]] = ()


def matching_columns(wanted: str, header: Iterable[str]) -> list[str]:
    """Return the columns that a name or a pattern means; a name that is there is no pattern."""
    header = list(header)
    return [wanted] if wanted in header else [name for name in header if fnmatchcase(name, wanted)]


def chosen_columns(header: Sequence[str], wanted: Sequence[str], place: str = "") -> list[str]:
    """Return the wanted columns of a header, each once, in its order.

    Raises
    ------
    Unreadable
        Where one is missing, or stands there twice.
    """
    found = {name for want in wanted for name in matching_columns(want, header)}
    lines = [
        f"{place}column {want!r}: missing; the columns are {quoted_names(header)}{nearest(want, header)}"
        for want in wanted
        if not matching_columns(want, header)
    ]
    lines += [
        f"{place}column {name!r}: stands there {header.count(name)} times; expected once"
        for name in sorted(found)
        if header.count(name) > 1
    ]
    if lines:
        raise Unreadable(*lines)
    return [name for name in header if name in found]


def quoted_names(names: Sequence[str]) -> str:
    """Return names as a message lists them."""
    return list_some([repr(name) for name in names])


def cut(lines: list[str], most: int = 5) -> list[str]:
    """Return the first lines, and how many more there are."""
    surplus = len(lines) - most
    return lines[:most] + ([f"and {surplus} more like these"] if surplus > 0 else [])
