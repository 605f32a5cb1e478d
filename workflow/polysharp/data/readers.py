"""Files of texts and labels, whatever their format, read into columns with the number of every row."""

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
    """The columns that were asked for, of one file, all of one length.

    `rows` are the numbers by which a person finds the rows: as a spreadsheet counts them (the header is
    row 1), in JSON Lines the line, in JSON and Parquet from 1. `doubts` are numbers of rows that may be
    meant otherwise than they were read, each with what stands there.
    """

    path: Path
    columns: dict[str, list[Any]]
    rows: list[int]
    doubts: Sequence[tuple[int, str]] = ()


def read_file(path: Path, wanted: Sequence[str], sheet: str | None = None) -> FileTable:
    """Return the columns of a file whose names match `wanted`: names, or patterns with ``*`` and ``?``.

    The ending names the format, before it that of what is packed (``.csv.gz``,
    see :mod:`polysharp.config.sources`).
    Text that is not UTF-8 comes with every wrong byte as a lone surrogate (PEP 383), so that whoever
    reads the values can say in which row it stands.

    Parameters
    ----------
    sheet
        Of a workbook: which one. None takes the only one.

    Raises
    ------
    UserError
        With a line for everything that is wrong with the file; not with the single values.
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
