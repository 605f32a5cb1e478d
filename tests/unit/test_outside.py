"""Predictions from elsewhere, read as those of a method."""

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polysharp.config.settings import OutsideSettings
from polysharp.config.sources import Source
from polysharp.core.errors import UserError
from polysharp.core.labels import encode
from polysharp.core.terms import LabelType
from polysharp.data.preparation import prepare_data
from polysharp.data.prepared import PreparedData, read_prepared
from polysharp.training.external import Answers, named_labels, read_answers
from tests.conftest import ROOT, make_texts, write_source

SIB = ROOT.parent / "shared/data/sib-200"


@pytest.fixture
def data(tmp_path: Path) -> PreparedData:
    return prepared(tmp_path, "single")


def prepared(folder: Path, label_type: LabelType) -> PreparedData:
    source = Source(str(write_source(folder / label_type, make_texts(label_type))))
    prepare_data(source, label_type, {}, 0, folder / "prepared" / label_type)
    return read_prepared(folder / "prepared" / label_type)


def table(folder: Path, columns: dict[str, list], name: str = "answers.tsv") -> Path:
    path = folder / name
    if name.endswith(".parquet"):
        pl.DataFrame(columns).write_parquet(path)
    else:
        pl.DataFrame(columns).write_csv(path, separator="\t" if name.endswith(".tsv") else ",")
    return path


def read(path: Path, data: PreparedData, answers: str = "labels", language: str = "english") -> dict:
    settings = OutsideSettings.model_validate({"predictions": str(path), "answers": answers})
    return read_answers(path, settings, data, "main", language)


def right(data: PreparedData, split: str = "test") -> list[list[str]]:
    return data.split(split)["labels"].to_list()


def test_labels_are_found_by_id_or_text(data: PreparedData, tmp_path: Path) -> None:
    test = data.split("test")
    predicted = [labels[0] for labels in right(data)]
    for key in ("id", "text"):
        shuffled = pl.DataFrame({key: test[key], "predicted": predicted}).sample(
            fraction=1, shuffle=True, seed=1
        )
        found = read(table(tmp_path, shuffled.to_dict(as_series=False)), data)
        assert set(found) == {"test"} and not found["test"].unmapped.any()
        assert (found["test"].predicted == encode(right(data), data.labels)).all()


@pytest.mark.parametrize("name", ["answers.tsv", "answers.parquet"])
def test_several_labels_are_lists(tmp_path: Path, name: str) -> None:
    data = prepared(tmp_path, "multi")
    lists = right(data)
    given = lists if name.endswith("parquet") else [json.dumps(labels) for labels in lists]
    found = read(table(tmp_path, {"id": data.split("test")["id"].to_list(), "predicted": given}, name), data)
    assert (found["test"].predicted == encode(lists, data.labels)).all()


def test_rows_of_the_data_set_are_taken(data: PreparedData, tmp_path: Path) -> None:
    columns: dict[str, list] = {
        "task": [],
        "language": [],
        "label_type": [],
        "split": [],
        "id": [],
        "predicted": [],
    }
    for language, shift in (("English", 0), ("german", 1)):
        for split in ("validation", "test"):
            for row in data.split(split).to_dicts():
                wrong = data.labels[(data.labels.index(row["labels"][0]) + shift) % 3]
                values = ("main", language, "single", split, row["id"], wrong)
                for name, value in zip(columns, values, strict=True):
                    columns[name].append(value)
    path = table(tmp_path, columns)
    found, other = read(path, data), read(path, data, language="german")
    for split in ("validation", "test"):
        assert (found[split].predicted == encode(right(data, split), data.labels)).all()
        assert not (other[split].predicted & found[split].predicted).any()
    with pytest.raises(UserError, match="no row is of the test texts of main, french, single"):
        read(path, data, language="french")


