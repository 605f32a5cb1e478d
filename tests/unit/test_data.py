"""Preparing and storing of data sets, and samples of their training texts."""

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polysharp.config.sources import Source
from polysharp.core.errors import UserError
from polysharp.core.terms import SPLITS
from polysharp.data.preparation import prepare_data
from polysharp.data.prepared import PreparedData, read_prepared, training_rows
from tests.conftest import make_texts, write_source

FILES = ("train", "val", "test")


def prepare(source: Path, label_type: str, output: Path, **severities: str) -> dict[str, bytes]:
    prepare_data(Source(str(source)), label_type, severities, 0, output)
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
        assert rows["id"].to_list() == [f"{stem}.json:{row}" for row in range(1, len(rows) + 1)]
        given = texts[stem]["Labels"]
        assert rows["labels"].to_list() == [sorted(x) if label_type == "multi" else [x] for x in given]


@pytest.mark.parametrize("label_type", ["single", "multi"])
def test_storing_twice_gives_the_same_bytes(label_type: str, tmp_path: Path) -> None:
    source = write_source(tmp_path / "in", make_texts(label_type))
    one, two = prepare(source, label_type, tmp_path / "one"), prepare(source, label_type, tmp_path / "two")
    assert sorted(one) == [
        "examples.parquet",
        "findings.json",
        "findings.tsv",
        "labels.json",
        "prepared.json",
    ]
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
    texts["train"]["Labels"][7] = "lonely label"
    source = write_source(tmp_path / "in", texts)
    prepare(source, "single", tmp_path / "out")
    findings = pl.read_csv(tmp_path / "out" / "findings.tsv", separator="\t")
    assert findings.columns == ["severity", "check", "count", "finding", "remedy", "places"]
    assert findings.select("severity", "check", "count", "places").rows() == [
        (
            "warning",
            "copy_in_another_split",
            1,
            f"{source}/train.json, row 5 (train): the same text as {source}/test.json, row 3 (test)",
        ),
        ("warning", "untested_label", 2, "'lonely label' in validation | 'lonely label' in test"),
        ("warning", "rare_label", 1, "'lonely label': 1"),
    ]
    stored = json.loads((tmp_path / "out" / "findings.json").read_text())
    assert [entry["check"] for entry in stored] == findings["check"].to_list()
    assert len(stored[1]["places"]) == 2
    kept = read_prepared(tmp_path / "out").split("train")["id"].to_list()
    assert kept[3:5] == ["train.json:4", "train.json:6"]


def test_data_without_findings_has_an_empty_table_with_a_header(tmp_path: Path) -> None:
    prepare(write_source(tmp_path / "in", make_texts("single")), "single", tmp_path / "out")
    text = (tmp_path / "out" / "findings.tsv").read_text()
    assert text == "severity\tcheck\tcount\tfinding\tremedy\tplaces\n"


def test_a_severity_of_ones_own(tmp_path: Path) -> None:
    texts = make_texts("single")
    texts["train"]["Text"][4] = " "
    texts["train"]["Labels"][6] = None
    texts["test"]["Text"][0] = texts["train"]["Text"][0]
    source = write_source(tmp_path / "in", texts)
    kept = prepare(source, "single", tmp_path / "out", text="warning", labels="ignore")
    ids = read_prepared(tmp_path / "out").split("train")["id"].to_list()
    assert ids[:5] == ["train.json:2", "train.json:3", "train.json:4", "train.json:6", "train.json:8"]
    assert [entry["check"] for entry in json.loads(kept["findings.json"])] == [
        "text",
        "copy_in_another_split",
        "contradiction",
    ]
    with pytest.raises(UserError, match=r"train.json, row 1 \(train\): the same text as"):
        severities = {"text": "warning", "labels": "ignore", "copy_in_another_split": "error"}
        prepare(source, "single", tmp_path / "other", **severities)
    assert not (tmp_path / "other").exists()


def everything_leaks(texts: dict[str, dict[str, list]]) -> None:
    texts["val"] = texts["test"]


def one_label(texts: dict[str, dict[str, list]]) -> None:
    texts["train"]["Labels"] = ["food"] * len(texts["train"]["Labels"])


def the_same_labels(texts: dict[str, dict[str, list]]) -> None:
    for content in texts.values():  # vectors of 0 and 1 for two labels
        content["Labels"] = [[row % 2, 1 - row % 2] for row in range(len(content["Labels"]))]


def broken_row(texts: dict[str, dict[str, list]]) -> None:
    texts["test"]["Labels"][3] = None


def only_broken_rows(texts: dict[str, dict[str, list]]) -> None:
    for content in texts.values():
        content["Text"] = [""] * len(content["Text"])


def misspelt(texts: dict[str, dict[str, list]]) -> None:
    texts["val"]["Labels"][2] = "fod"


def test_labels_that_are_the_same_everywhere_teach_nothing(tmp_path: Path) -> None:
    texts = make_texts("multi")
    the_same_labels(texts)
    with pytest.raises(UserError, match=r"every training text has the labels \['0', '1'\]"):
        prepare(write_source(tmp_path / "in", texts), "multi", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (everything_leaks, "every text of validation also occurs in another split"),
        (one_label, r"the training texts have the labels \['food'\]; expected two or more"),
        (broken_row, "test.json, row 4: the label is missing"),
        (only_broken_rows, "train.json, row 1: the text is empty"),
        (
            misspelt,
            r"val.json, row 3 \(validation\): no training text has the label 'fod'; did you mean 'food'\?",
        ),
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


def test_all_files_are_told_and_long_lists_are_cut(tmp_path: Path) -> None:
    texts = make_texts("single")
    texts["train"]["Text"] = [""] * len(texts["train"]["Text"])
    texts["val"]["Labels"][1] = ["b"]
    source = write_source(tmp_path, texts)
    with pytest.raises(UserError) as caught:
        prepare(source, "single", tmp_path / "out")
    lines = [line.replace(f"{tmp_path}/", "") for line in caught.value.lines]
    assert [line.partition(":")[0] for line in lines[:5]] == [f"train.json, row {n}" for n in range(1, 6)]
    assert lines[5] == f"and {len(texts['train']['Text']) - 5} more rows without a text"
    assert lines[6].startswith("val.json, row 2: labels ['b']")


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


# --- Files that are too small ---------------------------------------------------------------------


def test_rows_that_were_refused_are_told_before_too_few_are_left(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("Text,Labels\none,a\n,b\nthree,\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        prepare_data(Source(str(path), splits=("80%", "10%", "10%")), "single", {}, 0, tmp_path / "out")
    first, second, *_, last = caught.value.lines
    assert first == f"{path}, row 3: the text is empty; expected at least one word"
    assert second.startswith(f"{path}, row 4: label '': empty; expected a name")
    assert last.startswith(f"{path}: 1 texts are too few for splits 80%,10%,10%")


def test_one_file_with_names_of_splits(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("Text,Labels\none,a\ntwo,b\n", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"is one file; expected shares, as in '80%,10%,10%', or split_column"
    ):
        prepare_data(Source(str(path)), "single", {}, 0, tmp_path / "out")
