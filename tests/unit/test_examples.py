"""Texts and labels of rows, whatever form they have."""

import json
from pathlib import Path
from typing import Any

import pytest

from polysharp.config.checks import LONGEST_TEXT
from polysharp.config.sources import Source
from polysharp.core.errors import UserError
from polysharp.data.examples import Example, Problem, read_examples


def write(folder: Path, *rows: dict[str, Any], name: str = "t.jsonl") -> Path:
    (folder / name).write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return folder / name


def labels_of(folder: Path, label_type: str, *values: Any, **options: Any) -> list[tuple[str, ...]]:
    """Return the labels that values in a column are read as."""
    path = write(folder, *({"Text": f"text {n}", "Labels": value} for n, value in enumerate(values)))
    examples, problems = read_examples(Source(str(path), **options), label_type)
    assert problems == []
    return [example.labels for example in examples]


def problem(folder: Path, label_type: str, row: dict[str, Any], **options: Any) -> tuple[str, str]:
    """Return what is wrong with a row: the check, and the text."""
    path = write(folder, row)
    _, (found,) = read_examples(Source(str(path), **options), label_type)
    assert found.place == f"{path}, row 1"
    return found.check, found.text


def test_an_example_says_where_it_came_from(tmp_path: Path) -> None:
    path = write(tmp_path, {"Text": " zwei ", "Labels": " b "})
    examples, _ = read_examples(Source(str(path)), "single")
    assert examples == [Example("t.jsonl", str(path), 1, " zwei ", ("b",))]  # a text stays as it is
    assert (examples[0].id, examples[0].place) == ("t.jsonl:1", f"{path}, row 1")


def test_single_labels(tmp_path: Path) -> None:
    assert labels_of(tmp_path, "single", "b", 7, 7.0) == [("b",), ("7",), ("7",)]


def test_several_labels_are_sorted_and_counted_once(tmp_path: Path) -> None:
    given = [["b", "a", 10, "b"], [], "['b', 'a']", '["x, y"]', "[]"]
    assert labels_of(tmp_path, "multi", *given) == [("10", "a", "b"), (), ("a", "b"), ("x, y",), ()]


def test_labels_joined_by_a_delimiter(tmp_path: Path) -> None:
    given = ["b; a", ";a;;", ["c"]]
    assert labels_of(tmp_path, "multi", *given, delimiter=";") == [("a", "b"), ("a",), ("c",)]


def test_labels_that_are_left_empty_are_said_and_count_as_none(tmp_path: Path) -> None:
    rows = [{"Text": f"text {n}", "Labels": value} for n, value in enumerate(["a", "", None, " ; "])]
    path = write(tmp_path, *rows)
    examples, problems = read_examples(Source(str(path), delimiter=";"), "multi")
    assert [example.labels for example in examples] == [("a",), (), (), ()]
    assert [(problem.check, problem.place) for problem in problems] == [
        ("unlabelled", f"{path}, row {row}") for row in (2, 3, 4)
    ]


def test_a_column_for_every_label(tmp_path: Path) -> None:
    rows = [
        {"Text": "one", "topic_a": 1, "topic_b": 0},
        {"Text": "two", "topic_a": "0.0", "topic_b": "TRUE"},
        {"Text": "three", "topic_a": True, "topic_b": 1.0},
    ]
    path = str(write(tmp_path, *rows))
    for labels in (("topic_*",), ("topic_a", "topic_b")):
        examples, problems = read_examples(Source(path, labels=labels), "multi")
        assert problems == []
        assert [example.labels for example in examples] == [
            ("topic_a",),
            ("topic_b",),
            ("topic_a", "topic_b"),
        ]
    examples, problems = read_examples(Source(path, labels=("topic_*",)), "single")
    assert [example.labels for example in examples] == [("topic_a",), ("topic_b",)]
    (wrong,) = problems
    assert wrong.text.startswith("2 labels (topic_a, topic_b): expected one, as label_type is 'single'")


@pytest.mark.parametrize(
    ("text", "label", "label_type", "check", "line"),
    [
        (5, "a", "single", "text", "text 5: expected a string"),
        (None, "a", "single", "text", "no text"),
        (" \n", "a", "single", "text", "the text is empty; expected at least one word"),
        ("\ud83d", "a", "single", "encoding", "half a character (U+D83D); expected Unicode text"),
        ("t", "\ud83d", "single", "encoding", "half a character (U+D83D); expected Unicode text"),
        (
            "t",
            ["a"],
            "single",
            "labels",
            "labels ['a']: expected one label, as label_type is 'single'; or say 'multi'",
        ),
        (
            "t",
            7,
            "multi",
            "labels",
            "labels 7: expected a list, as label_type is 'multi'; or say 'single'",
        ),
        (
            "t",
            "a;b",
            "multi",
            "labels",
            "labels 'a;b': expected a list, as label_type is 'multi': ['a', 'b'], or [] for none; "
            "or say 'single'; or name the sign between the labels as delimiter (';')",
        ),
        (
            "t",
            "[__import__('os')]",
            "multi",
            "labels",
            "labels \"[__import__('os')]\": expected a list, as label_type is 'multi': ['a', 'b'], "
            "or [] for none; or say 'single', or give the delimiter of the labels",
        ),
        ("t", None, "single", "labels", "no label; expected a string or a whole number"),
        ("t", 1.5, "single", "labels", "label 1.5: expected a string or a whole number"),
        ("t", True, "single", "labels", "label True: expected a string or a whole number"),
        ("t", [["a"]], "multi", "labels", "label ['a']: expected a string or a whole number"),
        ("t", " ", "single", "labels", "label ' ': expected a name, it is empty"),
        ("t", ["a", ""], "multi", "labels", "label '': expected a name, it is empty"),
        ("a\x00b", "a", "single", "control_characters", "U+0000 in 'a\\x00b'"),
        ("t", "a\x07", "single", "control_characters", "U+0007 in 'a\\x07'"),
        ("t" * (LONGEST_TEXT + 1), "a", "single", "size", "a text of 100,001 characters"),
    ],
)
def test_rows_with_something_wrong(
    text: Any, label: Any, label_type: str, check: str, line: str, tmp_path: Path
) -> None:
    assert problem(tmp_path, label_type, {"Text": text, "Labels": label}) == (check, line)