def test_what_is_wrong_is_said_with_its_row(data: PreparedData, tmp_path: Path) -> None:
    ids = data.split("test")["id"].to_list()
    predicted = [labels[0] for labels in right(data)]

    def refused(columns: dict[str, list]) -> str:
        with pytest.raises(UserError) as caught:
            read(table(tmp_path, columns), data)
        return "\n".join(caught.value.lines)

    misspelt = [f"{predicted[0]}s", *predicted[1:]]
    text = refused({"id": ids, "predicted": misspelt})
    assert f"answers.tsv, row 2: label '{predicted[0]}s': not a label of the data set; did you mean" in text
    assert "no prediction for 2 of 30 test texts" in refused({"id": ids[2:], "predicted": predicted[2:]})
    assert "column 'predicted': missing; the columns are id, answer" in refused({"id": ids, "answer": ids})
    assert "column 'id' or 'text': missing" in refused({"name": ids, "predicted": predicted})
    other = next(label for label in data.labels if label != predicted[0])
    text = refused({"id": [*ids, ids[0]], "predicted": [*predicted, other]})
    assert "row 32" in text and "stands in row 2 with another answer" in text
    text = refused({"id": ids, "predicted": [json.dumps(data.labels[:2]), *predicted[1:]]})
    assert "row 2" in text and "expected one label" in text


def test_an_answer_without_a_label_counts_as_wrong(data: PreparedData, tmp_path: Path) -> None:
    ids, predicted = data.split("test")["id"].to_list(), [labels[0] for labels in right(data)]
    found = read(table(tmp_path, {"id": ids, "predicted": [None, *predicted[1:]]}), data)["test"]
    assert found.unmapped.tolist() == [True] + [False] * (len(ids) - 1)
    assert not found.predicted[0].any() and found.predicted[1:].any(1).all()


LABELS = ["science/technology", "travel", "politics", "art"]


@pytest.mark.parametrize(
    ("answer", "single", "multi"),
    [
        ('It is about "Travel".', ["travel"], ["travel"]),
        ("SCIENCE/TECHNOLOGY", ["science/technology"], ["science/technology"]),
        ("travel or politics", None, ["travel", "politics"]),
        ("Travel, yes: travel", ["travel"], ["travel"]),
        ("travelling, an article", None, None),  # parts of words are no labels
        ("I cannot tell.", None, None),
        ("", None, None),
    ],
)
def test_free_text_names_labels(answer: str, single: list[str] | None, multi: list[str] | None) -> None:
    assert named_labels(answer, LABELS, "single") == single
    assert named_labels(answer, LABELS, "multi") == multi


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4, unique=True), st.text(max_size=40))
def test_any_labels_and_answers_can_be_read(labels: list[str], answer: str) -> None:
    for label_type in ("single", "multi"):
        named = named_labels(answer, labels, label_type)
        assert named is None or set(named) <= set(labels)


@pytest.mark.skipif(not SIB.is_dir(), reason=f"{SIB} is absent: SIB-200's data are not part of the project")
def test_gpt4s_answers_for_sib_200(tmp_path: Path) -> None:
    accuracies = {}
    for folder in sorted(path for path in SIB.iterdir() if path.is_dir()):
        source = Source(str(folder), text="text", labels=("category",), splits=("train", "dev", "test"))
        prepare_data(source, "single", {}, 0, tmp_path / folder.name)
        data = read_prepared(tmp_path / folder.name)
        answers = pl.read_csv(folder / "gpt4.tsv", separator="\t", infer_schema=False)
        path = table(
            tmp_path,
            {"text": answers["text"].to_list(), "answer": answers["gpt-4"].to_list()},
            f"{folder.name}.parquet",
        )
        found: Answers = read(path, data, "text")["test"]
        truth = encode(right(data), data.labels)
        hits, unmapped = 0, 0
        of_text = dict(zip(answers["text"], answers["gpt-4"], strict=True))
        for text, labels in data.split("test").select("text", "labels").iter_rows():
            lower = (of_text[text] or "").lower()
            named = [label for label in data.labels if label in lower]
            hits += named == labels
            unmapped += len(named) != 1
        # The labels of SIB-200 are parts of no other words in these answers, but for one or two.
        assert (found.predicted & truth).sum() == pytest.approx(hits, abs=2)
        assert found.unmapped.sum() == pytest.approx(unmapped, abs=2)
        accuracies[folder.name] = (found.predicted & truth).sum() / len(truth)
    assert len(accuracies) == 12
    assert accuracies["eng_Latn"] == pytest.approx(0.711, abs=0.002)
    assert min(accuracies, key=accuracies.__getitem__) == "yor_Latn"
