"""Tables with separators, in which double quotes either enclose fields or are a part of the text."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from polysharp.data.header import Columns, chosen_columns, cut, matching_columns
from polysharp.data.raw import MAX_BYTES, Unreadable, decoded

HEADER = 1 << 16  # characters in which a header has to end
SEPARATORS = ",;\t|"  # that a CSV file may have; the one by which the columns are found is taken
SURE = 4  # from which evidence on lines inside of quotes are rows: see _Enclosed.evidence
MANY = 4  # lines in quotes, each with as many fields as a row, that are hardly one text; rows that tell
_LONE_RETURN = "\ud80d"  # for one that ends no line: half a character, which no file can have
_ADVICE = "a text that holds double quotes has them doubled, and stands in double quotes"


@dataclass(frozen=True)
class _Reading:
    """One way to read a file.

    `records` are all of them, the header first, and `ends` the number of the line on which each ends;
    `wrong` says what does not fit this way.
    """

    records: list[list[str]]
    ends: list[int]
    wrong: list[str]

    @property
    def header(self) -> list[str]:
        """Names of the columns."""
        return [name.strip() for name in self.records[0]] if self.records else []

    def columns(self, wanted: Sequence[str], doubts: Sequence[tuple[int, str]] = ()) -> Columns:
        """Return the wanted columns of the rows that are not empty."""
        header = self.header
        chosen = chosen_columns(header, wanted, "row 1: ")
        if self.wrong:
            raise Unreadable(*cut(self.wrong))
        rows = [number for number, record in enumerate(self.records[1:], 2) if any(record)]
        indices = {name: header.index(name) for name in chosen}
        values = {name: [self.records[row - 1][i] for row in rows] for name, i in indices.items()}
        return Columns(values, rows, doubts)


def read_delimited(content: bytes, wanted: Sequence[str], separators: str = SEPARATORS) -> Columns:
    """Return the wanted columns of a table, separated by the one of `separators` that finds them.

    Double quotes enclose fields, as every program writes them that makes such files. Where the file as a
    whole says that they are a part of its texts, as of quotations, they are read so: every line has as
    many fields as the header when quotes mean nothing, and either the quotes do not fit, or they would
    swallow rows.

    Raises
    ------
    Unreadable
        Where neither reading fits, or where it cannot be told which one is meant.
    """
    text = decoded(content)
    separator = max(separators, key=lambda one: _found(text, one, wanted))
    limit = csv.field_size_limit(MAX_BYTES)
    try:
        return _as_meant(text, separator, wanted)
    finally:
        csv.field_size_limit(limit)


def read_tabbed(content: bytes, wanted: Sequence[str]) -> Columns:
    """Return the wanted columns of a table separated by tabs; see :func:`read_delimited`."""
    return read_delimited(content, wanted, "\t")


def _found(text: str, separator: str, wanted: Sequence[str]) -> tuple[int, int]:
    """Return how many of the wanted columns a separator finds in the header, and how many columns."""
    try:
        header = next(csv.reader(StringIO(text[:HEADER], newline=""), delimiter=separator), [])
    except csv.Error:
        return 0, 0
    header = [name.strip().strip('"') for name in header]  # also after a space: "Text", "Labels"
    return sum(bool(matching_columns(want, header)) for want in wanted), len(header)


def _as_meant(text: str, separator: str, wanted: Sequence[str]) -> Columns:
    """Return the columns, with quotes that enclose fields or are a part of them."""
    end = re.search("\r?\n|\r", text)
    if end and end[0] != "\r":  # which ends no line then, and may stand there without quotes
        text = re.sub("\r(?!\n)", _LONE_RETURN, text)
    quoted = _parse(text, separator, skipinitialspace=False)
    if '"' not in text:
        return quoted.columns(wanted)
    if re.search(f'{re.escape(separator)} +"', text):
        quoted = _without_spaces(quoted, _parse(text, separator, skipinitialspace=True))
    enclosed = [] if quoted.wrong else list(_enclosed(quoted, separator))
    if not quoted.wrong and not enclosed:
        return quoted.columns(wanted)
    plain = _parse(text, separator, quoting=csv.QUOTE_NONE)
    fits = not plain.wrong and plain.header == quoted.header and len(plain.header) > 1
    if quoted.wrong:
        meant = plain if fits and not _uses_quotes(plain) else quoted
        return meant.columns(wanted, _begun(plain) if meant is plain else ())
    if plain.records[0] != quoted.records[0]:  # a writer that encloses the header encloses every text
        return quoted.columns(wanted)
    known = _known(quoted, enclosed)
    evidence = [found.evidence(plain, known) for found in enclosed]
    if fits and any(sure >= SURE for sure, _ in evidence):
        return plain.columns(wanted, _begun(plain))
    unclear, doubts = [], []
    for found, (sure, some) in zip(enclosed, evidence, strict=True):
        as_rows = found.each_a_row(plain)
        if some or sure or (fits and as_rows and found.lines >= MANY):
            unclear.append(found.question())
        elif as_rows:
            doubts.append((found.row, f"was read as one text, which fills the lines {found.span}"))
    if unclear:
        raise Unreadable(*cut(unclear))
    return quoted.columns(wanted, doubts)


def _parse(text: str, separator: str, **form: Any) -> _Reading:
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator, strict=True, **form)
    records: list[list[str]] = []
    ends: list[int] = []
    try:
        for record in reader:
            records.append([field.replace(_LONE_RETURN, "\r") for field in record])
            ends.append(reader.line_num)
    except csv.Error as error:
        return _Reading(records, ends, [f"row {len(records) + 1}: {error}; {_ADVICE}"])
    expected = len(records[0]) if records else 0
    wrong = [
        f"row {number}: {len(record)} fields; expected {expected}, as in the header "
        f"(a text that holds {separator!r} has to stand in double quotes)"
        for number, record in enumerate(records, 1)
        if len(record) != expected and any(record)
    ]
    return _Reading(records, ends, wrong)


def _without_spaces(as_it_is: _Reading, spaces_skipped: _Reading) -> _Reading:
    """Return the second reading where quotes behind a space enclose fields: ``"text", "economy"``."""
    if spaces_skipped.wrong or as_it_is.wrong:
        return as_it_is if spaces_skipped.wrong else spaces_skipped

    def bare(reading: _Reading) -> list[list[str]]:
        return [[field.lstrip(" ") for field in record] for record in reading.records]

    as_long = len(as_it_is.records) == len(spaces_skipped.records)
    return spaces_skipped if as_long and bare(as_it_is) != bare(spaces_skipped) else as_it_is


@dataclass(frozen=True)
class _Enclosed:
    """A field in quotes that holds the separator and a line break, as rows do that quotes swallowed.

    `row` is the number of its record, `column` its index in there; it fills the lines from `first` to
    `last`, which count from 1.
    """

    row: int
    column: int
    first: int
    last: int

    @property
    def lines(self) -> int:
        """How many lines it fills."""
        return self.last - self.first + 1

    @property
    def span(self) -> str:
        """Its lines, for a message."""
        return f"{self.first} to {self.last}"

    def each_a_row(self, plain: _Reading) -> bool:
        """Return whether every line of it has as many fields as a row."""
        lines = plain.records[self.first - 1 : self.last]
        return all(len(line) == len(plain.records[0]) for line in lines)

    def evidence(self, plain: _Reading, known: Sequence[Counter[str]]) -> tuple[int, bool]:
        """Return how much speaks for rows, and whether anything does.

        In a column beside the text, such as that of the labels, swallowed rows have values that other
        rows have too. What a line that is a part of a text has there is hardly one of them. The number is
        that of the swallowed values, times how often other rows have the rarest of them.
        """
        size = len(plain.records[0])
        lines = plain.records[self.first - 1 : self.last]
        sure, some = 0, False
        for column in range(size):
            if column == self.column:
                continue
            swallowed = lines[1:] if column < self.column else lines[:-1]
            counts = [
                known[column][line[column]] if len(line) == size and line[column].strip() else 0
                for line in swallowed
            ]
            some = some or any(counts)
            if self.each_a_row(plain):
                sure = max(sure, len(counts) * min(counts))
        return sure, some

    def question(self) -> str:
        """Say what cannot be told."""
        return (
            f"row {self.row}: the lines {self.span} are one text in double quotes, or {self.lines} rows of "
            f"which the first begins and the last ends with a quotation mark; if they are rows, enclose "
            f"every text with a quotation mark in double quotes and double those in it; if it is one text, "
            f"enclose every field of the file, also in the header (pandas: quoting=csv.QUOTE_ALL)"
        )


def _enclosed(quoted: _Reading, separator: str) -> Iterator[_Enclosed]:
    """Yield the fields that hold the separator and a line break."""
    for index, record in enumerate(quoted.records):
        first = quoted.ends[index - 1] + 1 if index else 1
        if first == quoted.ends[index]:
            continue
        for column, field in enumerate(record):
            if separator in field and ("\n" in field or "\r" in field):
                yield _Enclosed(index + 1, column, first, quoted.ends[index])
                break


def _known(quoted: _Reading, enclosed: Sequence[_Enclosed]) -> list[Counter[str]]:
    """Return how often every value stands in each column, outside of the fields in question.

    A column whose values are all different, such as a number for every row, tells nothing.
    """
    rows = [record for record in quoted.records[1:] if any(record)]
    known = [Counter(column) for column in zip(*rows, strict=True)]
    for found in enclosed:
        known[found.column][quoted.records[found.row - 1][found.column]] -= 1
    known = [+counts for counts in known]
    return [Counter() if MANY <= counts.total() == len(counts) else counts for counts in known]


def _uses_quotes(plain: _Reading) -> bool:
    """Return whether fields of a file are enclosed in quotes, though not as it has to be.

    Enclosed are quotes that are doubled, most values of a column, or one that stands there without
    quotes as well: so look labels of which one quote was lost.
    """
    for column in zip(*(record for record in plain.records[1:] if any(record)), strict=True):
        values = set(column)
        begun = [value for value in column if value.startswith('"')]
        enclosed = [value for value in begun if _is_enclosed(value)]
        if any('""' in value[1:-1] for value in enclosed):
            return True
        if 2 * len(enclosed) > sum(map(bool, column)) or any(value.strip('"') in values for value in begun):
            return True
    return False


def _is_enclosed(value: str) -> bool:
    return len(value) > 1 and value.endswith('"') and '"' not in value[1:-1].replace('""', "")


def _begun(plain: _Reading) -> list[tuple[int, str]]:
    """Return the rows with a field that begins with a quotation mark, which is read as a part of it."""
    return [
        (number, f"{field[:30]!r}: the quotation mark was read as a part of the text")
        for number, record in enumerate(plain.records[1:], 2)
        for field in record
        if field.startswith('"')
    ]
