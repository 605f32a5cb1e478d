"""Tables of random texts and labels, as programs write them: each comes back as it was, or with an error.

    python -m tests.written --number 20000

The error names file and row. Every table is decided by its number, so that one that fails can be looked at:
``--first 4711 --number 1``.
"""

from __future__ import annotations

import csv
import gzip
import random
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import xlsxwriter

from polysharp.config.sources import Source
from polysharp.core.errors import UserError
from polysharp.data.examples import read_examples
from tests import fuzz

PIECES = [
    *('"', '"', '""', "'", ",", ";", "\t", "|", "\n", "\r\n", "\r", "\u2028", "\x85", "\v", " ", "  ", "\\"),
    *("\u200b", "\u200d", "\ufeff", "\u202e", "\u2066", "\u00ad", "\u00a0", "\u3000", "e\u0301", "❤️", "👩‍🔬"),
    *(
        "שלום",
        "مرحبا",
        "می‌خواهم",
        "学校",
        "हिन्दी",
        "nan",
        "NA",
        "null",
        "None",
        "#N/A",
        "",
        "-",
        "=1+1",
        "@x",
    ),
    *(
        "left",
        "right",
        "not hate",
        "Text",
        "Labels",
        "[",
        "]",
        "['a' 'b']",
        '["a"]',
        "{",
        "}",
        "0",
        "1",
        "1.0",
    ),
    *("_x0041_", "<b>", "&amp;", "http://a.b", "the cat", "we shall", "never", "a", "b", "x", "I", "\u2800"),
]
NAMES = [
    *(
        "left",
        "right",
        "not hate",
        "economy",
        "health, care",
        'so "called"',
        "nan",
        "None",
        "N/A",
        "null",
        "1",
    ),
    *(
        "0",
        "10",
        "-1",
        "1.0",
        "True",
        "a;b",
        "it's",
        "left\u200b",
        " right",
        "学校",
        "می‌خواهم",
        "❤️",
        "b|c",
        "=x",
    ),
    *("['a']", "[other]", "a\tb", "two\nlines", "\u202eleft", '"quoted"', "á", "#N/A", "x" * 40),
]
# What stands at the edges of a label and is not a part of it. Written here once more, not imported.
EDGES = " \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\u00a0\u2028\u2029\u3000\u200b\u200d\ufeff\u202e\u2066\u00ad"
UNSEEN = re.compile("[\\s\u200b\u200d\ufeff\u202e\u2066\u00ad\u2800]*")
ASKED = re.compile(r", row \d+: lines \d+ to \d+ are one text in double quotes, or \d+ rows of which ")


@dataclass
class Table:
    """Texts and labels, and how they are written: names of the labels, or lists of them with `multi`."""

    multi: bool
    texts: list[str] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)
    more: dict[str, list[Any]] = field(default_factory=dict)

    def columns(
        self, draw: random.Random, cell: Callable[[Any], Any] = lambda labels: labels
    ) -> dict[str, Any]:
        """Return the columns in any order, the labels as a cell holds them."""
        columns = {"Text": self.texts, "Labels": [cell(labels) for labels in self.labels], **self.more}
        return {name: columns[name] for name in draw.sample(sorted(columns), len(columns))}


def drawn_table(draw: random.Random) -> Table:
    """Return a table of one to twelve rows."""
    table = Table(draw.random() < 0.4)
    names = draw.sample([name for name in NAMES if not (table.multi and is_list(name))], draw.randint(2, 5))
    # Of few pieces, labels among them, texts come to look like the rows of a table.
    few = [*draw.sample(PIECES, 3), *names, "\n", '"', draw.choice(",;\t|")]
    pieces = draw.choice([PIECES, few])
    for _ in range(draw.choice([1, 2, 3, 5, 8, 12])):
        table.texts.append("".join(draw.choices(pieces, k=draw.choice([1, 1, 2, 3, 5, 9, 20]))))
        table.labels.append(
            draw.sample(names, draw.randint(0, min(3, len(names)))) if table.multi else draw.choice(names)
        )
    if draw.random() < 0.4:
        table.more["Id"] = list(range(len(table.texts)))
    if draw.random() < 0.2:
        table.more["Note"] = [draw.choice(["", "seen", 'a "note"', None]) for _ in table.texts]
    return table


# --- Cells ----------------------------------------------------------------------------------------


def cells(table: Table, draw: random.Random) -> tuple[Callable[[Any], Any], str | None]:
    """Return how a cell of text holds labels, and the delimiter between them."""
    if not table.multi:
        return (lambda label: label), None
    joined = [sign for sign in ";|," if not any(sign in name for labels in table.labels for name in labels)]
    kinds: list[tuple[Callable[[Any], Any], str | None]] = [
        (lambda labels: str(labels), None),
        (lambda labels: str(np.array(labels, dtype=object)), None),
        (lambda labels: str([np.str_(label) for label in labels]), None),
        (lambda labels: str(labels), draw.choice(";, ")),
        *((lambda labels, sign=sign: sign.join(labels), sign) for sign in joined),  # type: ignore[misc]
    ]
    return draw.choice(kinds)


# --- Writers --------------------------------------------------------------------------------------


