"""Reading, checking, splitting and storing of texts."""

import json
import unicodedata
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polysharp.data import (
    SPLITS,
    Example,
    PreparedData,
    findings_of,
    prepare_data,
    read_prepared,
    read_source,
    training_rows,
    without_leaks,
)
from polysharp.errors import UserError
from tests.conftest import make_texts, write_source

COLUMNS = ("Text", "Labels")
FILES = ("train", "val", "test")


def sound() -> dict[str, dict[str, list]]:
    return {
        split: {"Text": [f"{split} one", f"{split} two"], "Labels": ["a", "b"]}
        for split in ("train", "val", "test")
    }


def refusal(folder: Path, label_type: str = "single", columns: tuple[str, str] = COLUMNS) -> tuple[str, ...]:
    """Return the lines that refuse the data set, without the folder's name."""
    with pytest.raises(UserError) as caught:
        read_source(folder, label_type, columns, FILES)
    return tuple(line.replace(f"{folder}/", "") for line in caught.value.lines)


def examples_of(split: str, *texts: str) -> list[Example]:
    return [Example(split, row, text, ("a",)) for row, text in enumerate(texts, 1)]


# --- Reading --------------------------------------------------------------------------------------


def test_single_labels(tmp_path: Path) -> None:
    content = sound()
    content["train"] = {"Text": ["eins", " zwei "], "Labels": [" b ", 7]}
    examples = read_source(write_source(tmp_path, content), "single", COLUMNS, FILES)
    assert [example.id for example in examples] == [
        "train-1", "train-2", "validation-1", "validation-2", "test-1", "test-2",
    ]  # fmt: skip
    assert examples[0] == Example("train", 1, "eins", ("b",))
    assert examples[1] == Example("train", 2, " zwei ", ("7",))  # a text stays as it is


def test_several_labels_are_sorted_and_counted_once(tmp_path: Path) -> None:
    content = {split: {"Text": ["t"], "Labels": [["b", "a", 10, "b"]]} for split in FILES}
    content["val"]["Labels"] = [[]]
    examples = read_source(write_source(tmp_path, content), "multi", COLUMNS, FILES)
    assert examples[0].labels == ("10", "a", "b")
    assert examples[1].labels == ()


def test_other_columns_and_files(tmp_path: Path) -> None:
    for stem in ("a", "b", "c"):
        (tmp_path / f"{stem}.json").write_text('{"texte": ["t"], "klasse": ["x"]}')
    examples = read_source(tmp_path, "single", ("texte", "klasse"), ("c", "a", "b"))
    assert [example.split for example in examples] == list(SPLITS)


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    write_source(tmp_path, sound())
    (tmp_path / "train.json").write_text(json.dumps(sound()["train"]), encoding="utf-8-sig")
    assert read_source(tmp_path, "single", COLUMNS, FILES)[0].text == "train one"


def test_a_missing_file_is_answered_with_the_nearest(tmp_path: Path) -> None:
    write_source(tmp_path, sound())
    (tmp_path / "train.json").rename(tmp_path / "training.json")
    assert refusal(tmp_path) == (
        "train.json: not found; the folder has test, training, val; did you mean 'training'?",
    )


def test_an_empty_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path)[0] == "train.json: not found; the folder has no .json file"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'{"Text": ["a"\n "Labels"', "train.json, line 2, column 2: not JSON: Expecting ',' delimiter"),
        (b"", "train.json, line 1, column 1: not JSON: Expecting value"),
        (b'{"Text": ["gr\xfcn"]}', "train.json: byte 13 is not UTF-8; save the file as UTF-8"),
        (b'["a"]', 'train.json: a JSON list; expected {"Text": [...], "Labels": [...]}'),
        (b'{"Text": "a", "Labels": ["x"]}', "train.json: 'Text' is a str; expected a list"),
        (
            b'{"Text": ["a", "b"], "Labels": ["x"]}',
            "train.json: 2 texts but 1 labels; expected as many",
        ),
        (b'{"Text": [], "Labels": []}', "train.json: no texts; expected at least one"),
        (
            b'{"Text": ["a"], "labels": ["x"]}',
            'train.json: no key \'Labels\'; expected {"Text": [...], "Labels": [...]}; '
            "did you mean 'labels'?",
        ),
    ],
)
def test_files_that_cannot_be_read(content: bytes, line: str, tmp_path: Path) -> None:
    write_source(tmp_path, sound())
    (tmp_path / "train.json").write_bytes(content)
    assert refusal(tmp_path) == (line,)


