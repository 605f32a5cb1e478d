"""Files of texts and labels, whatever their format, read into columns with the number of every row."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from io import BytesIO, StringIO
from pathlib import Path
from typing import IO, Any

import polars as pl

from polysharp.config.sources import WORKBOOKS, format_of
from polysharp.core.errors import UserError, first_line, nearest, some_of

_PLACE = re.compile(r"(row|line) \d")
MAX_BYTES = 2 << 30  # of a file, unpacked: what is larger is no collection of labelled texts
HEADER = 1 << 16  # characters in which a header has to end
SEPARATORS = ",;\t|"  # that a CSV file may have; the one by which the columns are found is taken
Columns = tuple[dict[str, list[Any]], list[int]]  # of one length, by name; the numbers of the rows


@dataclass(frozen=True)
class Table:
    """The columns that were asked for, of one file, all of one length.

    `rows` are the numbers by which a person finds the rows: as a spreadsheet counts them (the header is
    row 1), in JSON Lines the line, in JSON and Parquet from 1.
    """

    path: Path
    columns: dict[str, list[Any]]
    rows: list[int]


class _Unreadable(Exception):
    """What is wrong with a file, without its name; each line may begin with a place in it."""

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)
        self.lines = lines


def read_table(path: Path, wanted: Sequence[str], sheet: str | None = None) -> Table:
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
        content = _unpacked(path)
        if ending in WORKBOOKS:
            columns, rows = _read_workbook(content, wanted, sheet)
        else:
            columns, rows = READERS[ending](content, wanted)
        if not rows:
            raise _Unreadable("no texts; expected at least one")
        return Table(path, columns, rows)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    except _Unreadable as error:
        raise UserError(
            *(f"{path}{', ' if _PLACE.match(line) else ': '}{line}" for line in error.lines)
        ) from None


# --- Bytes ----------------------------------------------------------------------------------------


def _open_zip(path: Path) -> IO[bytes]:
    archive = zipfile.ZipFile(path)
    names = [
        name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")
    ]
    if len(names) != 1:
        raise _Unreadable(f"packs {len(names)} files; expected one")
    return archive.open(names[0])


OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zip": _open_zip,
}


def _unpacked(path: Path) -> bytes:
    opener = OPENERS.get(path.suffix.lower(), lambda path: path.open("rb"))
    try:
        with opener(path) as stream:
            content = stream.read(MAX_BYTES + 1)
    except (
        OSError,
        EOFError,
        RuntimeError,
        NotImplementedError,
        zipfile.BadZipFile,
        lzma.LZMAError,
        zlib.error,
    ) as error:
        raise _Unreadable(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_BYTES:
        raise _Unreadable(f"more than {MAX_BYTES >> 30} GB; expected a collection of labelled texts")
    return content


def _text(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _Unreadable("is UTF-16; save the file as UTF-8")
    return content.decode("utf-8-sig", errors="surrogateescape")


def undecodable(value: str) -> str | None:
    """Return what to say of a text that was not UTF-8, or None where it was."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        wrong = ord(value[error.start])
        if not 0xDC80 <= wrong <= 0xDCFF:
            return f"half a character (U+{wrong:04X}); expected Unicode text"
        around = value[max(0, error.start - 12) : error.start + 12]
        shown = around.encode("utf-8", errors="surrogateescape").decode(errors="replace")
        return (
            f"byte 0x{wrong - 0xDC00:02X} is not UTF-8, in {shown!r}; save the file as UTF-8 "
            "(from Excel: as 'CSV UTF-8')"
        )
    return None


# --- Columns --------------------------------------------------------------------------------------


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
        raise _Unreadable(*lines)
    return [name for name in header if name in found]


def _quoted(names: Sequence[str]) -> str:
    return some_of([repr(name) for name in names])


# --- Formats --------------------------------------------------------------------------------------


def _read_delimited(content: bytes, wanted: Sequence[str], separators: str = SEPARATORS) -> Columns:
    text = _text(content)
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
        raise _Unreadable(f"row {number + 1}: {error}; {text}") from None
    finally:
        csv.field_size_limit(limit)
    if wrong:
        raise _Unreadable(*_cut(wrong))
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


def _read_workbook(content: bytes, wanted: Sequence[str], sheet: str | None = None) -> Columns:
    import fastexcel

    with _of_rust():
        workbook = fastexcel.read_excel(content)
        names = workbook.sheet_names
        if sheet is None and len(names) > 1:
            raise _Unreadable(f"has the sheets {_quoted(names)}; say which after a '#', as in '#{names[0]}'")
        if sheet is not None and sheet not in names:
            raise _Unreadable(f"no sheet {sheet!r}; it has {_quoted(names)}{nearest(sheet, names)}")
        # Everything as text, as it is shown: a column's type would be guessed from its first values.
        cells = workbook.load_sheet(sheet or 0, header_row=None, skip_rows=0, dtypes="string").to_polars()
    if not len(cells):
        raise _Unreadable("an empty sheet; expected a header and texts")
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
        raise _Unreadable(f"cannot be read as Parquet: {first_line(error)}") from None
    return columns, list(range(1, len(table) + 1))


def _read_json(content: bytes, wanted: Sequence[str]) -> Columns:
    document = _parsed(_text(content))
    if isinstance(document, list):
        return _of_records(document, wanted, list(range(1, len(document) + 1)), "row")
    if not isinstance(document, dict):
        raise _Unreadable(f"a JSON {type(document).__name__}; expected {_form(wanted)}")
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
        raise _Unreadable(*lines)
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{length} in {name!r}" for name, length in lengths.items())
        raise _Unreadable(f"{counts}; expected as many values in each")
    return columns, list(range(1, max(lengths.values()) + 1))


def _read_json_lines(content: bytes, wanted: Sequence[str]) -> Columns:
    records, rows, wrong = [], [], []
    for number, line in enumerate(_text(content).split("\n"), 1):
        if line.strip():
            try:
                records.append(_parsed(line))
                rows.append(number)
            except _Unreadable as error:
                wrong.append(f"line {number}, {error.lines[0].removeprefix('line 1, ')}")
    if wrong:
        raise _Unreadable(*_cut(wrong))
    return _of_records(records, wanted, rows, "line")


def _of_records(records: list[Any], wanted: Sequence[str], rows: list[int], unit: str) -> Columns:
    wrong = [
        f"{unit} {row}: a JSON {type(record).__name__}; expected an object"
        for record, row in zip(records, rows, strict=True)
        if not isinstance(record, dict)
    ]
    if wrong:
        raise _Unreadable(*_cut(wrong))
    header = list(dict.fromkeys(name for record in records for name in record))
    chosen = _chosen(header, wanted) if records else []
    return {name: [record.get(name) for record in records] for name in chosen}, rows


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise _Unreadable(f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise _Unreadable("JSON that is nested too deep; expected texts and labels") from None
    except ValueError as error:  # a number of thousands of digits
        raise _Unreadable(f"not JSON that can be read: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Unreadable(f"key {twice!r}: stands there {names.count(twice)} times; expected once")
    return result


def _form(wanted: Sequence[str]) -> str:
    return "{" + ", ".join(f'"{name}": [...]' for name in wanted) + "}"


@contextmanager
def _of_rust() -> Iterator[None]:
    """Turn what a library in Rust raises over a damaged file, panics included, into what is wrong."""
    try:
        yield
    except (_Unreadable, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise _Unreadable(f"cannot be read as a workbook: {first_line(error)}") from None


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
