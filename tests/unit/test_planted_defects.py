"""Defects planted in otherwise good files: each is found, with its file and row."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from polysharp.config.sources import Source
from polysharp.core.errors import UserError
from polysharp.data.preparation import prepare_data
from tests.conftest import make_texts

LONG = "on the first day of the session the members agreed to publish every report about the harbour"


@dataclass
class Files:
    """A good data set as rows of three CSV files, or as one of another form, to plant something in."""

    folder: Path
    label_type: str = "single"
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    source: Source = field(default_factory=lambda: Source(""))

    def write(self) -> None:
        for name, rows in self.rows.items():
            with (self.folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as stream:
                writer = csv.DictWriter(stream, rows[0])
                writer.writeheader()
                writer.writerows(rows)

    def edit(self, name: str, change: Callable[[bytes], bytes]) -> None:
        """Write the files, and change the bytes of one."""
        self.write()
        path = self.folder / name
        path.write_bytes(change(path.read_bytes()))

    def as_json(self, name: str, change: Callable[[dict[str, list[Any]]], Any]) -> None:
        """Write one of the files as the tutorial's JSON, with a change."""
        self.write()
        rows = self.rows[name]
        content = {key: [row[key] for row in rows] for key in ("Text", "Labels")}
        changed = change(content) or content
        (self.folder / f"{name}.csv").unlink()
        text = changed if isinstance(changed, str) else json.dumps(changed)
        (self.folder / f"{name}.json").write_text(text, encoding="utf-8", errors="surrogatepass")

    def set(self, name: str, row: int, **values: Any) -> None:
        """Change a row, by the number that a spreadsheet gives it."""
        self.rows[name][row - 2] |= values
        self.write()

    def option(self, **options: Any) -> None:
        """Say something more about the source."""
        self.source = replace(self.source, **options)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files(tmp_path, source=Source(str(tmp_path)))
    for name, content in make_texts("single").items():
        made.rows[name] = [
            {"Text": text, "Labels": label, "Speaker": f"{name} {number % 4}"}
            for number, (text, label) in enumerate(zip(content["Text"], content["Labels"], strict=True))
        ]
    made.write()
    return made


def as_multi(files: Files) -> None:
    files.label_type = "multi"
    for row in [row for rows in files.rows.values() for row in rows]:
        row["Labels"] = f"{row['Labels']};"
    files.option(delimiter=";")


def typo_in_a_multi_label(files: Files) -> None:
    as_multi(files)
    files.set("test", 4, Labels="food;musik")


def unlabelled(files: Files) -> None:
    as_multi(files)
    files.set("train", 7, Labels="")


def indicators(files: Files) -> None:
    for row in [row for rows in files.rows.values() for row in rows]:
        row |= {"food": int(row["Labels"] == "food"), "other": int(row["Labels"] != "food")}
    files.option(labels=("food", "other"))
    files.set("val", 5, food="yes")


def two_indicators(files: Files) -> None:
    indicators(files)
    files.set("val", 5, food=1, other=1)


def grouped(files: Files) -> None:
    files.option(group="Speaker")
    files.set("test", 3, Speaker="train 1")


def unbalanced(files: Files) -> None:
    rows = [{"Text": f"more about wheels, number {n * 7919}", "Labels": "cars"} for n in range(400)]
    files.rows["train"] += rows
    files.rows["val"] += [{"Text": "one of those wheels", "Labels": "cars"}]
    files.rows["test"] += [{"Text": "another of those wheels", "Labels": "cars"}]
    files.write()


def other_language(files: Files) -> None:
    for row in [row for rows in files.rows.values() for row in rows]:
        row["lang"] = "de"
    files.write()
    files.option(language_column="lang", language_value="dee")


def unknown_split(files: Files) -> None:
    everything = [row | {"part": name} for name, rows in files.rows.items() for row in rows]
    files.rows = {"all": everything}
    files.write()
    files.option(path=str(files.folder / "all.csv"), split_column="part", splits=("train", "dev", "test"))


def with_copy(files: Files, labels: str | None = None, change: Callable[[str], str] = str) -> None:
    row = files.rows["train"][5]
    files.set("train", 10, Text=change(row["Text"]), Labels=labels or row["Labels"])


def in_two_splits(files: Files, change: Callable[[str], str] = str) -> None:
    files.set("train", 6, Text=LONG)
    files.set("test", 3, Text=change(LONG))


def quotation(files: Files) -> None:
    def change(content: bytes) -> bytes:
        lines = content.split(b"\r\n")
        lines[4], lines[8] = b'"' + lines[4], lines[8].replace(b",", b'",', 1)
        return b"\r\n".join(lines)

    files.edit("train.csv", change)


