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
from polysharp.training.answers import named_labels
from polysharp.training.external import Answers, read_answers
from tests.conftest import ROOT, make_texts, write_source

SIB = ROOT.parent / "shared/data/sib-200"
NAMES = {
    "arb_Arab": "Arabic",
    "zho_Hans": "Chinese",
    "eng_Latn": "English",
    "fra_Latn": "French",
    "deu_Latn": "German",
    "hin_Deva": "Hindi",
    "jpn_Jpan": "Japanese",
    "rus_Cyrl": "Russian",
    "spa_Latn": "Spanish",
    "swh_Latn": "Swahili",
    "tur_Latn": "Turkish",
    "yor_Latn": "Yoruba",
}  # of the table in docs/quality.md


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
    with pytest.raises(UserError, match="no rows for the test texts of main, french, single"):
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
    assert "row 32" in text and "has another answer in row 2" in text
    text = refused({"id": ids, "predicted": [json.dumps(data.labels[:2]), *predicted[1:]]})
    assert "row 2" in text and "expected one label" in text


def test_splits_that_are_none_are_named(data: PreparedData, tmp_path: Path) -> None:
    columns: dict[str, list] = {"split": [], "id": [], "predicted": []}
    for split in ("train", "validation", "test"):
        for row in data.split(split).to_dicts():
            for name, value in zip(columns, (split, row["id"], row["labels"][0]), strict=True):
                columns[name].append(value)
    assert set(read(table(tmp_path, columns), data)) == {"validation", "test"}
    for wrong, meant in (("val", "validation"), ("Test", "test"), ("tst", "test"), ("Dev", "validation")):
        columns["split"] = [wrong if split == "validation" else split for split in columns["split"]]
        with pytest.raises(UserError) as caught:
            read(table(tmp_path, columns), data)
        expected = (
            f"split {wrong!r}, in 24 rows: expected one of train, validation, test; did you mean {meant!r}?"
        )
        assert caught.value.lines[0].endswith(f"answers.tsv: {expected}")
        columns["split"] = ["validation" if split == wrong else split for split in columns["split"]]


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


HATE, SIDES = ["hate", "not hate"], ["left", "far left", "centre"]
RATINGS = [str(number) for number in range(12)]
DIRECTIONS = ["-1", "0", "1"]


@pytest.mark.parametrize(
    ("answer", "labels", "single", "multi"),
    [
        # The longest label wins, and what it covers names no other.
        ("not hate", HATE, "not hate", ["not hate"]),
        ("This is NOT HATE.", HATE, "not hate", ["not hate"]),
        ("**not_hate**", HATE, "not hate", ["not hate"]),
        ("not-hate, or hate", HATE, None, HATE),
        ("The far left, clearly", SIDES, "far left", ["far left"]),
        ("far-left", SIDES, "far left", ["far left"]),
        ("the left, or the far left", SIDES, None, ["left", "far left"]),
        ("far left wing", ["far left", "left wing"], None, ["far left", "left wing"]),
        ("science / technology", ["science/technology", "technology"], *2 * ("science/technology",)),
        # Parts of words are no labels, joined ones neither; what stands last says what a word is about.
        ("far-left", ["left", "right"], None, None),
        ("non-hate", ["hate", "other"], None, None),
        ("hate_speech", ["hate", "other"], None, None),
        ("left-wing", ["left", "right"], "left", ["left"]),
        ("travel-politics", LABELS, None, ["travel", "politics"]),
        ("कला", ["कल", "आज"], None, None),
        ("سیاست‌های", ["سیاست", "x"], None, None),
        # A negated label is not named.
        ("not hate", ["hate", "other"], None, None),
        ("This text does not contain any hate.", ["hate", "other"], None, None),
        ("Hate: **no**", ["hate", "other"], None, None),
        ("No, it is hate", ["hate", "other"], "hate", ["hate"]),
        ("Not only travel, also art", LABELS, None, ["travel", "art"]),
        ("Kein Hass", ["Hass", "Spott"], None, None),
        ("経済ではない", ["経済", "政治"], None, None),
        ("非政治", ["経済", "政治"], None, None),
        ("정치가 아닙니다", ["정치", "경제"], None, None),
        ("ليس سياسة", ["سياسة", "رياضة"], None, None),
        # Case, width, Unicode form, marks that are not seen, digits.
        ("ＴＲＡＶＥＬ", LABELS, "travel", ["travel"]),
        ("ｽﾎﾟｰﾂ", ["スポーツ", "x"], "スポーツ", ["スポーツ"]),
        ("It is e\u0301conomie", ["économie", "x"], "économie", ["économie"]),
        ("Konu: SİYASET", ["siyaset", "ışık"], "siyaset", ["siyaset"]),
        ("IŞIK!", ["siyaset", "ışık"], "ışık", ["ışık"]),
        ("STRASSE", ["Straße", "x"], "Straße", ["Straße"]),
        ("سِيَاسَة", ["سياسة", "رياضة"], "سياسة", ["سياسة"]),
        ("\u200ftravel\u200b", LABELS, "travel", ["travel"]),
        ("It is hate", ["Hate", "hate"], "hate", ["hate"]),
        ("It is HATE", ["Hate", "hate"], None, None),
        # Scripts without spaces, and what is written together with a word.
        ("このテキストは経済に関するものです。", ["経済", "政治"], "経済", ["経済"]),
        ("経済政策", ["経済", "経済政策"], "経済政策", ["経済政策"]),
        ("これはtravelです", LABELS, "travel", ["travel"]),
        ("ข้อความนี้เกี่ยวกับกีฬาครับ", ["กีฬา", "การเมือง"], "กีฬา", ["กีฬา"]),
        ("이 글은 정치에 관한 것입니다", ["정치", "경제"], "정치", ["정치"]),
        ("경제학", ["정치", "경제"], None, None),
        ("النص عن السياسة", ["سياسة", "رياضة"], "سياسة", ["سياسة"]),
        # Punctuation around an answer, and as a part of a label.
        ("Label: «travel».", LABELS, "travel", ["travel"]),
        ("_travel_", LABELS, "travel", ["travel"]),
        ("✅ travel 🙂", LABELS, "travel", ["travel"]),
        ("d'art", LABELS, "art", ["art"]),
        ("C++.", ["C", "C++"], "C++", ["C++"]),
        ('"?"', ["?", "yes"], "?", ["?"]),
        ("yes?", ["?", "yes"], "yes", ["yes"]),
        ("I feel 😡!", ["😀", "😡"], "😡", ["😡"]),
        ("👨\u200d👩\u200d👧", ["👨", "x"], None, None),
        # Numbers are whole numbers.
        ("The label is 10.", RATINGS, "10", ["10"]),
        ("1 in 10", RATINGS, None, ["1", "10"]),
        ("1,3", RATINGS, None, ["1", "3"]),
        ("1.5", RATINGS, None, None),
        (".5", RATINGS, None, None),
        ("5%", RATINGS, None, None),
        ("-1", RATINGS, None, None),
        ("covid-10", RATINGS, None, None),
        ("(-1)", DIRECTIONS, "-1", ["-1"]),
        ("Stance: −1", DIRECTIONS, "-1", ["-1"]),
        ("+1", DIRECTIONS, "1", ["1"]),
        ("1.0", DIRECTIONS, "1", ["1"]),
        ("答案是١", DIRECTIONS, "1", ["1"]),
    ],
)  # fmt: skip
def test_an_answer_names_the_longest_labels(
    answer: str, labels: list[str], single: str | None, multi: list[str] | None
) -> None:
    assert named_labels(answer, labels, "single") == (None if single is None else [single])
    assert named_labels(answer, labels, "multi") == ([multi] if isinstance(multi, str) else multi)


