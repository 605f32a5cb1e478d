"""Texts with their labels, from the columns of files to what training may see."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os.path import commonpath
from pathlib import Path
from typing import Any

from polysharp.config.checks import LONGEST_TEXT, CheckName
from polysharp.config.sources import Source, share_of
from polysharp.core.errors import UserError, nearest
from polysharp.core.terms import SPLITS, LabelType
from polysharp.data.formats import matching_columns
from polysharp.data.raw import decoding_error
from polysharp.data.readers import FileTable, read_file
from polysharp.data.similarity import normalised

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # in a text, which may have lines and tabs
_CONTROL_IN_LABEL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MISSING = "missing; the columns are"  # of a column, as polysharp.data.readers says it
_NAMED = "the columns 'text' and 'labels' of the sample sheet say how its columns are called"
_TRUTH = {"1": True, "0": False, "1.0": True, "0.0": False, "true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Example:
    """A text with its labels; without a split where that is still to be made.

    `name` is the file's inside the source, `path` the one to find it by, `row` the number in it; `key` is
    the same for texts that count as the same.
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
        """Compare the text as it is, once."""
        if not self.key:
            object.__setattr__(self, "key", normalised(self.text))

    def in_split(self, split: str) -> Example:
        """Return the example as one of a split."""
        return Example(self.name, self.path, self.row, self.text, self.labels, split, self.group, self.key)

    @property
    def id(self) -> str:
        """Name of the text in the results."""
        return f"{self.name}:{self.row}"

    @property
    def place(self) -> str:
        """Where a person finds the text."""
        return f"{self.path}, row {self.row}"


@dataclass(frozen=True)
class Problem:
    """Something in one row; `fatal`: the row cannot be used."""

    check: CheckName
    place: str
    text: str
    fatal: bool = True


class _Wrong(Exception):
    def __init__(self, check: CheckName, text: str) -> None:
        super().__init__(text)
        self.check, self.text = check, text


def read_examples(source: Source, label_type: LabelType) -> tuple[list[Example], list[Problem]]:
    """Return the texts of a source, in the order of its files, and what is wrong with single rows.

    Rows that cannot be used are among the problems, not among the examples.

    Raises
    ------
    UserError
        With a line for everything that is wrong with a whole file.
    """
    files = source.files()
    folder = Path(commonpath([file.parent for file in files]))
    examples: list[Example] = []
    problems: list[Problem] = []
    lines: list[str] = []
    values: dict[str, set[str]] = {"language": set(), "split": set()}
    for file, split in files.items():
        try:
            table = read_file(file, source.columns, source.sheet)
        except UserError as error:
            lines += error.lines
            continue
        name = str(file.relative_to(folder))
        for example in _rows(source, label_type, table, name, split, values):
            (examples if isinstance(example, Example) else problems).append(example)  # type: ignore[arg-type]
    if any(_MISSING in line for line in lines):
        lines.append(f"{source.path}: {_NAMED}")
    lines += _absent(source, values)
    if lines:
        raise UserError(*lines)
    return examples, problems


def _rows(
    source: Source,
    label_type: LabelType,
    table: FileTable,
    name: str,
    split: str | None,
    values: Mapping[str, set[str]],
) -> Iterator[Example | Problem]:
    """Yield every row of a table that is meant, as an example or as what is wrong with it."""
    texts = table.columns[source.text]
    columns = [c for label in source.labels for c in matching_columns(label, table.columns)]
    of_split = dict(zip(source.splits, SPLITS, strict=True))
    for index, row in enumerate(table.rows):
        place = f"{table.path}, row {row}"
        if source.language_column is not None:
            language = _plain(table.columns[source.language_column][index])
            values["language"].add(language)
            if language.casefold() != str(source.language_value).casefold():
                continue
        if source.split_column is not None:
            given = _plain(table.columns[source.split_column][index])
            values["split"].add(given)
            if given not in of_split:
                continue
            split = of_split[given]
        try:
            text = _check_text(texts[index])
            labels = _labels_of(source, label_type, columns, [table.columns[c][index] for c in columns])
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
        if not labels and source.delimiter is not None:
            yield Problem("unlabelled", place, "no label", fatal=False)
        group = None if source.group is None else _plain(table.columns[source.group][index])
        yield Example(name, str(table.path), row, text, labels, split, group or None)


