"""Data sets: read, checked, split, freed of leaks, and stored in the one form that training reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from polysharp.checks import MAX_LINES, CheckName, Finding, Severity
from polysharp.configuration import LabelType
from polysharp.errors import UserError
from polysharp.examples import Example, read_examples
from polysharp.files import read_json, replacing, sha256, write_json
from polysharp.findings import collect, of_labels, of_language, of_rows, of_texts, without_leaks
from polysharp.labels import label_order
from polysharp.sources import SPLITS, Source
from polysharp.splitting import make_splits
from polysharp.tsv import write_table

EXAMPLES, LABELS = "examples.parquet", "labels.json"
FINDINGS, PLACES = "findings.tsv", "findings.json"


@dataclass(frozen=True)
class PreparedData:
    """A data set as training reads it. Rows of `examples`: id, split, text, labels."""

    examples: pl.DataFrame
    labels: list[str]
    label_type: LabelType
    sha256: str

    def split(self, name: str) -> pl.DataFrame:
        """Return the examples of one split, in the order of the source."""
        return self.examples.filter(pl.col("split") == name)


class RefusedData(UserError):
    """Data that cannot be used, with everything that was found in them; the lines are the errors."""

    def __init__(self, findings: Sequence[Finding], *lines: str) -> None:
        errors = [finding for finding in findings if finding.severity == "error"]
        super().__init__(*(line for finding in errors for line in finding.lines()), *lines)
        self.findings = findings


def prepare_data(
    source: Source,
    label_type: LabelType,
    severities: Mapping[CheckName, Severity],
    seed: int,
    output: Path,
    language: str | None = None,
) -> list[Finding]:
    """Read, check, split and store a data set in `output`; return the findings, which are stored too.

    Parameters
    ----------
    severities
        Of the checks whose own is not wanted. Where one that concerns single rows is no error, the rows
        that cannot be used are left out.
    seed
        By which splits are drawn, where `source` gives them in shares.
    language
        That the texts should be in, by its English name or its ISO code; None does not look.

    Raises
    ------
    UserError
        When the data cannot be read, or used (RefusedData); nothing is written then.
    """
    examples, findings = _checked(source, label_type, severities, seed, language)
    if any(finding.severity == "error" for finding in findings):
        raise RefusedData(findings)
    with replacing(output / EXAMPLES) as staging:
        pl.DataFrame(
            {
                "id": [e.id for e in examples],
                "split": [e.split for e in examples],
                "text": [e.text for e in examples],
                "labels": _lists([e.labels for e in examples]),
            },
            schema={"id": pl.String, "split": pl.String, "text": pl.String, "labels": pl.List(pl.String)},
        ).write_parquet(staging, statistics=False)
    names = label_order(example.labels for example in examples)
    write_json(output / LABELS, {"label_type": label_type, "labels": names})
    write_findings(findings, output)
    return findings


def _checked(
    source: Source,
    label_type: LabelType,
    severities: Mapping[CheckName, Severity],
    seed: int,
    language: str | None,
) -> tuple[list[Example], list[Finding]]:
    """Return the examples that are kept, and everything that was found."""
    given, problems = read_examples(source, label_type)
    seen = [*of_rows(problems)]
    if not given:
        raise RefusedData(collect(seen, {}))
    examples, leaks = without_leaks(make_splits(given, source, seed))
    sizes = Counter(example.split for example in examples)
    lines = [
        f"{source.path}: every text of {split} stands in another split too; expected different texts"
        for split in SPLITS
        if not sizes[split]
    ]
    learnable = label_order(example.labels for example in examples if example.split == "train")
    if len(learnable) < 2:
        lines.append(f"{source.path}: the training texts have the labels {learnable}; expected two or more")
    if lines:
        raise RefusedData(collect(seen, severities), *lines)
    seen += [*leaks, *of_labels(examples), *of_texts(examples)]
    if language is not None and severities.get("language") != "ignore":
        seen += of_language(examples, language)
    return examples, collect(seen, severities)


def _lists(values: Sequence[Sequence[str]]) -> pl.Series:
    """Return a column of lists of text; polars takes ten times as long over Python's own lists."""
    ends = np.cumsum([0, *map(len, values)])
    flat = pa.array(list(chain.from_iterable(values)), pa.large_string())
    return pl.Series(pa.LargeListArray.from_arrays(ends, flat))


def write_findings(findings: Sequence[Finding], folder: Path) -> None:
    """Write findings as a table, with the first places of each, and as JSON with all of them."""
    write_json(folder / PLACES, [finding.as_dict() for finding in findings])
    rows = [{**finding.as_dict(), "places": " | ".join(finding.places[:MAX_LINES])} for finding in findings]
    write_table(rows, ["severity", "check", "count", "finding", "remedy", "places"], folder / FINDINGS)


def read_prepared(folder: Path) -> PreparedData:
    """Return the data set that :func:`prepare_data` stored in `folder`.

    Raises
    ------
    UserError
        When there is none.
    """
    if not (folder / LABELS).is_file() or not (folder / EXAMPLES).is_file():
        raise UserError(
            f"{folder}: no prepared data set; expected {EXAMPLES} and {LABELS} of prepare_data.py"
        )
    content: Mapping[str, Any] = read_json(folder / LABELS)
    return PreparedData(
        pl.read_parquet(folder / EXAMPLES),
        content["labels"],
        content["label_type"],
        sha256(folder / EXAMPLES, folder / LABELS),
    )


def training_rows(data: PreparedData, size: int | None, seed: int) -> pl.DataFrame:
    """Return `size` training examples drawn by `seed`, the same for every method; all without a size.

    Labels are drawn in turn, the rarest first, so that small samples still hold every label.

    Raises
    ------
    UserError
        When there are fewer texts than `size`.
    """
    rows = data.split("train")
    if size is None:
        return rows
    if size > len(rows):
        raise UserError(f"train_size: {size}: expected at most {len(rows)}, the number of training texts")
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=seed).with_row_index("draw")
    counts = Counter(name for names in rows["labels"] for name in names)
    queues = [
        [draw for draw, names in shuffled.select("draw", "labels").iter_rows() if name in names]
        for name in sorted(counts, key=lambda name: (counts[name], name))
    ] + [shuffled.filter(pl.col("labels").list.len() == 0)["draw"].to_list()]
    chosen: dict[int, None] = {}
    while len(chosen) < size:
        for queue in queues:
            while queue and queue[0] in chosen:
                queue.pop(0)
            if queue and len(chosen) < size:
                chosen[queue.pop(0)] = None
    keep = shuffled.filter(pl.col("draw").is_in(list(chosen)))["id"]
    return rows.filter(pl.col("id").is_in(keep.to_list()))
