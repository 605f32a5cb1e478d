"""Tab-separated tables that a user writes by hand: the sample sheet, and tables of published scores."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from polysharp.core.errors import UserError, nearest

NumberedRow = tuple[int, list[str]]  # the number that an editor shows, and the values as they stand


def read_sheet(path: Path) -> list[NumberedRow]:
    """Return the rows of a table, its header included, without empty ones and comments.

    Raises
    ------
    UserError
        When the file is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8; save the table as UTF-8") from None
    rows = csv.reader(text.splitlines(), delimiter="\t")
    return [(n, row) for n, row in enumerate(rows, 1) if any(map(str.strip, row)) and row[0][:1] != "#"]


def check_header(path: Path, header: Sequence[str], required: Sequence[str], optional: Sequence[str]) -> None:
    """Check the names of the columns.

    Raises
    ------
    UserError
        With a line for each that is missing, not known or there twice.
    """
    known = (*required, *optional)
    if len(header) == 1 and any(separator in header[0] for separator in ",; "):
        raise UserError(f"{path}, row 1: {header[0]!r}: expected columns separated by tabs")
    problems = [
        f"column {name!r}: not a known column; expected one of {', '.join(known)}{nearest(name, known)}"
        for name in header
        if name not in known
    ]
    problems += [f"column {name!r}: missing" for name in required if name not in header]
    problems += [f"column {name!r}: appears twice" for name in set(header) if header.count(name) > 1]
    if problems:
        raise UserError(*(f"{path}, row 1: {problem}" for problem in sorted(problems)))
