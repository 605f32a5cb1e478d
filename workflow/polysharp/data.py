"""Data sets: read from the tutorial's JSON files, checked, freed of leaks, and stored for training."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from polysharp.configuration import LabelType
from polysharp.errors import UserError, nearest
from polysharp.files import read_json, replacing, sha256, write_json
from polysharp.labels import label_order

SPLITS = ("train", "validation", "test")
EXAMPLES, LABELS, FINDINGS = "examples.parquet", "labels.json", "findings.tsv"
MAX_LINES = 5  # mistakes of one file that are spelled out; the rest is counted


@dataclass(frozen=True)
class Example:
    """A text with its labels. `row` counts from 1 in the file it came from."""

    split: str
    row: int
    text: str
    labels: tuple[str, ...]

    @property
    def id(self) -> str:
        """Name of the text in the results: split and row."""
        return f"{self.split}-{self.row}"


@dataclass(frozen=True)
class Finding:
    """Something in the data that a reader of the results should know. `row` 0 means the whole split."""

    split: str
    row: int
    finding: str


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


def read_source(
    folder: Path, label_type: LabelType, columns: tuple[str, str], splits: tuple[str, str, str]
) -> list[Example]:
    """Read and check the three JSON files ``{"Text": [...], "Labels": [...]}`` of a data set.

    Parameters
    ----------
    columns
        Keys of the texts and of the labels.
    splits
        Names of the training, validation and test file, without ``.json``.

    Raises
    ------
    UserError
        With a line for what is wrong in any file: row, value and what was expected.
    """
    examples: list[Example] = []
    lines: list[str] = []
    for split, stem in zip(SPLITS, splits, strict=True):
        path = folder / f"{stem}.json"
        try:
            texts, labels = _read_columns(path, columns)
        except UserError as error:
            lines += error.lines
            continue
        problems = []
        for row, (text, given) in enumerate(zip(texts, labels, strict=True), 1):
            try:
                examples.append(Example(split, row, _check_text(text), _check_labels(given, label_type)))
            except ValueError as error:
                problems.append(f"{path}, row {row}: {error}")
        lines += problems[:MAX_LINES]
        if len(problems) > MAX_LINES:
            lines.append(f"{path}: and {len(problems) - MAX_LINES} more rows like these")
    if lines:
        raise UserError(*lines)
    return examples


def _read_columns(path: Path, columns: tuple[str, str]) -> tuple[list[Any], list[Any]]:
    if not path.is_file():
        found = sorted(file.stem for file in path.parent.glob("*.json"))
        present = ", ".join(found) or "no .json file"
        raise UserError(f"{path}: not found; the folder has {present}{nearest(path.stem, found)}")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: a JSON {type(content).__name__}; expected {_FORM % columns}")
    lines = []
    for column in columns:
        if column not in content:
            lines.append(f"{path}: no key {column!r}; expected {_FORM % columns}{nearest(column, content)}")
        elif not isinstance(content[column], list):
            lines.append(f"{path}: {column!r} is a {type(content[column]).__name__}; expected a list")
    if lines:
        raise UserError(*lines)
    texts, labels = (content[column] for column in columns)
    if len(texts) != len(labels):
        raise UserError(f"{path}: {len(texts)} texts but {len(labels)} labels; expected as many")
    if not texts:
        raise UserError(f"{path}: no texts; expected at least one")
    return texts, labels


_FORM = '{"%s": [...], "%s": [...]}'


def _check_text(text: Any) -> str:
    if not isinstance(text, str):
        raise ValueError(f"text {text!r}: expected a string")
    if not text.strip():
        raise ValueError("the text is empty; expected at least one word")
    return text


def _check_labels(given: Any, label_type: LabelType) -> tuple[str, ...]:
    """Return the labels of a text as sorted names; whole numbers count as names."""
    if label_type == "single":
        if isinstance(given, list):
            raise ValueError(
                f"labels {given!r}: expected one label, as label_type is 'single'; or say 'multi'"
            )
        return (_check_label(given),)
    if not isinstance(given, list):
        raise ValueError(f"labels {given!r}: expected a list, as label_type is 'multi'; or say 'single'")
    return tuple(sorted({_check_label(label) for label in given}))


def _check_label(label: Any) -> str:
    if isinstance(label, bool) or not isinstance(label, str | int):
        raise ValueError(f"label {label!r}: expected a string or a whole number")
    name = str(label).strip()
    if not name:
        raise ValueError(f"label {label!r}: expected a name, it is empty")
    return name


def without_leaks(examples: Sequence[Example]) -> tuple[list[Example], list[Finding]]:
    """Return the examples without copies across splits, and a finding for each that was left out.

    A text that stands in test is left out of validation and training, one that stands in
    validation out of training: what is reported stays as it was given. Texts count as the same
    when they differ only in case, white space or Unicode composition.
    """
    first: dict[str, dict[str, Example]] = {split: {} for split in SPLITS}
    for example in examples:
        first[example.split].setdefault(_normalised(example.text), example)
    kept, findings = [], []
    for example in examples:
        later = SPLITS[SPLITS.index(example.split) + 1 :]
        copies = (first[split].get(_normalised(example.text)) for split in reversed(later))
        copy = next((other for other in copies if other), None)
        if copy is None:
            kept.append(example)
        else:
            text = f"left out: the same text as {copy.split} row {copy.row}"
            findings.append(Finding(example.split, example.row, text))
    return kept, findings


def _normalised(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def findings_of(examples: Sequence[Example]) -> Iterator[Finding]:
    """Yield what a reader of the results should know about labels and repeated texts."""
    counts = {
        split: Counter(name for example in examples if example.split == split for name in example.labels)
        for split in SPLITS
    }
    first = {name: example for example in reversed(examples) for name in example.labels}
    for name in label_order(example.labels for example in examples):
        if not counts["train"][name]:
            where, hint = first[name], nearest(name, counts["train"])
            text = f"label {name!r} stands on no training text: it cannot be learnt, and counts as 0{hint}"
            yield Finding(where.split, where.row, text)
        for split in SPLITS[1:]:
            if not counts[split][name]:
                yield Finding(split, 0, f"label {name!r} has no text: its scores are 0 by definition")
    seen: dict[tuple[str, str], Example] = {}
    for example in examples:
        other = seen.setdefault((example.split, _normalised(example.text)), example)
        if other is not example:
            same = "the same labels" if other.labels == example.labels else "other labels"
            yield Finding(example.split, example.row, f"repeats row {other.row}, with {same}")


def prepare_data(
    folder: Path, label_type: LabelType, columns: tuple[str, str], splits: tuple[str, str, str], output: Path
) -> list[Finding]:
    """Read, check and store a data set in `output`; return the findings, which are stored too.

    Raises
    ------
    UserError
        When the data cannot be used; nothing is written then.
    """
    given = read_source(folder, label_type, columns, splits)
    examples, findings = without_leaks(given)
    sizes = Counter(example.split for example in examples)
    names = label_order(example.labels for example in examples)
    lines = [
        f"{folder}: every text of {split} stands in another split too; expected different texts"
        for split in SPLITS
        if not sizes[split]
    ]
    learnable = label_order(example.labels for example in examples if example.split == "train")
    if len(learnable) < 2:
        lines.append(f"{folder}: the training texts have the labels {learnable}; expected two or more")
    if lines:
        raise UserError(*lines)
    findings += findings_of(examples)
    _write_table(
        pl.DataFrame(
            {
                "id": [e.id for e in examples],
                "split": [e.split for e in examples],
                "text": [e.text for e in examples],
                "labels": [list(e.labels) for e in examples],
            },
            schema={"id": pl.String, "split": pl.String, "text": pl.String, "labels": pl.List(pl.String)},
        ),
        output / EXAMPLES,
    )
    write_json(output / LABELS, {"label_type": label_type, "labels": names})
    with replacing(output / FINDINGS) as staging:
        rows = [(finding.split, finding.row, finding.finding) for finding in findings]
        pl.DataFrame(rows, schema=["split", "row", "finding"], orient="row").write_csv(
            staging, separator="\t"
        )
    return findings


def _write_table(table: pl.DataFrame, path: Path) -> None:
    with replacing(path) as staging:
        table.write_parquet(staging, statistics=False)


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
