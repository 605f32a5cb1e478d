"""The formats of files, each read into columns with the number of every row."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from io import BytesIO, StringIO
from typing import Any

import polars as pl

from polysharp.core.errors import first_line, list_some, nearest
from polysharp.data.raw import MAX_BYTES, Unreadable, decoded

HEADER = 1 << 16  # characters in which a header has to end
SEPARATORS = ",;\t|"  # that a CSV file may have; the one by which the columns are found is taken
Columns = tuple[dict[str, list[Any]], list[int]]  # of one length, by name; the numbers of the rows


def matching_columns(wanted: str, header: Iterable[str]) -> list[str]:
    """Return the columns that a name or a pattern means; a name that is there is no pattern."""
    header = list(header)
    return [wanted] if wanted in header else [name for name in header if fnmatchcase(name, wanted)]


def _chosen(header: Sequence[str], wanted: Sequence[str], place: str = "") -> list[str]:
    """Return the wanted columns of a header, each once, in its order."""
    found = {name for want in wanted for name in matching_columns(want, header)}
    lines = [
        f"{place}column {want!r}: missing; the columns are {_quoted(header)}{nearest(want, header)}"
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


def _quoted(names: Sequence[str]) -> str:
    return list_some([repr(name) for name in names])


def _read_delimited(content: bytes, wanted: Sequence[str], separators: str = SEPARATORS) -> Columns:
    text = decoded(content)
    separator = max(separators, key=lambda one: _found(text, one, wanted))
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator, strict=True)
    limit = csv.field_size_limit(MAX_BYTES)
    number = 1
    try:
        header = [name.strip() for name in next(reader, [])]
        chosen = _chosen(header, wanted, "row 1: ")
        indices = {name: header.index(name) for name in chosen}
        columns: dict[str, list[Any]] = {name: [] for name in chosen}
        rows, wrong = [], []
        for number, fields in enumerate(reader, 2):
            if not any(fields):
                continue
            if len(fields) != len(header):
                wrong.append(
                    f"row {number}: {len(fields)} fields; expected {len(header)}, as in the header "
                    f"(a text that holds {separator!r} has to stand in double quotes)"
                )
                continue
            rows.append(number)
            for name, index in indices.items():
                columns[name].append(fields[index])
    except csv.Error as error:
        text = "a text that holds double quotes has them doubled, and stands in double quotes"
        raise Unreadable(f"row {number + 1}: {error}; {text}") from None
    finally:
        csv.field_size_limit(limit)
    if wrong:
        raise Unreadable(*_cut(wrong))
    return columns, rows


def _found(text: str, separator: str, wanted: Sequence[str]) -> tuple[int, int]:
    """Return how many of the wanted columns a separator finds in the header, and how many columns."""
    try:
        header = next(csv.reader(StringIO(text[:HEADER], newline=""), delimiter=separator), [])
    except csv.Error:
        return 0, 0
    header = [name.strip() for name in header]
    return sum(bool(matching_columns(want, header)) for want in wanted), len(header)


def _read_tabbed(content: bytes, wanted: Sequence[str]) -> Columns:
    return _read_delimited(content, wanted, "\t")


def read_workbook(content: bytes, wanted: Sequence[str], sheet: str | None = None) -> Columns:
    """Return the wanted columns of one sheet of a workbook, everything as text."""
    import fastexcel

    with _of_rust():
        workbook = fastexcel.read_excel(content)
        names = workbook.sheet_names
        if sheet is None and len(names) > 1:
            raise Unreadable(f"has the sheets {_quoted(names)}; say which after a '#', as in '#{names[0]}'")
        if sheet is not None and sheet not in names:
            raise Unreadable(f"no sheet {sheet!r}; it has {_quoted(names)}{nearest(sheet, names)}")
        # Everything as text, as it is shown: a column's type would be guessed from its first values.
        cells = workbook.load_sheet(sheet or 0, header_row=None, skip_rows=0, dtypes="string").to_polars()
    if not len(cells):
        raise Unreadable("an empty sheet; expected a header and texts")
    header = [str(name or "").strip() for name in cells.row(0)]
    chosen = _chosen(header, wanted, "row 1: ")
    cells = cells.with_row_index("row", 1).slice(1)
    cells = cells.filter(~pl.all_horizontal(pl.exclude("row").is_null()))
    return {name: cells[:, header.index(name) + 1].to_list() for name in chosen}, cells["row"].to_list()


def _read_parquet(content: bytes, wanted: Sequence[str]) -> Columns:
    import pyarrow.parquet as parquet  # polars, where a file is damaged, writes to the terminal as it likes
    from pyarrow import ArrowException

    try:
        chosen = _chosen(parquet.read_schema(BytesIO(content)).names, wanted)
        table = parquet.read_table(BytesIO(content), columns=chosen)
        columns = {name: table[name].to_pylist() for name in chosen}
    except (ArrowException, OSError, ValueError) as error:
        raise Unreadable(f"cannot be read as Parquet: {first_line(error)}") from None
    return columns, list(range(1, len(table) + 1))


def _read_json(content: bytes, wanted: Sequence[str]) -> Columns:
    document = _parsed(decoded(content))
    if isinstance(document, list):
        return _of_records(document, wanted, list(range(1, len(document) + 1)), "row")
    if not isinstance(document, dict):
        raise Unreadable(f"a JSON {type(document).__name__}; expected {_form(wanted)}")
    chosen = _chosen(list(document), wanted)
    columns: dict[str, list[Any]] = {}
    for name in chosen:
        values = document[name]
        # pandas writes a column as {"0": ..., "1": ...} unless it is told otherwise.
        columns[name] = list(values.values()) if isinstance(values, dict) else values
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
        raise Unreadable(f"{counts}; expected as many values in each")
    return columns, list(range(1, max(lengths.values()) + 1))


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
        raise Unreadable(*_cut(wrong))
    return _of_records(records, wanted, rows, "line")


def _of_records(records: list[Any], wanted: Sequence[str], rows: list[int], unit: str) -> Columns:
    wrong = [
        f"{unit} {row}: a JSON {type(record).__name__}; expected an object"
        for record, row in zip(records, rows, strict=True)
        if not isinstance(record, dict)
    ]
    if wrong:
        raise Unreadable(*_cut(wrong))
    header = list(dict.fromkeys(name for record in records for name in record))
    chosen = _chosen(header, wanted) if records else []
    return {name: [record.get(name) for record in records] for name in chosen}, rows


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise Unreadable(f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise Unreadable("JSON that is nested too deep; expected texts and labels") from None
    except ValueError as error:  # a number of thousands of digits
        raise Unreadable(f"not JSON that can be read: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Unreadable(f"key {twice!r}: stands there {names.count(twice)} times; expected once")
    return result


def _form(wanted: Sequence[str]) -> str:
    return "{" + ", ".join(f'"{name}": [...]' for name in wanted) + "}"


@contextmanager
def _of_rust() -> Iterator[None]:
    """Turn what a library in Rust raises over a damaged file, panics included, into what is wrong."""
    try:
        yield
    except (Unreadable, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise Unreadable(f"cannot be read as a workbook: {first_line(error)}") from None


def _cut(lines: list[str], most: int = 5) -> list[str]:
    """Return the first lines, and how many more there are."""
    surplus = len(lines) - most
    return lines[:most] + ([f"and {surplus} more like these"] if surplus > 0 else [])


READERS: dict[str, Callable[[bytes, Sequence[str]], Columns]] = {
    ".json": _read_json,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".csv": _read_delimited,
    ".tsv": _read_tabbed,
    ".parquet": _read_parquet,
}
