"""Double quotes in tables with separators: fields that they enclose, and rows that they would swallow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from polysharp.data.header import Columns, chosen_columns, cut
from polysharp.data.raw import Unreadable

MANY = 4  # lines in quotes, each with as many fields as a row, that are hardly one text; rows that tell


@dataclass(frozen=True)
class Reading:
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
        if not header and self.wrong:  # the header itself does not fit
            raise Unreadable(*self.wrong)
        chosen = chosen_columns(header, wanted, "row 1: ")
        if self.wrong:
            raise Unreadable(*cut(self.wrong))
        rows = [number for number, record in enumerate(self.records[1:], 2) if any(record)]
        indices = {name: header.index(name) for name in chosen}
        values = {name: [self.records[row - 1][i] for row in rows] for name, i in indices.items()}
        return Columns(values, rows, doubts)


@dataclass(frozen=True)
class Enclosed:
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

    def each_a_row(self, plain: Reading) -> bool:
        """Return whether every line of it has as many fields as a row."""
        lines = plain.records[self.first - 1 : self.last]
        return all(len(line) == len(plain.records[0]) for line in lines)

    def evidence(self, plain: Reading, known: Sequence[Counter[str]]) -> tuple[int, bool]:
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


def enclosed_fields(quoted: Reading, separator: str) -> Iterator[Enclosed]:
    """Yield the fields that hold the separator and a line break."""
    for index, record in enumerate(quoted.records):
        first = quoted.ends[index - 1] + 1 if index else 1
        if first == quoted.ends[index]:
            continue
        for column, field in enumerate(record):
            if separator in field and ("\n" in field or "\r" in field):
                yield Enclosed(index + 1, column, first, quoted.ends[index])
                break


def known_values(quoted: Reading, enclosed: Sequence[Enclosed]) -> list[Counter[str]]:
    """Return how often every value stands in each column, outside of the fields in question.

    A column whose values are all different, such as a number for every row, tells nothing; see _telling.
    """
    rows = [record for record in quoted.records[1:] if any(record)]
    known = [Counter(column) for column in zip(*rows, strict=True)]
    for found in enclosed:
        known[found.column][quoted.records[found.row - 1][found.column]] -= 1
    return _telling([+counts for counts in known])


def _telling(known: Sequence[Counter[str]]) -> list[Counter[str]]:
    """Return the counts of each column, none of a column whose values are all different."""
    return [Counter() if MANY <= counts.total() == len(counts) else counts for counts in known]


def uses_quotes(plain: Reading) -> bool:
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


def torn(plain: Reading) -> list[str]:
    """Return a line for each text in quotes that reading without quotes would tear into rows.

    Its first line begins a field with a quote, and the next line with a quote too many ends one. What stands
    beside the text, where other rows have their labels, no other row has.
    """
    lines = list(enumerate(plain.records, 1))
    odd = [(number, line) for number, line in lines if sum(field.count('"') for field in line) % 2]
    texts = [
        Enclosed(first, column, first, last)
        for (first, begun), (last, ended) in pairwise(odd)
        for column in range(len(plain.records[0]))
        if begun[column:] and begun[column].startswith('"') and ended[column:] and ended[column].endswith('"')
    ]
    inside = {number for text in texts for number in range(text.first, text.last + 1)}
    rows = [line for number, line in lines[1:] if number not in inside and any(line)]
    known = _telling([Counter(column) for column in zip(*rows, strict=True)])
    return [
        text.question()
        for text in texts
        if any(counts for column, counts in enumerate(known) if column != text.column)
        and not text.evidence(plain, known)[1]
    ]


def _is_enclosed(value: str) -> bool:
    return len(value) > 1 and value.endswith('"') and '"' not in value[1:-1].replace('""', "")


def begun(plain: Reading) -> list[tuple[int, str]]:
    """Return the rows with a field that begins with a quotation mark, which is read as a part of it."""
    return [
        (number, f"{field[:30]!r}: the quotation mark was read as a part of the text")
        for number, record in enumerate(plain.records[1:], 2)
        for field in record
        if field.startswith('"')
    ]
