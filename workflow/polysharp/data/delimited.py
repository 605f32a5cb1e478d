"""CSV and TSV files, in which double quotes either enclose fields or are part of the text."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from io import StringIO
from typing import Any

from polysharp.data.header import Columns, cut, matching_columns
from polysharp.data.quotes import MANY, Reading, begun, enclosed_fields, known_values, torn, uses_quotes
from polysharp.data.raw import MAX_BYTES, Unreadable, decoded

HEADER = 1 << 16  # characters within which a header must end
SEPARATORS = ",;\t|"  # of a CSV file; the one that finds the wanted columns is used
SURE = 4  # evidence from which lines inside quotes count as rows: see Enclosed.evidence
_LONE_RETURN = "\ud80d"  # for a return that does not end a line; a lone surrogate, which no file can hold
_ADVICE = "end the field with a double quote and double those inside it, or remove the quote"


def read_delimited(content: bytes, wanted: Sequence[str], separators: str = SEPARATORS) -> Columns:
    """Return the wanted columns of a table, using the separator that finds them in the header.

    Double quotes enclose fields, as programs write them. They are read as part of the texts if the whole
    file shows it: without enclosing quotes, every line has as many fields as the header, and with them,
    quotes do not match or would swallow rows.

    Raises
    ------
    Unreadable
        When neither reading fits, or it cannot be decided which one is right.
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
    """Return how many wanted columns a separator finds in the header, and how many columns in all."""
    try:
        header = next(csv.reader(StringIO(text[:HEADER], newline=""), delimiter=separator), [])
    except csv.Error:
        return 0, 0
    header = [name.strip().strip('"') for name in header]  # also after a space: "Text", "Labels"
    return sum(bool(matching_columns(want, header)) for want in wanted), len(header)


def _as_meant(text: str, separator: str, wanted: Sequence[str]) -> Columns:
    """Return the columns, with quotes that enclose fields or are part of them."""
    end = re.search("\r?\n|\r", text)
    if end and end[0] != "\r":  # then a lone return does not end a line, and needs no quotes
        text = re.sub("\r(?!\n)", _LONE_RETURN, text)
    quoted = _parse(text, separator, skipinitialspace=False)
    if '"' not in text:
        return quoted.columns(wanted)
    if re.search(f'{re.escape(separator)} +"', text):
        quoted = _without_spaces(quoted, _parse(text, separator, skipinitialspace=True))
    enclosed = [] if quoted.wrong else list(enclosed_fields(quoted, separator))
    if not quoted.wrong and not enclosed:
        return quoted.columns(wanted)
    plain = _parse(text, separator, quoting=csv.QUOTE_NONE)
    fits = not plain.wrong and plain.header == quoted.header and len(plain.header) > 1
    if quoted.wrong:
        if not fits or uses_quotes(plain):
            return quoted.columns(wanted)
        if lines := torn(plain):
            raise Unreadable(*cut([*quoted.wrong, *lines]))
        return plain.columns(wanted, begun(plain))
    if plain.records[0] != quoted.records[0]:  # a program that quotes the header quotes every text
        return quoted.columns(wanted)
    known = known_values(quoted, enclosed)
    evidence = [found.evidence(plain, known) for found in enclosed]
    if fits and any(sure >= SURE for sure, _ in evidence):
        return plain.columns(wanted, begun(plain))
    unclear, doubts = [], []
    for found, (sure, some) in zip(enclosed, evidence, strict=True):
        as_rows = found.each_a_row(plain)
        if some or sure or (fits and as_rows and found.lines >= MANY):
            unclear.append(found.question())
        elif as_rows:
            doubts.append((found.row, f"was read as one text, on lines {found.span}"))
    if unclear:
        raise Unreadable(*cut(unclear))
    return quoted.columns(wanted, doubts)


def _parse(text: str, separator: str, **form: Any) -> Reading:
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator, strict=True, **form)
    records: list[list[str]] = []
    ends: list[int] = []
    try:
        for record in reader:
            records.append([field.replace(_LONE_RETURN, "\r") for field in record])
            ends.append(reader.line_num)
    except csv.Error as error:
        advice = f"{_ADVICE} (R: qmethod = 'double')" if '\\"' in text else _ADVICE
        if not records:
            advice = f"expected column names separated by {separator!r}"
        return Reading(records, ends, [f"row {len(records) + 1}: {error}; {advice}"])
    expected = len(records[0]) if records else 0
    rows = [record for record in records[1:] if any(record)]
    if rows and all(len(record) == expected + 1 and record[0].isdigit() for record in rows):
        told = (
            f"row 1: {expected} fields, but one more in every row; expected a name for each column "
            "(R writes row names like this; use row.names = FALSE, or col.names = NA)"
        )
        return Reading(records, ends, [told])
    wrong = [
        f"row {number}: {len(record)} fields; expected {expected}, as in the header "
        f"(a text that contains {separator!r} needs double quotes)"
        for number, record in enumerate(records, 1)
        if len(record) != expected and any(record)
    ]
    return Reading(records, ends, wrong)


def _without_spaces(as_it_is: Reading, spaces_skipped: Reading) -> Reading:
    """Return the second reading if quotes after a space enclose fields: ``"text", "economy"``."""
    if spaces_skipped.wrong or as_it_is.wrong:
        return as_it_is if spaces_skipped.wrong else spaces_skipped

    def bare(reading: Reading) -> list[list[str]]:
        return [[field.lstrip(" ") for field in record] for record in reading.records]

    as_long = len(as_it_is.records) == len(spaces_skipped.records)
    return spaces_skipped if as_long and bare(as_it_is) != bare(spaces_skipped) else as_it_is
