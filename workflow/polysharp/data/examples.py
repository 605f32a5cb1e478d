"""Texts with their labels, read from the columns of files and checked row by row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from os.path import commonpath
from pathlib import Path
from typing import Any

from polysharp.config.checks import LONGEST_TEXT, CheckName
from polysharp.config.sources import Source
from polysharp.core.errors import UserError
from polysharp.core.terms import LabelType
from polysharp.data.cells import (
    as_group,
    as_list,
    as_text,
    is_blank,
    looks_like_list,
    looks_missing,
    trimmed,
    without_decimals,
)
from polysharp.data.header import matching_columns
from polysharp.data.raw import decoding_error
from polysharp.data.readers import FileTable, read_file
from polysharp.data.similarity import normalised
from polysharp.data.taken import Taken

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # in a text; line breaks and tabs are allowed
_CONTROL_IN_LABEL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MISSING = "missing; the columns are"  # of a column, as in the message of polysharp.data.header
_NAMED = "in the sample sheet, set 'text' and 'labels' to the column names of this file"
_TRUTH = {"1": True, "0": False, "1.0": True, "0.0": False, "true": True, "false": False, "": False}


@dataclass(frozen=True, slots=True)
class Example:
    """A text with its labels; `split` is None until splits are drawn.

    `name` is the name of the file inside the source, `path` its path, and `row` the number in it; `key`
    is equal for texts that count as the same.
    """

    name: str
    path: str
    row: int
    text: str
    labels: tuple[str, ...]
    split: str | None = None
    group: str | None = None
    key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Normalise the text for comparison, once."""
        if not self.key:
            object.__setattr__(self, "key", normalised(self.text))

    def in_split(self, split: str) -> Example:
        """Return the example with another split."""
        return Example(self.name, self.path, self.row, self.text, self.labels, split, self.group, self.key)

    @property
    def id(self) -> str:
        """The id of the text in the results."""
        return f"{self.name}:{self.row}"

    @property
    def place(self) -> str:
        """The file and row of the text, for messages."""
        return f"{self.path}, row {self.row}"


@dataclass(frozen=True)
class Problem:
    """A problem in one row; if `fatal`, the row cannot be used."""

    check: CheckName
    place: str
    text: str
    fatal: bool = True


class _Wrong(Exception):
    def __init__(self, check: CheckName, text: str) -> None:
        super().__init__(text)
        self.check, self.text = check, text


def read_examples(source: Source, label_type: LabelType) -> tuple[list[Example], list[Problem]]:
    """Return the texts of a source, in the order of its files, and the problems in single rows.

    Rows that cannot be used are among the problems only.

    Raises
    ------
    UserError
        With a line for each problem of a whole file.
    """
    files = source.files()
    folder = Path(commonpath([file.parent for file in files]))
    examples: list[Example] = []
    problems: list[Problem] = []
    lines: list[str] = []
    taken = Taken(source)
    for file, split in files.items():
        try:
            table = read_file(file, source.columns, source.sheet)
        except UserError as error:
            lines += error.lines
            continue
        name = str(file.relative_to(folder))
        problems += [Problem("quotes", f"{file}, row {row}", text, fatal=False) for row, text in table.doubts]
        for example in _rows(taken, label_type, table, name, split):
            (examples if isinstance(example, Example) else problems).append(example)  # type: ignore[arg-type]
    if any(_MISSING in line for line in lines):
        lines.append(f"{source.path}: {_NAMED}")
    lines += taken.absent()
    if lines:
        raise UserError(*lines)
    problems += [Problem(*left_out, fatal=False) for left_out in taken.left_out()]
    return examples, problems


def _rows(
    taken: Taken, label_type: LabelType, table: FileTable, name: str, of_file: str | None
) -> Iterator[Example | Problem]:
    """Yield the rows of a table that belong to the source, as examples and problems."""
    source = taken.source
    texts = table.columns[source.text]
    columns = [c for label in source.labels for c in matching_columns(label, table.columns)]
    indicators = len(source.labels) > 1 or columns != [*source.labels]
    values = {c: table.columns[c] if indicators else _without_truth(table.columns[c]) for c in columns}
    for index, row in enumerate(table.rows):
        place = f"{table.path}, row {row}"
        is_meant, split = taken.split_of(table, index, of_file)
        if not is_meant:
            continue
        given = [values[c][index] for c in columns]
        try:
            text = _check_text(texts[index])
            if indicators:
                labels = _of_indicators(label_type, columns, given)
            else:
                labels = _labels_of(source, label_type, given[0])
        except _Wrong as wrong:
            yield Problem(wrong.check, place, wrong.text)
            continue
        match = _CONTROL.search(text)
        for label in labels:
            match = match or _CONTROL_IN_LABEL.search(label)
        if match:
            at = match.string[max(0, match.start() - 10) : match.start() + 10]
            yield Problem("control_characters", place, f"U+{ord(match[0]):04X} in {at!r}", fatal=False)
        if len(text) > LONGEST_TEXT:
            yield Problem("size", place, f"a text of {len(text):,} characters", fatal=False)
        if looks_missing(text):
            yield Problem("missing_text", place, f"text {text!r}", fatal=False)
        for check, told in _doubts(source, labels, columns, given, indicators):
            yield Problem(check, place, told, fatal=False)
        group = None if source.group is None else as_group(table.columns[source.group][index])
        if group and looks_missing(group):
            told = f"{group!r} in column {source.group!r}, which counts as no group"
            yield Problem("missing_group", place, told, fatal=False)
            group = None
        yield Example(name, str(table.path), row, text, labels, split, group or None)