@pytest.mark.parametrize(
    ("text", "label", "label_type", "line"),
    [
        (5, "a", "single", "row 2: text 5: expected a string"),
        (None, "a", "single", "row 2: text None: expected a string"),
        (" \n", "a", "single", "row 2: the text is empty; expected at least one word"),
        (
            "t",
            ["a"],
            "single",
            "row 2: labels ['a']: expected one label, as label_type is 'single'; or say 'multi'",
        ),
        ("t", "a", "multi", "row 2: labels 'a': expected a list, as label_type is 'multi'; or say 'single'"),
        ("t", None, "single", "row 2: label None: expected a string or a whole number"),
        ("t", 1.5, "single", "row 2: label 1.5: expected a string or a whole number"),
        ("t", True, "single", "row 2: label True: expected a string or a whole number"),
        ("t", [["a"]], "multi", "row 2: label ['a']: expected a string or a whole number"),
        ("t", " ", "single", "row 2: label ' ': expected a name, it is empty"),
        ("t", ["a", ""], "multi", "row 2: label '': expected a name, it is empty"),
    ],
)
def test_rows_that_cannot_be_used(text: Any, label: Any, label_type: str, line: str, tmp_path: Path) -> None:
    first = "a" if label_type == "single" else ["a"]
    content: dict[str, dict[str, list]] = {split: {"Text": ["one"], "Labels": [first]} for split in FILES}
    content["val"] = {"Text": ["one", text], "Labels": [first, label]}
    assert refusal(write_source(tmp_path, content), label_type) == (f"val.json, {line}",)


def test_all_files_are_told_and_long_lists_are_cut(tmp_path: Path) -> None:
    content = sound()
    content["train"] = {"Text": [""] * 9, "Labels": ["a"] * 9}
    content["val"]["Labels"][1] = ["b"]
    write_source(tmp_path, content)
    (tmp_path / "test.json").unlink()
    lines = refusal(tmp_path)
    assert [line.partition(":")[0] for line in lines[:5]] == [f"train.json, row {n}" for n in range(1, 6)]
    assert lines[5] == "train.json: and 4 more rows like these"
    assert lines[6].startswith("val.json, row 2: labels ['b']")
    assert lines[7].startswith("test.json: not found")
    assert len(lines) == 8


# --- Copies across splits -------------------------------------------------------------------------


