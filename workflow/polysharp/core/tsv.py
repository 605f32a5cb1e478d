"""Tables as tab-separated files that are safe to open in a spreadsheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from polysharp.core.files import replacing

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet may read these as the start of one


def write_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], path: Path) -> None:
    """Write rows as a tab-separated table: fixed columns, six decimals, empty if unknown.

    Text that a spreadsheet would read as a formula starts with an apostrophe.
    """
    cells = [[_shown(row.get(column)) for column in columns] for row in rows]
    with replacing(path) as staging:
        pl.DataFrame(cells, schema=dict.fromkeys(columns, pl.String), orient="row").write_csv(
            staging, separator="\t", quote_style="necessary"
        )


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table of :func:`write_table`, as text; unknown values are empty."""
    frame = pl.read_csv(path, separator="\t", infer_schema=False).fill_null("")
    rows = frame.iter_rows(named=True)
    return [{name: _without_apostrophe(value) for name, value in row.items()} for row in rows]


def _without_apostrophe(text: str) -> str:
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def _shown(value: Any) -> str | None:
    if value in (None, ""):
        return None
    if isinstance(value, float):
        return f"{value:.6f}"
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
