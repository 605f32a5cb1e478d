"""Double quotes in CSV and TSV files: fields that they enclose, and rows that they would swallow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from polysharp.data.header import Columns, chosen_columns, cut
from polysharp.data.raw import Unreadable

MANY = 4  # so many lines in quotes, each with as many fields as a row, are hardly one text


@dataclass(frozen=True)
class Reading:
    """One way to read a file.

    `records` are all rows, the header first, and `ends` the number of the line on which each ends;
    `wrong` are messages about what does not fit this reading.
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
    """A field in quotes with the separator and a line break, like rows that were swallowed by quotes.

    `row` is the number of its record, and `column` its index there; it spans the lines from `first` to
    `last`, counted from 1.
    """

    row: int
    column: int
    first: int
    last: int

    @property
    def lines(self) -> int:
        """The number of lines that it spans."""
        return self.last - self.first + 1

    @property
    def span(self) -> str:
        """Its lines, for a message."""
        return f"{self.first} to {self.last}"

    def each_a_row(self, plain: Reading) -> bool:
        """Return whether each of its lines has as many fields as a row."""
        lines = plain.records[self.first - 1 : self.last]
        return all(len(line) == len(plain.records[0]) for line in lines)

    def evidence(self, plain: Reading, known: Sequence[Counter[str]]) -> tuple[int, bool]:
        """Return how strongly its lines look like rows, and whether they do at all.

        In columns other than the text, such as the labels, swallowed rows have the same values as other
        rows; lines that are part of a text hardly do. The number is that of the swallowed values, times
        the frequency in other rows of the rarest of them.
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
        """Return the message that asks which reading is right."""
        return (
            f"row {self.row}: lines {self.span} are one text in double quotes, or {self.lines} rows of which "
            f"the first begins and the last ends with a quotation mark; if they are rows, enclose every text "
            f"that has a quotation mark in double quotes, and double the marks in it; if they are one text, "
            f"enclose every field of the file, also in the header (pandas: quoting=csv.QUOTE_ALL)"
        )


def enclosed_fields(quoted: Reading, separator: str) -> Iterator[Enclosed]:
    """Yield the fields that contain the separator and a line break."""
    for index, record in enumerate(quoted.records):
        first = quoted.ends[index - 1] + 1 if index else 1
        if first == quoted.ends[index]:
            continue
        for column, field in enumerate(record):
            if separator in field and ("\n" in field or "\r" in field):
                yield Enclosed(index + 1, column, first, quoted.ends[index])
                break


def known_values(quoted: Reading, enclosed: Sequence[Enclosed]) -> list[Counter[str]]:
    """Return how often every value occurs in each column, outside the fields in question.

    A column whose values are all different, such as row numbers, is no evidence; see _telling.
    """
    rows = [record for record in quoted.records[1:] if any(record)]
    known = [Counter(column) for column in zip(*rows, strict=True)]
    for found in enclosed:
        known[found.column][quoted.records[found.row - 1][found.column]] -= 1
    return _telling([+counts for counts in known])


def _telling(known: Sequence[Counter[str]]) -> list[Counter[str]]:
    """Return the counts of each column, but none for columns whose values are all different."""
    return [Counter() if MANY <= counts.total() == len(counts) else counts for counts in known]


def uses_quotes(plain: Reading) -> bool:
    """Return whether fields of a file are enclosed in quotes, but incorrectly.

    Signs of this are doubled quotes, a column with quotes around most values, or a value that also occurs
    without quotes, such as a label that has lost a quote.
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
    """Return a message for each text in quotes that a reading without quotes would split into rows.

    Its first line begins a field with a quote, and the next line with an odd number of quotes ends one.
    No other row has the values that are next to the text, where other rows have their labels.
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
    """Return the rows with a field that begins with a quotation mark, which is read as part of it."""
    return [
        (number, f"{field[:30]!r}: the quotation mark was read as part of the text")
        for number, record in enumerate(plain.records[1:], 2)
        for field in record
        if field.startswith('"')
    ]