def normalised(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def test_copies_are_left_out_where_they_would_help() -> None:
    examples = [
        *examples_of("train", "Caf\u00e9  au lait", "only here", "in all", "to test"),
        *examples_of("validation", "cafe\u0301 au LAIT", "in all ", "fine"),
        *examples_of("test", "TO\ttest", "In All", "in all"),
    ]
    kept, findings = without_leaks(examples)
    assert [example.id for example in kept[:3]] == ["train-2", "validation-1", "validation-3"]
    assert kept[3:] == examples[-3:]
    assert [(finding.split, finding.row, finding.finding) for finding in findings] == [
        ("train", 1, "left out: the same text as validation row 1"),
        ("train", 3, "left out: the same text as test row 2"),
        ("train", 4, "left out: the same text as test row 1"),
        ("validation", 2, "left out: the same text as test row 2"),
    ]


SIMILAR = st.builds(
    lambda word, form, ends: ends[0] + unicodedata.normalize(form, word) + ends[1],
    st.sampled_from(["café", "CAFÉ", "Straße", "STRASSE", "a b", "a  B", "A\tb", "x", "ﬁn", "İ", "i̇"]),
    st.sampled_from(["NFC", "NFD"]),
    st.sampled_from([("", ""), (" ", ""), ("", "\n")]),
)


@given(st.lists(st.tuples(st.sampled_from(SPLITS), SIMILAR | st.text(min_size=1)), max_size=30))
def test_no_text_stands_in_two_splits(drawn: list[tuple[str, str]]) -> None:
    examples = [Example(split, row, text, ("a",)) for row, (split, text) in enumerate(drawn, 1)]
    kept, findings = without_leaks(examples)
    splits: dict[str, set[str]] = {}
    for example in kept:
        splits.setdefault(normalised(example.text), set()).add(example.split)
    assert all(len(of_text) == 1 for of_text in splits.values())
    test = [example for example in examples if example.split == "test"]
    assert [example for example in kept if example.split == "test"] == test
    assert len(kept) + len(findings) == len(examples)
    assert {normalised(example.text) for example in kept} == {normalised(e.text) for e in examples}


def test_findings_about_labels_and_repeated_texts() -> None:
    examples = [
        Example("train", 1, "one", ("alpha",)),
        Example("train", 2, "One ", ("alpha",)),
        Example("train", 3, "ONE", ("b",)),
        Example("validation", 1, "two", ("alpha",)),
        Example("test", 1, "three", ("Alpha",)),
    ]
    assert {(f.split, f.row, f.finding) for f in findings_of(examples)} == {
        (
            "test",
            1,
            "label 'Alpha' stands on no training text: it cannot be learnt, and counts as 0"
            "; did you mean 'alpha'?",
        ),
        ("validation", 0, "label 'b' has no text: its scores are 0 by definition"),
        ("validation", 0, "label 'Alpha' has no text: its scores are 0 by definition"),
        ("test", 0, "label 'alpha' has no text: its scores are 0 by definition"),
        ("test", 0, "label 'b' has no text: its scores are 0 by definition"),
        ("train", 2, "repeats row 1, with the same labels"),
        ("train", 3, "repeats row 1, with other labels"),
    }


# --- Storing --------------------------------------------------------------------------------------


def prepare(source: Path, label_type: str, output: Path) -> dict[str, bytes]:
    prepare_data(source, label_type, COLUMNS, FILES, output)
    return {path.name: path.read_bytes() for path in output.iterdir()}


@pytest.mark.parametrize("label_type", ["single", "multi"])
def test_what_is_stored_is_what_was_given(label_type: str, tmp_path: Path) -> None:
    texts = make_texts(label_type)
    prepare(write_source(tmp_path / "in", texts), label_type, tmp_path / "out")
    data = read_prepared(tmp_path / "out")
    assert data.labels == ["animals", "food", "music"] and data.label_type == label_type
    for split, stem in zip(SPLITS, FILES, strict=True):
        rows = data.split(split)
        assert rows["text"].to_list() == texts[stem]["Text"]
        given = texts[stem]["Labels"]
        assert rows["labels"].to_list() == [sorted(x) if label_type == "multi" else [x] for x in given]


@pytest.mark.parametrize("label_type", ["single", "multi"])
def test_storing_twice_gives_the_same_bytes(label_type: str, tmp_path: Path) -> None:
    source = write_source(tmp_path / "in", make_texts(label_type))
    one, two = prepare(source, label_type, tmp_path / "one"), prepare(source, label_type, tmp_path / "two")
    assert sorted(one) == ["examples.parquet", "findings.tsv", "labels.json"]
    assert one == two
    assert prepare(source, label_type, tmp_path / "one") == one  # over what is there


def test_the_hash_follows_the_data(tmp_path: Path) -> None:
    texts = make_texts("single")
    prepare(write_source(tmp_path / "in", texts), "single", tmp_path / "out")
    before = read_prepared(tmp_path / "out").sha256
    texts["test"]["Labels"][0] = "music" if texts["test"]["Labels"][0] != "music" else "food"
    prepare(write_source(tmp_path / "in", texts), "single", tmp_path / "out")
    assert read_prepared(tmp_path / "out").sha256 != before


def test_findings_are_stored(tmp_path: Path) -> None:
    texts = make_texts("single")
    texts["train"]["Text"][4] = texts["test"]["Text"][2].upper()
    texts["train"]["Labels"][7] = "lonely\tlabel"
    prepare(write_source(tmp_path / "in", texts), "single", tmp_path / "out")
    findings = pl.read_csv(tmp_path / "out" / "findings.tsv", separator="\t")
    assert findings.columns == ["split", "row", "finding"]
    assert findings.rows()[0] == ("train", 5, "left out: the same text as test row 3")
    assert (
        "test",
        0,
        "label 'lonely\\tlabel' has no text: its scores are 0 by definition",
    ) in findings.rows()
    assert read_prepared(tmp_path / "out").split("train")["id"].to_list()[3:5] == ["train-4", "train-6"]


def test_data_without_findings_has_an_empty_table_with_a_header(tmp_path: Path) -> None:
    content = {
        split: {"Text": [f"{split} {n}" for n in range(3)], "Labels": ["a", "b", "a"]} for split in FILES
    }
    prepare(write_source(tmp_path / "in", content), "single", tmp_path / "out")
    assert (tmp_path / "out" / "findings.tsv").read_text() == "split\trow\tfinding\n"


def everything_leaks(texts: dict[str, dict[str, list]]) -> None:
    texts["val"] = texts["test"]


def one_label(texts: dict[str, dict[str, list]]) -> None:
    texts["train"]["Labels"] = ["food"] * len(texts["train"]["Labels"])


def broken_row(texts: dict[str, dict[str, list]]) -> None:
    texts["test"]["Labels"][3] = None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (everything_leaks, "every text of validation stands in another split too"),
        (one_label, r"the training texts have the labels \['food'\]; expected two or more"),
        (broken_row, "row 4: label None"),
    ],
)
def test_nothing_is_written_when_the_data_cannot_be_used(
    spoil: Callable[[dict[str, dict[str, list]]], None], message: str, tmp_path: Path
) -> None:
    texts = make_texts("single")
    spoil(texts)
    with pytest.raises(UserError, match=message):
        prepare(write_source(tmp_path / "in", texts), "single", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --- Samples of the training texts ----------------------------------------------------------------


def make_data(labels: list[list[str]]) -> PreparedData:
    rows = {
        "id": [f"train-{row}" for row in range(len(labels))] + ["test-1"],
        "split": ["train"] * len(labels) + ["test"],
        "text": [f"text {row}" for row in range(len(labels) + 1)],
        "labels": [*labels, ["a"]],
    }
    frame = pl.DataFrame(rows, schema_overrides={"labels": pl.List(pl.String)})
    return PreparedData(frame, sorted({name for names in labels for name in names}), "multi", "")


LABELS = st.lists(st.lists(st.sampled_from("abcd"), unique=True, max_size=3), min_size=2, max_size=40)


@given(LABELS, st.data())
def test_samples_have_their_size_their_order_and_no_test_text(labels: list[list[str]], draw: Any) -> None:
    data = make_data(labels)
    size = draw.draw(st.integers(2, len(labels)))
    seed = draw.draw(st.integers(0, 2**31 - 1))
    rows = training_rows(data, size, seed)
    ids = rows["id"].to_list()
    assert len(set(ids)) == len(ids) == size
    assert rows.equals(data.split("train").filter(pl.col("id").is_in(ids)))
    assert rows.equals(training_rows(data, size, seed))


@given(LABELS, st.integers(0, 1000))
def test_samples_of_one_seed_lie_inside_one_another(labels: list[list[str]], seed: int) -> None:
    data = make_data(labels)
    samples = [set(training_rows(data, size, seed)["id"]) for size in range(2, len(labels) + 1)]
    assert all(small < large for small, large in pairwise(samples))


@given(LABELS, st.integers(0, 1000))
def test_small_samples_hold_every_label(labels: list[list[str]], seed: int) -> None:
    data = make_data(labels)
    size = min(max(2, len(data.labels)), len(labels))
    drawn = {name for names in training_rows(data, size, seed)["labels"] for name in names}
    assert drawn == set(data.labels)


def test_samples_are_balanced_and_differ_by_seed() -> None:
    data = make_data([["a"]] * 60 + [["b"]] * 30 + [["c"]] * 10)
    samples = [training_rows(data, 15, seed) for seed in (1, 2, 3)]
    for sample in samples:
        assert Counter(name for names in sample["labels"] for name in names) == {"a": 5, "b": 5, "c": 5}
    assert len({tuple(sample["id"]) for sample in samples}) == 3


def test_without_a_size_all_texts_are_taken() -> None:
    data = make_data([["a"], ["b"], []])
    assert training_rows(data, None, 5).equals(data.split("train"))
    assert training_rows(data, 3, 5).equals(data.split("train"))


def test_more_texts_than_there_are() -> None:
    with pytest.raises(UserError, match="train_size: 4: expected at most 3, the number of training texts"):
        training_rows(make_data([["a"], ["b"], []]), 4, 1)
