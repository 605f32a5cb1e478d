"""Readers of the file formats: each returns columns and the numbers of their rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import polars as pl

from polysharp.core.errors import first_line, nearest
from polysharp.data.delimited import read_delimited, read_tabbed
from polysharp.data.header import Columns, chosen_columns, cut, quoted_names
from polysharp.data.raw import Unreadable, decoded


def read_workbook(content: bytes, wanted: Sequence[str], sheet: str | None = None) -> Columns:
    """Return the wanted columns of one sheet of a workbook, with all values as text."""
    import fastexcel

    with _of_rust():
        workbook = fastexcel.read_excel(content)
        names = workbook.sheet_names
        if sheet is None and len(names) > 1:
            raise Unreadable(
                f"has the sheets {quoted_names(names)}; choose one with '#', as in '#{names[0]}'"
            )
        if sheet is not None and sheet not in names:
            raise Unreadable(
                f"no sheet {sheet!r}; the sheets are {quoted_names(names)}{nearest(sheet, names)}"
            )
        # As text, as displayed: a column's type would be guessed from its first values.
        cells = workbook.load_sheet(sheet or 0, header_row=None, skip_rows=0, dtypes="string").to_polars()
    if not len(cells):
        raise Unreadable("an empty sheet; expected a header and texts")
    header = [str(name or "").strip() for name in cells.row(0)]
    chosen = chosen_columns(header, wanted, "row 1: ")
    cells = cells.with_row_index("row", 1).slice(1)
    cells = cells.filter(~pl.all_horizontal(pl.exclude("row").is_null()))
    values = {name: cells[:, header.index(name) + 1].to_list() for name in chosen}
    return Columns(values, cells["row"].to_list())


def _read_parquet(content: bytes, wanted: Sequence[str]) -> Columns:
    import pyarrow.parquet as parquet  # for damaged files, polars writes to the terminal
    from pyarrow import ArrowException

    try:
        chosen = chosen_columns(parquet.read_schema(BytesIO(content)).names, wanted)
        table = parquet.read_table(BytesIO(content), columns=chosen)
        columns = {name: table[name].to_pylist() for name in chosen}
    except (ArrowException, OSError, ValueError) as error:
        raise Unreadable(f"cannot be read as Parquet: {first_line(error)}") from None
    return Columns(columns, list(range(1, len(table) + 1)))


def _read_json(content: bytes, wanted: Sequence[str]) -> Columns:
    document = _parsed(decoded(content))
    if isinstance(document, list):
        return _of_records(document, wanted, list(range(1, len(document) + 1)), "row")
    if not isinstance(document, dict):
        raise Unreadable(f"a JSON {type(document).__name__}; expected {_form(wanted)}")
    columns = {name: document[name] for name in chosen_columns(list(document), wanted)}
    if columns and all(isinstance(values, dict) for values in columns.values()):
        columns = _by_key(columns)
    lines = [
        f"{name!r} is a {type(values).__name__}; expected a list"
        for name, values in columns.items()
        if not isinstance(values, list)
    ]
    if lines:
        raise Unreadable(*lines)
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{length} in {name!r}" for name, length in lengths.items())
        raise Unreadable(f"{counts}; expected the same number in each")
    return Columns(columns, list(range(1, max(lengths.values()) + 1)))


def _by_key(columns: dict[str, dict[str, Any]]) -> dict[str, list[Any]]:
    """Return columns as pandas writes them, ``{"0": ..., "1": ...}``: values with the same key are a row.

    The rows have the order of the first column.
    """
    first, *others = columns
    keys = columns[first]
    lines = [
        f"{one!r} has the key {key!r}, but {other!r} does not; expected the same keys in each"
        for name in others
        for one, other in ((first, name), (name, first))
        for key in columns[one]
        if key not in columns[other]
    ]
    if lines:
        raise Unreadable(*cut(lines))
    return {name: [values[key] for key in keys] for name, values in columns.items()}


def _read_json_lines(content: bytes, wanted: Sequence[str]) -> Columns:
    records, rows, wrong = [], [], []
    for number, line in enumerate(decoded(content).split("\n"), 1):
        if line.strip():
            try:
                records.append(_parsed(line))
                rows.append(number)
            except Unreadable as error:
                wrong.append(f"line {number}, {error.lines[0].removeprefix('line 1, ')}")
    if wrong:
        raise Unreadable(*cut(wrong))
    return _of_records(records, wanted, rows, "line")


def _of_records(records: list[Any], wanted: Sequence[str], rows: list[int], unit: str) -> Columns:
    wrong = [
        f"{unit} {row}: a JSON {type(record).__name__}; expected an object"
        for record, row in zip(records, rows, strict=True)
        if not isinstance(record, dict)
    ]
    if wrong:
        raise Unreadable(*cut(wrong))
    header = list(dict.fromkeys(name for record in records for name in record))
    chosen = chosen_columns(header, wanted) if records else []
    return Columns({name: [record.get(name) for record in records] for name in chosen}, rows)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        lines = "; if each line is an object, use the ending .jsonl" if error.msg == "Extra data" else ""
        raise Unreadable(f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}{lines}") from None
    except RecursionError:
        raise Unreadable("JSON that is nested too deeply; expected texts and labels") from None
    except ValueError as error:  # a number with thousands of digits
        raise Unreadable(f"JSON that cannot be read: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Unreadable(f"key {twice!r}: appears {names.count(twice)} times; expected once")
    return result


def _form(wanted: Sequence[str]) -> str:
    return "{" + ", ".join(f'"{name}": [...]' for name in wanted) + "}"


@contextmanager
def _of_rust() -> Iterator[None]:
    """Turn errors and panics of a Rust library about a damaged file into a message."""
    try:
        yield
    except (Unreadable, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise Unreadable(f"cannot be read as a workbook: {first_line(error)}") from None


READERS: dict[str, Callable[[bytes, Sequence[str]], Columns]] = {
    ".json": _read_json,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".csv": read_delimited,
    ".tsv": read_tabbed,
    ".parquet": _read_parquet,
}
