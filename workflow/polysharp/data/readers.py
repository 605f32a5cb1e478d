"""Files of texts and labels in any format, read into columns and the numbers of their rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polysharp.config.sources import WORKBOOKS, format_of
from polysharp.core.errors import UserError
from polysharp.data.formats import READERS, read_workbook
from polysharp.data.raw import Unreadable, unpacked

_PLACE = re.compile(r"(row|line) \d")


@dataclass(frozen=True)
class FileTable:
    """The wanted columns of one file, all of the same length.

    `rows` are the row numbers for messages: as a spreadsheet counts them (the header is row 1), in JSON
    Lines the line, in JSON and Parquet from 1. `doubts` are the numbers of rows that may have been misread,
    each with its content.
    """

    path: Path
    columns: dict[str, list[Any]]
    rows: list[int]
    doubts: Sequence[tuple[int, str]] = ()


def read_file(path: Path, wanted: Sequence[str], sheet: str | None = None) -> FileTable:
    """Return the columns of a file whose names match `wanted`: names, or patterns with ``*`` and ``?``.

    The ending names the format, in compressed files the one before the last (``.csv.gz``, see
    :mod:`polysharp.config.sources`). If text is not UTF-8, every invalid byte is a lone surrogate
    (PEP 383), so that the caller can report its row.

    Parameters
    ----------
    sheet
        The sheet of a workbook; None: the only one.

    Raises
    ------
    UserError
        With a line for each problem of the file; single values are not checked.
    """
    try:
        ending = format_of(path)
        content = unpacked(path)
        if ending in WORKBOOKS:
            columns = read_workbook(content, wanted, sheet)
        else:
            columns = READERS[ending](content, wanted)
        if not columns.rows:
            raise Unreadable("no texts; expected at least one")
        return FileTable(path, columns.values, columns.rows, columns.doubts)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    except Unreadable as error:
        raise UserError(
            *(f"{path}{', ' if _PLACE.match(line) else ': '}{line}" for line in error.lines)
        ) from None
