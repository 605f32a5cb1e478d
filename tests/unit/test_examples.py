"""Texts and labels of rows, whatever form they have."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from polysharp.config.checks import CHECKS, LONGEST_TEXT
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
            "labels ['a']: expected one label, as label_type is 'single'; or use 'multi'",
        ),
        (
            "t",
            7,
            "multi",
            "labels",
            "labels 7: expected a list, as label_type is 'multi'; or use 'single'",
        ),
        (
            "t",
            "a;b",
            "multi",
            "labels",
            "labels 'a;b': expected a list, as label_type is 'multi': ['a', 'b'], or [] for none; "
            "or use 'single'; or set delimiter to the separator of the labels (';')",
        ),
        (
            "t",
            "[__import__('os')]",
            "multi",
            "labels",
            "labels \"[__import__('os')]\": expected a list, as label_type is 'multi': ['a', 'b'], "
            "or [] for none; or use 'single', or set delimiter to the separator of the labels",
        ),
        ("t", None, "single", "labels", "the label is missing; expected a string or a whole number"),
        ("t", 1.5, "single", "labels", "label 1.5: expected a string or a whole number"),
        ("t", [["a"]], "multi", "labels", "label ['a']: expected a string or a whole number"),
        ("t", " ", "single", "labels", "label ' ': empty; expected a name"),
        ("t", ["a", ""], "multi", "labels", "label '': empty; expected a name"),
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
    with pytest.raises(UserError, match="no row has 'fr' in column 'lang'; its values are 'DE', 'de', 'en'"):
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
        UserError, match=r"no row has 'dev' in column 'part'; its values are .*; did you mean 'de'\?"
    ):
        read_examples(Source(path, split_column="part", splits=("tr", "dev", "te")), "single")


def test_groups(tmp_path: Path) -> None:
    path = write(tmp_path, {"Text": "a", "Labels": "x", "who": 7}, {"Text": "b", "Labels": "x", "who": None})
    examples, _ = read_examples(Source(str(path), group="who"), "single")
    assert [example.group for example in examples] == ["7", None]


def test_a_group_is_one_however_it_is_written(tmp_path: Path) -> None:
    given = ["7", "7.0", 7, 7.0, "7.5", "7.0.0", "Müller", "Mu\u0308ller"]
    path = write(tmp_path, *({"Text": f"t{n}", "Labels": "x", "who": who} for n, who in enumerate(given)))
    examples, _ = read_examples(Source(str(path), group="who"), "single")
    assert [example.group for example in examples] == ["7"] * 4 + ["7.5", "7.0.0", "Müller", "Müller"]


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


# --- Lists that are written as text ---------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [None, ",", ";", " "])
@pytest.mark.parametrize(
    "cell",
    [
        "['economy', 'health']",  # Python
        "['economy' 'health']",  # numpy
        "['economy'\n 'health']",
        "[np.str_('economy'), np.str_('health')]",  # numpy 2
        '["economy", "health"]',
        "('economy', 'health')",
        "{'economy', 'health'}",
        "[u'economy', u'health']",
    ],
)
def test_lists_are_lists_however_they_were_written(cell: str, delimiter: str | None, tmp_path: Path) -> None:
    assert labels_of(tmp_path, "multi", cell, delimiter=delimiter) == [("economy", "health")]


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("[1 2]", ("1", "2")),
        ("[np.int64(1)]", ("1",)),
        ("('economy',)", ("economy",)),
        ("[\"it's\" 'b']", ("b", "it's")),
        ("set()", ()),
        ("()", ()),
    ],
)
def test_more_lists(cell: str, labels: tuple[str, ...], tmp_path: Path) -> None:
    assert labels_of(tmp_path, "multi", cell) == [labels]


@pytest.mark.parametrize(
    "cell",
    [
        "['economy' 'health' ... 'war']",
        "['economy', 'hea",
        "['economy', 'health' 'war']",
        "array(['economy', 'health'], dtype=object)",
        "[economy, health]",
        "{economy,health}",
        "c('economy', 'health')",  # R
        'list("economy")',
        "character(0)",
    ],
)
def test_a_list_that_cannot_be_read_is_no_label(cell: str, tmp_path: Path) -> None:
    for label_type, delimiter in [("single", None), ("multi", None), ("multi", ","), ("multi", ";")]:
        row = {"Text": "t", "Labels": cell}
        check, text = problem(tmp_path, label_type, row, delimiter=delimiter)
        assert check == "labels" and repr(cell) in text


def test_a_list_is_no_label_of_a_single_label_task(tmp_path: Path) -> None:
    for cell in ("['economy']", "['a' 'b']", '["economy"]', "('a', 'b')", "[1]"):
        check, text = problem(tmp_path, "single", {"Text": "t", "Labels": cell})
        assert (check, text) == (
            "labels",
            f"labels {cell!r}: expected one label, as label_type is 'single'; or use 'multi'",
        )
    names = ["c(x)", "list", "[other]", "(none)", "[a-z]", "{x}", "(trade, tax)", "Economy (trade, tax)"]
    assert labels_of(tmp_path, "single", *names) == [(name,) for name in names]


def test_zeros_and_ones_in_turn_are_no_labels(tmp_path: Path) -> None:
    for cell in ("[0 1 1 0]", "[0, 0]", [1, 1, 0], [1.0, 0.0, 0.0]):
        check, text = problem(tmp_path, "multi", {"Text": "t", "Labels": cell})
        assert check == "labels" and text.endswith("for lists of 0 and 1, use one column per label")


# --- What nobody sees -----------------------------------------------------------------------------


def test_signs_of_no_width_at_the_edges_of_labels_go(tmp_path: Path) -> None:
    given = ["economy\u200b", "\ufeffeconomy", "\u2060economy\u00a0\u200e", "\u00adeconomy", " economy"]
    assert labels_of(tmp_path, "single", *given) == [("economy",)] * len(given)
    assert labels_of(tmp_path, "multi", "a\u200b;\u200b;b", delimiter=";") == [("a", "b")]
    kept = ["می\u200cخواهم", "क\u094d\u200dष", "👩\u200d🔬", "❤\ufe0f", "🏴\U000e0067\U000e0062\U000e007f"]
    assert labels_of(tmp_path, "single", *kept) == [(label,) for label in kept]
    check, text = problem(tmp_path, "single", {"Text": "t", "Labels": "\u200b"})
    assert (check, text) == ("labels", "label '\\u200b': empty; expected a name")


@pytest.mark.parametrize("text", ["\u200b", " \u200b\ufeff\n", "\u2060", "\u00ad", "\u200e\u200f", "\u3164"])
def test_a_text_of_signs_that_nobody_sees_is_empty(text: str, tmp_path: Path) -> None:
    check, told = problem(tmp_path, "single", {"Text": text, "Labels": "a"})
    assert (check, told) == ("text", "the text is empty; expected at least one word")


@pytest.mark.parametrize(
    "label", ["nan", "NaN", "NA", "None", "none", "null", "#N/A", "<NA>", "\\N", "#REF!"]
)
def test_labels_and_texts_that_look_like_nothing_are_said_and_kept(label: str, tmp_path: Path) -> None:
    path = write(tmp_path, {"Text": "a", "Labels": label}, {"Text": "b", "Labels": "x"})
    examples, problems = read_examples(Source(str(path)), "single")
    assert [example.labels for example in examples] == [(label,), ("x",)]
    assert problems == [Problem("missing_label", f"{path}, row 1", f"label {label!r}", fatal=False)]
    told = Problem("missing_text", f"{path}, row 1", f"text {label!r}", fatal=False)
    write(tmp_path, {"Text": label, "Labels": "x"})
    assert read_examples(Source(str(path)), "single")[1] == [told]
    assert labels_of(tmp_path, "single", "Nan", "Na", "nonsense") == [("Nan",), ("Na",), ("nonsense",)]


def test_groups_that_look_like_nothing_are_no_group(tmp_path: Path) -> None:
    given = ["nan", "None", "<NA>", float("nan"), "Na", 7.0, "7"]
    path = write(tmp_path, *({"Text": f"t{n}", "Labels": "a", "who": who} for n, who in enumerate(given)))
    examples, problems = read_examples(Source(str(path), group="who"), "single")
    assert [example.group for example in examples] == [None] * 4 + ["Na", "7", "7"]
    assert [(one.check, one.place, one.fatal) for one in problems] == [
        ("missing_group", f"{path}, row {row}", False) for row in (1, 2, 3)
    ]
    assert problems[0].text == "'nan' in column 'who', which counts as no group"


# --- Truth values and blanks ----------------------------------------------------------------------


def written(frame: pd.DataFrame, path: Path) -> Path:
    """Write a table with pandas in the format that the path names."""
    match path.suffix:
        case ".csv":
            frame.to_csv(path, index=False)
        case ".json":
            frame.to_json(path)
        case ".parquet":
            frame.to_parquet(path)
        case ".xlsx":
            frame.to_excel(path, index=False, engine="xlsxwriter")
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.json", "t.parquet", "t.xlsx"])
def test_truth_values_in_every_format(name: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"Text": ["a", "b", "c"], "x": [True, False, True], "y": [False, True, None]})
    path = str(written(frame, tmp_path / name))
    examples, problems = read_examples(Source(path, labels=("x", "y")), "multi")
    assert [example.labels for example in examples] == [("x",), ("y",), ("x",)]
    row = 4 if name.endswith(("csv", "xlsx")) else 3
    told = "'y' empty, which counts as 0"
    assert problems == [Problem("blank_indicator", f"{path}, row {row}", told, fatal=False)]
    examples, problems = read_examples(Source(path, labels=("x",)), "single")
    assert [example.labels[0].lower() for example in examples] == ["true", "false", "true"]
    assert problems == []


def test_a_truth_value_among_labels_is_a_fault(tmp_path: Path) -> None:
    path = write(tmp_path, {"Text": "a", "Labels": "yes"}, {"Text": "b", "Labels": True})
    _, (found,) = read_examples(Source(str(path)), "single")
    assert found == Problem("labels", f"{path}, row 2", "label True: expected a string or a whole number")


def test_a_row_of_blanks_is_unlabelled(tmp_path: Path) -> None:
    path = write(tmp_path, {"Text": "a", "x": None, "y": " "}, {"Text": "b", "x": 1, "y": 0})
    examples, problems = read_examples(Source(str(path), labels=("x", "y")), "multi")
    assert [example.labels for example in examples] == [(), ("x",)]
    assert problems == [Problem("unlabelled", f"{path}, row 1", "no label", fatal=False)]


# --- Rows that are not taken ----------------------------------------------------------------------


def left_out(folder: Path, values: list[Any], splits: tuple[str, str, str], **columns: Any) -> list[Problem]:
    rows = [{"Text": f"t{n}", "Labels": "a", "part": part} for n, part in enumerate(values)]
    path = str(write(folder, *rows))
    return read_examples(Source(path, split_column="part", splits=splits), "single")[1]


def test_splits_that_are_not_taken_are_counted(tmp_path: Path) -> None:
    values = ["train", "val", "test", "unlabelled", "unlabelled", None, "test_hard"]
    found = left_out(tmp_path, values, ("train", "val", "test"))
    assert [(one.check, one.place.rpartition(", ")[2], one.text) for one in found] == [
        ("other_split", "row 6", "'' in column 'part' (1 row) is not used"),
        ("other_split", "row 7", "'test_hard' in column 'part' (1 row) is not used"),
        ("other_split", "row 4", "'unlabelled' in column 'part' (2 rows) is not used"),
    ]


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("Test", "test"),
        ("TEST ", None),
        ("training", "train"),
        ("dev", "val"),
        ("validation", "val"),
        ("tset", "test"),
        ("tests", "test"),
        ("Train", "train"),
    ],
)
def test_a_near_miss_of_a_split_is_an_error(value: str, meant: str | None, tmp_path: Path) -> None:
    (found,) = left_out(tmp_path, ["train", "val", "test", value], ("train", "val", "test"))
    assert CHECKS[found.check].severity == "error" and found.place.endswith("row 4")
    meant = meant or "test"
    assert found.text == f"{value.strip()!r} in column 'part' (1 row) is not used; did you mean {meant!r}?"


def test_numbers_tell_splits_apart(tmp_path: Path) -> None:
    found = left_out(tmp_path, ["fold1", "fold2", "fold3", "fold4"], ("fold1", "fold2", "fold3"))
    assert [one.check for one in found] == ["other_split"]


def test_a_near_miss_of_a_language_is_an_error(tmp_path: Path) -> None:
    rows = [
        {"Text": f"t{n}", "Labels": "a", "lang": lang}
        for n, lang in enumerate(["german", "GERMAN", "germam", "english", "ger-man"])
    ]
    path = str(write(tmp_path, *rows))
    source = Source(path, language_column="lang", language_value="german")
    examples, problems = read_examples(source, "single")
    assert [example.row for example in examples] == [1, 2]
    assert [(one.check, one.place) for one in problems] == [
        ("misspelt_value", f"{path}, row 5"),
        ("misspelt_value", f"{path}, row 3"),
    ]


@pytest.mark.parametrize(
    ("wanted", "given", "found"),
    [
        ("de", ["de", "deu", "en"], ["deu"]),
        ("german", ["german", "de", "fr"], ["de"]),
        ("zho_Hans", ["zho_Hans", "zho_Hant"], []),  # scripts and regions are data sets of their own
        ("pt", ["pt", "pt-BR"], []),
        ("arb_Arab", ["arb_Arab", "arz_Arab", "arb_Arap", "arb-Arab"], ["arb-Arab"]),
        ("latin", ["latin", "latn", "ladin"], ["latn"]),
    ],
)
def test_another_word_for_the_language_is_an_error(
    wanted: str, given: list[str], found: list[str], tmp_path: Path
) -> None:
    path = str(
        write(tmp_path, *({"Text": f"t{n}", "Labels": "a", "lang": lang} for n, lang in enumerate(given)))
    )
    _, problems = read_examples(Source(path, language_column="lang", language_value=wanted), "single")
    assert [one.check for one in problems] == ["misspelt_value"] * len(found)
    assert [one.text for one in problems] == [
        f"{value!r} in column 'lang' (1 row) is not used; did you mean {wanted!r}?" for value in found
    ]