def by_csv(columns: dict[str, Any], path: Path, draw: random.Random) -> None:
    with path.open("w", encoding=draw.choice(["utf-8", "utf-8-sig"]), newline="") as stream:
        writer = csv.writer(
            stream,
            delimiter="\t" if path.suffix == ".tsv" else draw.choice(",;\t|"),
            quoting=draw.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
            lineterminator=draw.choice(["\r\n", "\r\n", "\n"]),
        )
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def by_pandas(columns: dict[str, Any], path: Path, draw: random.Random) -> None:
    frame = pd.DataFrame(columns)
    if draw.random() < 0.3:
        frame = frame.set_index(pd.Index(draw.sample(range(100), len(frame))))
    match path.suffix:
        case ".csv" | ".tsv":
            frame.to_csv(
                path,
                sep="\t" if path.suffix == ".tsv" else draw.choice(",;\t|"),
                index=draw.random() < 0.5,
                quoting=draw.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
                lineterminator=draw.choice(["\n", "\r\n"]),
            )
        case ".json":
            frame.to_json(path, orient=draw.choice(["columns", "records"]), force_ascii=draw.random() < 0.5)
        case ".jsonl":
            frame.to_json(path, orient="records", lines=True, force_ascii=draw.random() < 0.5)
        case ".parquet":
            frame.to_parquet(path)
        case ".xlsx":
            plain = {"strings_to_formulas": False, "strings_to_urls": False}
            with pd.ExcelWriter(path, engine="xlsxwriter", engine_kwargs={"options": plain}) as writer:
                frame.to_excel(writer, index=draw.random() < 0.5)


def by_polars(columns: dict[str, Any], path: Path, draw: random.Random) -> None:
    frame = pl.DataFrame(columns, strict=False)
    match path.suffix:
        case ".csv" | ".tsv":
            frame.write_csv(
                path,
                separator="\t" if path.suffix == ".tsv" else draw.choice(",;\t|"),
                quote_style=draw.choice(["necessary", "always", "non_numeric"]),
                line_terminator=draw.choice(["\n", "\r\n"]),
            )
        case ".json":
            frame.write_json(path)
        case ".jsonl":
            frame.write_ndjson(path)
        case ".parquet":
            frame.write_parquet(path)
        case ".xlsx":
            frame.write_excel(path)


def by_excel(columns: dict[str, Any], path: Path, draw: random.Random) -> None:
    with xlsxwriter.Workbook(path, {"constant_memory": draw.random() < 0.5}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, list(columns))
        for number, row in enumerate(zip(*columns.values(), strict=True), 1):
            for column, value in enumerate(row):
                (sheet.write_string if isinstance(value, str) else sheet.write)(number, column, value)


WRITERS: dict[Callable[[dict[str, Any], Path, random.Random], None], tuple[str, ...]] = {
    by_csv: (".csv", ".tsv"),
    by_pandas: (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".xlsx"),
    by_polars: (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".xlsx"),
    by_excel: (".xlsx",),
}
LISTS = (".json", ".jsonl", ".parquet")  # that hold lists as such


# --- Comparing ------------------------------------------------------------------------------------


def outcome(number: int, folder: Path) -> tuple[str, str]:
    """Return the writer and format of a table, and whether it ended as ``rows`` or as ``error``.

    Raises
    ------
    AssertionError
        Where it is neither.
    """
    draw = random.Random(f"table {number}")
    table = drawn_table(draw)
    writer = draw.choice([by_csv, by_pandas, by_pandas, by_polars, by_polars, by_excel])
    ending = draw.choice(WRITERS[writer])
    cell, delimiter = cells(table, draw)
    if ending in LISTS and table.multi and draw.random() < 0.7:
        cell, delimiter = (lambda labels: labels), None
    path = folder / f"data{ending}"
    columns = table.columns(draw, cell)
    writer(columns, path, draw)
    if draw.random() < 0.1:
        packed = path.with_name(f"{path.name}.gz")
        packed.write_bytes(gzip.compress(path.read_bytes(), 1))
        path = packed
    kind = f"{writer.__name__} {ending}"
    source = Source(str(path), delimiter=delimiter, splits=("80%", "10%", "10%"))
    try:
        examples, problems = read_examples(source, "multi" if table.multi else "single")
    except UserError as error:
        assert all(ASKED.match(line.removeprefix(str(path))) for line in error.lines), error.lines
        return kind, "error"
    first = 1 if ending in LISTS else 2
    refused = {problem.place: problem for problem in problems if problem.fatal}
    found = {example.place: (example.text, example.labels) for example in examples}
    for row, (text, labels) in enumerate(zip(table.texts, table.labels, strict=True), first):
        place = f"{path}, row {row}"
        problem = refused.pop(place, None)
        if problem is not None:
            expected = "text" if UNSEEN.fullmatch(text) else "labels" if is_list(labels) else None
            assert problem.check == expected, (problem, text, labels)
            continue
        names = labels if table.multi else [labels]
        expected_labels = tuple(sorted({name.strip(EDGES) for name in names}))
        found_text, found_labels = found.pop(place, ("", ()))
        if writer in (by_csv, by_pandas) and ending in (".csv", ".tsv") and text.endswith("\r"):
            text = (
                text if found_text.endswith("\r") else text.rstrip("\r")
            )  # without quotes, before the line's end
        assert (found_text, found_labels) == (text, expected_labels), (place, text, labels, examples)
    assert not refused and not found, (refused, found)
    return kind, "rows"


def is_list(labels: Any) -> bool:
    """Return whether the label of a text is a list that was written as text."""
    return bool(labels == "['a']")


if __name__ == "__main__":
    sys.exit(fuzz.main(outcome, __doc__, "table"))