def _without_truth(values: list[Any]) -> list[Any]:
    """Return a column that holds only booleans as names; a boolean among other labels is an error."""
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        return [value if value is None else str(value) for value in values]
    return values


def _doubts(
    source: Source, labels: Sequence[str], columns: Sequence[str], given: Sequence[Any], indicators: bool
) -> Iterator[tuple[CheckName, str]]:
    """Yield warnings about the labels of a text that can be used."""
    if indicators:
        blank = [column for column, value in zip(columns, given, strict=True) if not as_text(value)]
        if blank and len(blank) < len(columns):
            names = ", ".join(repr(column) for column in blank)
            yield "blank_indicator", f"{names} empty, which counts as 0"
        if len(blank) == len(columns):
            yield "unlabelled", "no label"
        return
    if not labels and source.delimiter is not None:
        yield "unlabelled", "no label"
    for label in labels:
        if looks_missing(label):
            yield "missing_label", f"label {label!r}"


def _check_text(text: Any) -> str:
    if not isinstance(text, str):
        raise _Wrong("text", f"text {text!r}: expected a string" if text is not None else "no text")
    if is_blank(text):
        raise _Wrong("text", "the text is empty; expected at least one word")
    if wrong := decoding_error(text):
        raise _Wrong("encoding", wrong)
    return text


def _labels_of(source: Source, label_type: LabelType, value: Any) -> tuple[str, ...]:
    """Return the labels of a text as sorted names; whole numbers are names too."""
    if label_type == "single":
        if isinstance(value, list) or (isinstance(value, str) and looks_like_list(value)):
            text = f"labels {value!r}: expected one label, as label_type is 'single'; or use 'multi'"
            raise _Wrong("labels", text)
        return (_check_label(value),)
    if source.delimiter is not None and (value is None or isinstance(value, str)):
        value = _split(value or "", source.delimiter)
    elif isinstance(value, str):
        value = _list_in(value)
    if not isinstance(value, list):
        text = f"labels {value!r}: expected a list, as label_type is 'multi'; or use 'single'"
        raise _Wrong("labels", text)
    names = {_check_label(label) for label in value}
    if len(names) < len(value) and names <= {"0", "1"}:
        text = "expected names; for lists of 0 and 1, use one column per label"
        raise _Wrong("labels", f"labels {value!r}: {text}")
    return tuple(sorted(names))


def _split(text: str, delimiter: str) -> list[Any]:
    """Return the labels between delimiters, or those of a list, which is read as well."""
    value = as_list(text)
    if value is None and looks_like_list(text):
        told = f"a list that cannot be read; expected names separated by {delimiter!r}, or ['a', 'b']"
        raise _Wrong("labels", f"labels {text!r}: {told}")
    return [part for part in text.split(delimiter) if trimmed(part)] if value is None else value


def _list_in(text: str) -> list[Any]:
    """Return the list that is written in a cell; raise an error that explains what is wrong."""
    value = as_list(text)
    if value is not None:
        return value
    found = [sign for sign in ";|,/" if sign in text]
    hint = f"; or set delimiter to the separator of the labels ({found[0]!r})" if found else ""
    raise _Wrong(
        "labels",
        f"labels {text!r}: expected a list, as label_type is 'multi': ['a', 'b'], or [] for none; "
        f"or use 'single'{hint or ', or set delimiter to the separator of the labels'}",
    )


def _of_indicators(label_type: LabelType, columns: Sequence[str], given: Sequence[Any]) -> tuple[str, ...]:
    """Return the labels whose columns are 1."""
    holds = []
    for column, value in zip(columns, given, strict=True):
        truth = value if isinstance(value, bool) else _TRUTH.get(as_text(value).lower())
        if truth is None:
            raise _Wrong("labels", f"{value!r} in column {column!r}: expected 0 or 1")
        if truth:
            holds.append(_check_label(column))
    if label_type == "single" and len(holds) != 1:
        text = f"{len(holds)} labels ({', '.join(holds)})" if holds else "no label"
        raise _Wrong("labels", f"{text}: expected one, as label_type is 'single'; or use 'multi'")
    return tuple(sorted(holds))


def _check_label(label: Any) -> str:
    if label is None:
        raise _Wrong("labels", "the label is missing; expected a string or a whole number")
    label = without_decimals(label)
    if isinstance(label, bool) or not isinstance(label, str | int):
        raise _Wrong("labels", f"label {label!r}: expected a string or a whole number")
    name = trimmed(str(label))
    if not name:
        raise _Wrong("labels", f"label {label!r}: empty; expected a name")
    if wrong := decoding_error(name):
        raise _Wrong("encoding", wrong)
    return name