def _absent(source: Source, values: Mapping[str, set[str]]) -> Iterator[str]:
    """Yield a line for a language or a split that no row of the files has."""
    if source.language_column is not None:
        wanted = str(source.language_value)
        if wanted.casefold() not in {value.casefold() for value in values["language"]}:
            yield _no_row(source.path, source.language_column, wanted, values["language"])
    if source.split_column is not None:
        for name in source.splits:
            if share_of(name) is None and name not in values["split"]:
                yield _no_row(source.path, source.split_column, name, values["split"])


def _no_row(path: str, column: str, wanted: str, found: set[str]) -> str:
    shown = ", ".join(repr(value) for value in sorted(found)[:20])
    return f"{path}: no row has {wanted!r} in column {column!r}; there are {shown}{nearest(wanted, found)}"


def _plain(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _check_text(text: Any) -> str:
    if not isinstance(text, str):
        raise _Wrong("text", f"text {text!r}: expected a string" if text is not None else "no text")
    if not text.strip():
        raise _Wrong("text", "the text is empty; expected at least one word")
    if wrong := decoding_error(text):
        raise _Wrong("encoding", wrong)
    return text


def _labels_of(
    source: Source, label_type: LabelType, columns: Sequence[str], given: Sequence[Any]
) -> tuple[str, ...]:
    """Return the labels of a text as sorted names; whole numbers count as names."""
    if len(source.labels) > 1 or columns != [*source.labels]:
        return _of_indicators(label_type, columns, given)
    (value,) = given
    if label_type == "single":
        if isinstance(value, list):
            text = f"labels {value!r}: expected one label, as label_type is 'single'; or say 'multi'"
            raise _Wrong("labels", text)
        return (_check_label(value),)
    if source.delimiter is not None and (value is None or isinstance(value, str)):
        value = [part for part in (value or "").split(source.delimiter) if part.strip()]
    elif isinstance(value, str):
        value = _list_in(value)
    if not isinstance(value, list):
        text = f"labels {value!r}: expected a list, as label_type is 'multi'; or say 'single'"
        raise _Wrong("labels", text)
    return tuple(sorted({_check_label(label) for label in value}))


def as_list(text: str) -> list[Any] | None:
    """Return the list that stands in a cell as JSON or, as pandas writes it, as Python does; else None."""
    stripped = text.strip()
    if stripped.startswith("["):
        for parse in (json.loads, ast.literal_eval):
            try:
                value = parse(stripped)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            if isinstance(value, list):
                return value
    return None


def _list_in(text: str) -> list[Any]:
    """Return the list that stands in a cell, or say what is wrong with it."""
    value = as_list(text)
    if value is not None:
        return value
    found = [sign for sign in ";|,/" if sign in text]
    hint = f"; or name the sign between the labels as delimiter ({found[0]!r})" if found else ""
    raise _Wrong(
        "labels",
        f"labels {text!r}: expected a list, as label_type is 'multi': ['a', 'b'], or [] for none; "
        f"or say 'single'{hint or ', or give the delimiter of the labels'}",
    )


def _of_indicators(label_type: LabelType, columns: Sequence[str], given: Sequence[Any]) -> tuple[str, ...]:
    """Return the labels whose columns hold 1."""
    holds = []
    for column, value in zip(columns, given, strict=True):
        truth = value if isinstance(value, bool) else _TRUTH.get(_plain(value).lower())
        if truth is None:
            raise _Wrong("labels", f"{value!r} in column {column!r}: expected 0 or 1")
        if truth:
            holds.append(_check_label(column))
    if label_type == "single" and len(holds) != 1:
        text = f"{len(holds)} labels ({', '.join(holds)})" if holds else "no label"
        raise _Wrong("labels", f"{text}: expected one, as label_type is 'single'; or say 'multi'")
    return tuple(sorted(holds))


def _check_label(label: Any) -> str:
    if label is None:
        raise _Wrong("labels", "no label; expected a string or a whole number")
    if isinstance(label, float) and label.is_integer():  # whole numbers in a column with gaps
        label = int(label)
    if isinstance(label, bool) or not isinstance(label, str | int):
        raise _Wrong("labels", f"label {label!r}: expected a string or a whole number")
    name = str(label).strip()
    if not name:
        raise _Wrong("labels", f"label {label!r}: expected a name, it is empty")
    if wrong := decoding_error(name):
        raise _Wrong("encoding", wrong)
    return name
