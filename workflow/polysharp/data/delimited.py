"""Tables with separators, in which double quotes either enclose fields or are a part of the text."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from io import StringIO
from typing import Any

from polysharp.data.header import Columns, cut, matching_columns
from polysharp.data.quotes import MANY, Reading, begun, enclosed_fields, known_values, torn, uses_quotes
from polysharp.data.raw import MAX_BYTES, Unreadable, decoded

HEADER = 1 << 16  # characters in which a header has to end
SEPARATORS = ",;\t|"  # that a CSV file may have; the one by which the columns are found is taken
SURE = 4  # from which evidence on lines inside of quotes are rows: see Enclosed.evidence
_LONE_RETURN = "\ud80d"  # for one that ends no line: half a character, which no file can have
_ADVICE = "a field in double quotes ends with one, and those inside are doubled; or remove the quote"


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
    if plain.records[0] != quoted.records[0]:  # a writer that encloses the header encloses every text
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
            doubts.append((found.row, f"was read as one text, which fills the lines {found.span}"))
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
            advice = f"expected names of columns with {separator!r} between them"
        return Reading(records, ends, [f"row {len(records) + 1}: {error}; {advice}"])
    expected = len(records[0]) if records else 0
    rows = [record for record in records[1:] if any(record)]
    if rows and all(len(record) == expected + 1 and record[0].isdigit() for record in rows):
        told = (
            f"row 1: {expected} fields, and one more in every row; expected as many, with a name for each "
            "column (R writes the names of rows so; write row.names = FALSE, or col.names = NA)"
        )
        return Reading(records, ends, [told])
    wrong = [
        f"row {number}: {len(record)} fields; expected {expected}, as in the header "
        f"(a text that holds {separator!r} has to stand in double quotes)"
        for number, record in enumerate(records, 1)
        if len(record) != expected and any(record)
    ]
    return Reading(records, ends, wrong)


def _without_spaces(as_it_is: Reading, spaces_skipped: Reading) -> Reading:
    """Return the second reading where quotes behind a space enclose fields: ``"text", "economy"``."""
    if spaces_skipped.wrong or as_it_is.wrong:
        return as_it_is if spaces_skipped.wrong else spaces_skipped

    def bare(reading: Reading) -> list[list[str]]:
        return [[field.lstrip(" ") for field in record] for record in reading.records]

    as_long = len(as_it_is.records) == len(spaces_skipped.records)
    return spaces_skipped if as_long and bare(as_it_is) != bare(spaces_skipped) else as_it_is