def split_in_capitals(files: Files) -> None:
    unknown_split(files)
    files.rows["all"][30]["part"] = "Train"
    files.write()
    files.option(splits=("train", "val", "test"))


# What is planted; what is found: with a check's name where it is no error.
DEFECTS: dict[str, tuple[Callable[[Files], None], str]] = {
    "a byte that is not UTF-8": (
        lambda f: f.edit("val.csv", lambda content: content.replace(b"val 3", b"val \xfc 3")),
        "val.csv, row 5: byte 0xFC is not UTF-8, in ",
    ),
    "half a character": (
        lambda f: f.as_json("val", lambda content: content["Text"].__setitem__(3, "\ud83d")),
        "val.json, row 4: half a character (U+D83D)",
    ),
    "UTF-16": (
        lambda f: f.edit("test.csv", lambda content: content.decode().encode("utf-16")),
        "test.csv: is UTF-16",
    ),
    "a column of another name": (
        lambda f: f.edit("val.csv", lambda content: content.replace(b"Labels", b"Label", 1)),
        "val.csv, row 1: column 'Labels': missing; the columns are 'Text', 'Label', 'Speaker'; "
        "did you mean 'Label'?",
    ),
    "a header twice": (
        lambda f: f.edit("val.csv", lambda content: content.replace(b"Speaker", b"Labels", 1)),
        "val.csv, row 1: column 'Labels': appears 2 times",
    ),
    "a key twice": (
        lambda f: f.as_json("val", lambda content: json.dumps(content).replace('"Labels"', '"Text"')),
        "val.json: key 'Text': appears 2 times",
    ),
    "a label less than texts": (
        lambda f: f.as_json("val", lambda content: content["Labels"].__delitem__(-1)),
        "val.json: 24 in 'Text', 23 in 'Labels'; expected the same number in each",
    ),
    "JSON that was cut off": (
        lambda f: f.as_json("val", lambda content: json.dumps(content)[:-20]),
        "val.json, line 1, column ",
    ),
    "a field too many": (
        lambda f: f.edit("train.csv", lambda content: content.replace(b"train 7,", b"train, 7,", 1)),
        "train.csv, row 9: 4 fields; expected 3",
    ),
    "a quote that is not closed": (
        lambda f: f.edit("train.csv", lambda content: content.replace(b"train 7,", b'train 7,"', 1)),
        "train.csv, row 9: ",
    ),
    "an empty text": (lambda f: f.set("train", 4, Text=""), "train.csv, row 4: the text is empty"),
    "a text of spaces": (lambda f: f.set("train", 4, Text=" \u3000"), "train.csv, row 4: the text is empty"),
    "a number as text": (
        lambda f: f.as_json("val", lambda content: content["Text"].__setitem__(3, 5)),
        "val.json, row 4: text 5: expected a string",
    ),
    "a text that nobody sees": (
        lambda f: f.set("train", 4, Text="\u200b\ufeff"),
        "train.csv, row 4: the text is empty",
    ),
    "a quotation over five rows": (quotation, "quotes: train.csv, row 5: "),
    "a list of numpy as label": (
        lambda f: f.set("train", 4, Labels="['food' 'music']"),
        "train.csv, row 4: labels \"['food' 'music']\": expected one label",
    ),
    "a label that looks missing": (
        lambda f: f.set("train", 4, Labels="nan"),
        "missing_label: train.csv, row 4: label 'nan'",
    ),
    "a split in capitals": (
        split_in_capitals,
        "all.csv, row 32: 'Train' in column 'part' (1 row) is not used; did you mean 'train'?",
    ),
    "a label that is missing": (
        lambda f: f.set("train", 4, Labels=""),
        "train.csv, row 4: label '': empty; expected a name",
    ),
    "a list in place of a label": (
        lambda f: f.as_json("val", lambda content: content["Labels"].__setitem__(3, ["food"])),
        "val.json, row 4: labels ['food']: expected one label",
    ),
    "a fraction as label": (
        lambda f: f.as_json("val", lambda content: content["Labels"].__setitem__(3, 0.5)),
        "val.json, row 4: label 0.5: expected a string or a whole number",
    ),
    "a truth value as label": (
        lambda f: f.as_json("val", lambda content: content["Labels"].__setitem__(3, True)),
        "val.json, row 4: label True: expected a string or a whole number",
    ),
    "one label in place of a list": (
        lambda f: setattr(f, "label_type", "multi"),
        "train.csv, row 2: labels ",
    ),
    "a typo in a label": (
        lambda f: f.set("test", 4, Labels="musik"),
        "test.csv, row 4 (test): no training text has the label 'musik'; did you mean 'music'?",
    ),
    "a typo in one of several labels": (
        typo_in_a_multi_label,
        "test.csv, row 4 (test): no training text has the label 'musik'; did you mean 'music'?",
    ),
    "labels in two spellings": (lambda f: f.set("train", 4, Labels="Food "), "similar_labels: 'Food' ("),
    "a column of 0, 1 and something else": (
        indicators,
        "val.csv, row 5: 'yes' in column 'food': expected 0 or 1",
    ),
    "two labels in columns of a single-label task": (
        two_indicators,
        "val.csv, row 5: 2 labels (food, other)",
    ),
    "one label alone": (
        lambda f: [f.set("train", n, Labels="food") for n in range(2, len(f.rows["train"]) + 2)] and None,
        "the training texts have the labels ['food']; expected two or more",
    ),
    "NUL in a text": (lambda f: f.set("val", 4, Text="a\0b"), "val.csv, row 4: U+0000 in 'a\\x00b'"),
    "a bell in a label": (
        lambda f: f.set("val", 4, Labels="food\a"),
        "val.csv, row 4: U+0007 in 'food\\x07'",
    ),
    "a book as text": (
        lambda f: f.set("train", 4, Text="word " * 30_000),
        "train.csv, row 4: a text of 150,000 characters",
    ),
    "a test text in training": (
        in_two_splits,
        "copy_in_another_split: train.csv, row 6 (train): the same text as test.csv, row 3 (test)",
    ),
    "a test text in training, nearly": (
        lambda f: in_two_splits(f, lambda text: text.replace("every report", "each report")),
        "near_copy_of_test: test.csv, row 3: nearly the same as train.csv, row 6 (train)",
    ),
    "a text twice": (with_copy, "copy: train.csv, row 10: the same as train.csv, row 7"),
    "a text twice, in capitals": (
        lambda f: with_copy(f, change=str.upper),
        "copy: train.csv, row 10: the same as train.csv, row 7",
    ),
    "a text with two labels": (
        lambda f: with_copy(f, "food" if f.rows["train"][5]["Labels"] != "food" else "music"),
        "contradiction: train.csv, row 10: ",
    ),
    "a speaker in two splits": (grouped, "'train 1': train.csv, row 3 (train) and test.csv, row 3 (test)"),
    "a label with few texts": (lambda f: f.set("train", 4, Labels="rare"), "rare_label: 'rare': 1"),
    "a label that is never tested": (
        lambda f: f.set("train", 4, Labels="rare"),
        "untested_label: 'rare' in test",
    ),
    "labels of very unequal numbers": (unbalanced, "imbalance: 'food': "),
    "another language's name": (
        other_language,
        "no row has 'dee' in column 'lang'; its values are 'de'; did you mean 'de'?",
    ),
    "labels that are left empty": (unlabelled, "unlabelled: train.csv, row 7: no label"),
    "another split's name": (
        unknown_split,
        "no row has 'dev' in column 'part'; its values are 'test', 'train', 'val'",
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_every_planted_defect_is_found(name: str, files: Files, tmp_path: Path) -> None:
    plant, expected = DEFECTS[name]
    plant(files)
    try:
        findings = prepare_data(files.source, files.label_type, {}, 0, tmp_path / "out")  # type: ignore[arg-type]
    except UserError as error:
        first = error.lines[0].replace(f"{tmp_path}/", "").replace(f"{tmp_path}: ", "")
        assert expected in first
    else:
        lines = [f"{finding.check}: {place}" for finding in findings for place in finding.places]
        assert any(line.replace(f"{tmp_path}/", "").startswith(expected) for line in lines), lines


def test_the_files_are_good_before(files: Files, tmp_path: Path) -> None:
    assert prepare_data(files.source, "single", {}, 0, tmp_path / "out") == []
    assert len(DEFECTS) >= 25


def test_a_split_without_a_usable_text_is_not_taken_for_copies(files: Files, tmp_path: Path) -> None:
    files.edit("val.csv", lambda content: content.replace(b"val ", b"val \xfd "))
    with pytest.raises(UserError) as caught:
        prepare_data(files.source, "single", {}, 0, tmp_path / "out")
    assert caught.value.lines[0].endswith("(from Excel: as 'CSV UTF-8')")
    assert caught.value.lines[-1] == f"{tmp_path}: no text of validation can be used; expected at least one"


def test_other_names_of_columns_are_said_to_belong_into_the_sheet(files: Files, tmp_path: Path) -> None:
    for rows in files.rows.values():
        rows[:] = [{"metin": row["Text"], "konu": row["Labels"]} for row in rows]
    files.write()
    with pytest.raises(UserError) as caught:
        prepare_data(files.source, "single", {}, 0, tmp_path / "out")
    assert "row 1: column 'Text': missing; the columns are 'metin', 'konu'" in caught.value.lines[0]
    assert "in the sample sheet, set 'text' and 'labels'" in caught.value.lines[-1]