words = st.text(min_size=1, max_size=8) | st.text("aAI1-+.,/ \n_经ก가كİ\u0301\u200d", min_size=1, max_size=6)
some_labels = st.lists(words, min_size=1, max_size=4, unique=True)


@given(some_labels, st.text(max_size=40) | words)
def test_any_labels_and_answers_can_be_read(labels: list[str], answer: str) -> None:
    for label_type in ("single", "multi"):
        named = named_labels(answer, labels, label_type)
        assert named is None or set(named) <= set(labels)


@given(some_labels, st.integers(0, 3))
def test_an_answer_that_is_a_label_is_that_label(labels: list[str], number: int) -> None:
    label = labels[number % len(labels)]
    for label_type in ("single", "multi"):
        assert named_labels(label, labels, label_type) == [label]


@given(
    st.lists(st.from_regex(r"[a-z]{2,6}( [a-z]{2,6})?", fullmatch=True), min_size=1, max_size=4, unique=True)
)
def test_an_answer_around_one_label_is_that_label(labels: list[str]) -> None:
    for label in labels:
        for answer in (label.upper(), f"**{label}**", f"«{label}».", f"Label: {label}", f"「{label}」です"):
            assert named_labels(answer, labels, "single") == [label]


def test_whole_numbers_are_answers_too(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for split, size in (("train", 40), ("val", 20), ("test", 20)):
        pl.DataFrame(
            {
                "Text": [f"a text of {split}, number {n}" for n in range(size)],
                "Labels": [n % 2 for n in range(size)],
            }
        ).write_parquet(tmp_path / "data" / f"{split}.parquet")
    prepare_data(Source(str(tmp_path / "data")), "single", {}, 0, tmp_path / "prepared")
    data = read_prepared(tmp_path / "prepared")
    ids, numbers = data.split("test")["id"].to_list(), [n % 2 for n in range(20)]
    for column, answers in (("answer", "text"), ("predicted", "labels")):
        for values in (numbers, [float(number) for number in numbers]):
            path = table(tmp_path, {"id": ids, column: values}, "answers.parquet")
            found = read(path, data, answers)["test"]
            assert not found.unmapped.any()
            assert (found.predicted == encode(right(data), data.labels)).all()


@pytest.mark.skipif(not SIB.is_dir(), reason=f"{SIB} is absent: SIB-200's data are not part of the project")
def test_gpt4s_answers_for_sib_200(tmp_path: Path) -> None:
    """The table of docs/quality.md."""
    counts = {}
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
        right_ones = (found.predicted & encode(right(data), data.labels)).sum()
        counts[folder.name] = f"{right_ones / len(found.predicted):.3f}"[1:], str(found.unmapped.sum())
    page = (ROOT / "docs/quality.md").read_text(encoding="utf-8")
    header, _, *rows = page.partition("## GPT-4's answers")[2].partition("\n| ")[2].splitlines()[:4]
    shown = [[cell.strip() for cell in row.strip("| ").split("|")][1:] for row in rows]
    names = [name.strip() for name in header.strip("| ").split("|")]
    assert dict(zip(names, zip(*shown, strict=True), strict=True)) == {
        NAMES[folder]: of_folder for folder, of_folder in counts.items()
    }
