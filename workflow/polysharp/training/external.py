"""Read predictions from elsewhere, such as a language model's answers, as those of a method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polysharp.config.settings import OutsideSettings
from polysharp.config.slugs import slug
from polysharp.config.sources import split_meant
from polysharp.core.errors import UserError, list_some, nearest
from polysharp.core.labels import Indicators, Mask
from polysharp.core.terms import REPORTED, SPLITS
from polysharp.data.cells import as_list, without_decimals
from polysharp.data.prepared import PreparedData
from polysharp.data.readers import FileTable, read_file
from polysharp.training.answers import named_labels

KEYS, ANSWERS = ("id", "text"), {"labels": "predicted", "text": "answer"}
MAX_LINES = 10


@dataclass(frozen=True)
class Answers:
    """Predictions for the texts of one split, in their order.

    predicted
        (texts, labels); no label for an unmapped answer.
    unmapped
        (texts,): whether the answer is not mapped to labels. It counts as wrong, even for a text without any.
    """

    predicted: Indicators
    unmapped: Mask


def read_answers(
    path: Path, settings: OutsideSettings, data: PreparedData, task: str, language: str
) -> dict[str, Answers]:
    """Return the predictions that a table has for a data set, by split.

    The table has a row per text: ``id`` (as in predictions.parquet) or ``text``, and ``predicted``
    (labels) or ``answer`` (free text). If it has columns ``task``, ``language``, ``label_type`` or
    ``split``, only the rows of the data set are used; without ``split``, all are of the test split.

    Raises
    ------
    UserError
        With a line per problem: columns, labels, texts without a prediction.
    """
    table = read_file(path, ["*"])
    column = ANSWERS[settings.answers]
    key = next((name for name in KEYS if name in table.columns), None)
    there = f"missing; the columns are {list_some(list(table.columns))}"
    lines = [f"{path}: column 'id' or 'text': {there}"] if key is None else []
    if column not in table.columns:
        lines.append(f"{path}: column {column!r}: {there}")
    if key is None or lines:
        raise UserError(*lines)
    rows = _rows(table, {"task": task, "language": language, "label_type": data.label_type})
    if "split" in table.columns:
        counts = Counter(str(table.columns["split"][index]) for index in rows)
        lines += [
            f"{path}: split {name!r}, in {count} rows: expected one of {', '.join(SPLITS)}"
            f"{nearest(split_meant(name) or name, SPLITS)}"
            for name, count in counts.items()
            if name not in SPLITS
        ]
    found: dict[str, dict[str, int]] = {}
    for index in rows:
        split = str(table.columns["split"][index]) if "split" in table.columns else "test"
        name = str(table.columns[key][index]).strip()
        first = found.setdefault(split, {}).setdefault(name, index)
        if table.columns[column][first] != table.columns[column][index]:
            other = f"{name[:60]!r} has another answer in row {table.rows[first]}"
            lines.append(f"{path}, row {table.rows[index]}: {other}")
    if lines:
        raise UserError(*_cut(lines))
    if "test" not in found:
        dataset = f"{task}, {language}, {data.label_type}"
        raise UserError(f"{path}: no rows for the test texts of {dataset}; expected one per text")
    answers = {}
    for split in [split for split in REPORTED if split in found]:
        names = [name.strip() for name in data.split(split)[key]]
        absent = [name for name in names if name not in found[split]]
        if absent:
            lines.append(
                f"{path}: no prediction for {len(absent)} of {len(names)} {split} texts, such as "
                f"{absent[0][:60]!r}; expected one per text: methods are compared on the same texts"
            )
            continue
        answers[split], wrong = _mapped(
            table, column, [found[split][name] for name in names], data, settings.answers == "text"
        )
        lines += wrong
    if lines:
        raise UserError(*_cut(lines))
    return answers


def _cut(lines: Sequence[str]) -> list[str]:
    more = [f"and {len(lines) - MAX_LINES} more"] if len(lines) > MAX_LINES else []
    return [*lines[:MAX_LINES], *more]


def _rows(table: FileTable, wanted: Mapping[str, str]) -> list[int]:
    """Return the indices of the rows that belong to a data set."""
    there = {name: value for name, value in wanted.items() if name in table.columns}
    return [
        index
        for index in range(len(table.rows))
        if all(_as_slug(table.columns[name][index]) == value for name, value in there.items())
    ]


def _as_slug(value: Any) -> str:
    try:
        return slug(str(value))
    except ValueError:
        return ""


def _mapped(
    table: FileTable, column: str, rows: Sequence[int], data: PreparedData, free: bool
) -> tuple[Answers, list[str]]:
    """Return the predictions in these rows, and a line for every label that the data set does not have."""
    predicted, unmapped = np.zeros((len(rows), len(data.labels)), dtype=bool), np.zeros(len(rows), dtype=bool)
    lines = []
    index = {label: number for number, label in enumerate(data.labels)}
    for number, row in enumerate(rows):
        value = table.columns[column][row]
        labels = named_labels(_written(value), data.labels, data.label_type) if free else _labels(value)
        if labels is None:
            unmapped[number] = True
            continue
        for label in labels:
            if label in index:
                predicted[number, index[label]] = True
            else:
                lines.append(
                    f"{table.path}, row {table.rows[row]}: label {label!r}: not a label of the data set"
                    f"{nearest(label, data.labels)}"
                )
        if data.label_type == "single" and len(labels) > 1:
            lines.append(f"{table.path}, row {table.rows[row]}: {value!r}: expected one label")
    return Answers(predicted, unmapped), lines


def _labels(value: Any) -> list[str] | None:
    """Return the labels in a field of the table: one label, or a list in JSON or Python notation."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    labels = as_list(value) if isinstance(value, str) else value
    return [_written(label).strip() for label in (labels if isinstance(labels, list) else [value])]


def _written(value: Any) -> str:
    """Return a value as text; whole numbers have no decimals."""
    return "" if value is None else str(without_decimals(value))