def test_a_column_of_indicators_with_something_else(tmp_path: Path) -> None:
    row = {"Text": "t", "a": 1, "b": "yes"}
    assert problem(tmp_path, "multi", row, labels=("a", "b")) == (
        "labels",
        "'yes' in column 'b': expected 0 or 1",
    )
    row = {"Text": "t", "a": 0, "b": 0}
    assert problem(tmp_path, "single", row, labels=("a", "b"))[1].startswith("no label: expected one")


def test_a_file_of_several_languages(tmp_path: Path) -> None:
    rows = [
        {"Text": text, "Labels": "a", "lang": lang}
        for text, lang in [("eins", "de"), ("one", "en"), ("zwei", "DE ")]
    ]
    path = str(write(tmp_path, *rows))
    examples, _ = read_examples(Source(path, language_column="lang", language_value="de"), "single")
    assert [(example.text, example.row) for example in examples] == [("eins", 1), ("zwei", 3)]
    with pytest.raises(UserError, match="no row has 'fr' in column 'lang'; there are 'DE', 'de', 'en'"):
        read_examples(Source(path, language_column="lang", language_value="fr"), "single")


def test_rows_of_other_languages_may_be_broken(tmp_path: Path) -> None:
    path = write(
        tmp_path, {"Text": "eins", "Labels": "a", "lang": "de"}, {"Text": "", "Labels": "a", "lang": "en"}
    )
    examples, problems = read_examples(
        Source(str(path), language_column="lang", language_value="de"), "single"
    )
    assert len(examples) == 1 and problems == []


def test_a_column_that_says_the_split(tmp_path: Path) -> None:
    rows = [
        {"Text": f"t{n}", "Labels": "a", "part": part} for n, part in enumerate(["tr", "te", "de", "unused"])
    ]
    path = str(write(tmp_path, *rows))
    source = Source(path, split_column="part", splits=("tr", "de", "te"))
    examples, _ = read_examples(source, "single")
    assert [(example.text, example.split) for example in examples] == [
        ("t0", "train"),
        ("t1", "test"),
        ("t2", "validation"),
    ]
    with pytest.raises(
        UserError, match=r"no row has 'dev' in column 'part'; there are .*; did you mean 'de'\?"
    ):
        read_examples(Source(path, split_column="part", splits=("tr", "dev", "te")), "single")


def test_groups(tmp_path: Path) -> None:
    path = write(tmp_path, {"Text": "a", "Labels": "x", "who": 7}, {"Text": "b", "Labels": "x", "who": None})
    examples, _ = read_examples(Source(str(path), group="who"), "single")
    assert [example.group for example in examples] == ["7", None]


def test_files_of_a_pattern_are_named_apart(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, {"Text": folder, "Labels": "a"}, name="train.jsonl")
        write(tmp_path / folder, {"Text": f"{folder}!", "Labels": "a"}, name="test.jsonl")
        write(tmp_path / folder, {"Text": f"{folder}?", "Labels": "a"}, name="val.jsonl")
    examples, _ = read_examples(Source(f"{tmp_path}/*/*.jsonl"), "single")
    assert {example.id: example.split for example in examples} == {
        f"{folder}/{name}.jsonl:1": split
        for folder in ("one", "two")
        for name, split in [("train", "train"), ("val", "validation"), ("test", "test")]
    }


def test_every_file_that_is_wrong_is_told(tmp_path: Path) -> None:
    for name in ("train", "val", "test"):
        (tmp_path / f"{name}.json").write_text("[")
    with pytest.raises(UserError) as caught:
        read_examples(Source(str(tmp_path)), "single")
    assert [Path(line.partition(",")[0]).name for line in caught.value.lines] == [
        "train.json",
        "val.json",
        "test.json",
    ]


def test_problems_name_their_rows_among_sound_ones(tmp_path: Path) -> None:
    path = write(tmp_path, {"Text": "", "Labels": "a"}, {"Text": "b", "Labels": "a"})
    examples, problems = read_examples(Source(str(path)), "single")
    assert [example.row for example in examples] == [2]
    assert problems == [Problem("text", f"{path}, row 1", "the text is empty; expected at least one word")]
