"""Double quotes in files with separators: those that enclose fields, and those that are quotations."""

import csv
from io import StringIO
from pathlib import Path

import pytest

from polysharp.config.sources import Source
from polysharp.core.errors import UserError
from polysharp.data.examples import read_examples
from polysharp.data.readers import FileTable, read_file

SPEECH = [
    ("a", "left"),
    ("b", "right"),
    ('"We shall go on to the end', "left"),
    ("c", "right"),
    ("d", "left"),
    ("e", "right"),
    ('we shall never surrender."', "left"),
    ("f", "right"),
]


def read(path: Path, text: str) -> FileTable:
    path.write_text(text, encoding="utf-8", newline="")
    return read_file(path, ["Text", "Labels"])


def rows(table: FileTable) -> list[tuple[str, str]]:
    return list(zip(table.columns["Text"], table.columns["Labels"], strict=True))


def refusal(path: Path, text: str) -> str:
    with pytest.raises(UserError) as caught:
        read(path, text)
    return caught.value.lines[0].removeprefix(str(path))


def without_quotes(given: list[tuple[str, str]], separator: str, columns: str = "Text,Labels") -> str:
    """Return a table in which quotes mean nothing, as many programs write it."""
    header = columns.split(",")
    lines = [separator.join(header)]
    for text, label in given:
        record = {"Text": text, "Labels": label, "Id": "7"}
        lines.append(separator.join(record[name] for name in header))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("columns", ["Text,Labels", "Labels,Text", "Id,Text,Labels"])
@pytest.mark.parametrize(("name", "separator"), [("t.tsv", "\t"), ("t.csv", ","), ("t.csv", ";")])
def test_quotations_do_not_swallow_rows(name: str, separator: str, columns: str, tmp_path: Path) -> None:
    table = read(tmp_path / name, without_quotes(SPEECH, separator, columns))
    assert rows(table) == SPEECH
    assert table.rows == [*range(2, 10)]
    text = "the quotation mark was read as part of the text"
    assert table.doubts == [(4, f"'\"We shall go on to the end': {text}")]


def test_two_rows_are_as_good_as_five_where_labels_are_frequent(tmp_path: Path) -> None:
    given = [("a", "left"), ("b", "right")] * 4 + [('"Yes', "left"), ('no"', "right")]
    assert rows(read(tmp_path / "t.tsv", without_quotes(given, "\t"))) == given


def test_a_quotation_that_is_not_closed(tmp_path: Path) -> None:
    given = [("a", "left"), ('"Yes', "right"), ("b", "left")]
    assert rows(read(tmp_path / "t.tsv", without_quotes(given, "\t"))) == given


def test_quotations_with_more_behind(tmp_path: Path) -> None:
    given = [('"Yes," she said', "left"), ('"No."', "right"), ('the "good" one', "left"), ("b", "right")]
    assert rows(read(tmp_path / "t.tsv", without_quotes(given, "\t"))) == given


def test_rows_or_one_text_is_asked_where_it_cannot_be_told(tmp_path: Path) -> None:
    text = without_quotes([("a", "left"), ('"Yes', "left"), ('no"', "right")], ",")
    line = refusal(tmp_path / "t.csv", text)
    assert line.startswith(
        ", row 3: lines 3 to 4 are one text in double quotes, or 2 rows of which the first begins "
    )
    # One of the lines that were swallowed has a field too many: the file cannot be read without quotes.
    broken = without_quotes(SPEECH, "\t").replace("d\tleft", "d\tleft\tx")
    assert refusal(tmp_path / "t.tsv", broken).startswith(", row 4: lines 4 to 8 are one text in double ")


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize(
    "text",
    [
        "Dear all,\nthis is one text.",
        "Mr President, ladies\nand gentlemen, one text",
        'He said: "Well, no."\n"Yes, yes."',
        "roses,\nviolets,\nsugar",
        "a\tb\nc\td",
        '"',
        '""',
        '","\n","',
    ],
)
def test_what_a_program_has_written_is_one_text(text: str, quoting: int, tmp_path: Path) -> None:
    given = [(text, "left"), ("b", "right"), (f"{text}!", "right"), ("b, c", "left")]
    for name, separator in [("t.csv", ","), ("t.tsv", "\t")]:
        stream = StringIO()
        writer = csv.writer(stream, delimiter=separator, quoting=quoting)
        writer.writerows([("Text", "Labels"), *given])
        assert rows(read(tmp_path / name, stream.getvalue())) == given


def test_numbers_of_rows_say_nothing_about_rows(tmp_path: Path) -> None:
    agenda = "Agenda, for today, first:\n1, budget, tax\n2, health, war\n3, peace, rest"
    given = [("a", "left"), (agenda, "left"), ("b", "right"), ("c", "left"), ("d", "left"), ("e", "right")]
    stream = StringIO()
    rows_with_ids = [(number, *row) for number, row in enumerate(given)]
    csv.writer(stream).writerows([("Id", "Text", "Labels"), *rows_with_ids])
    text = stream.getvalue() + '6,"with, commas",left\r\n'
    assert rows(read(tmp_path / "t.csv", text)) == [*given, ("with, commas", "left")]


def test_the_advice_helps(tmp_path: Path) -> None:
    stream = StringIO()
    given = [("a", "left"), ("Yes,left\nno", "left")]
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([("Text", "Labels"), *given])
    assert rows(read(tmp_path / "t.csv", stream.getvalue())) == given


TORN = (
    'Text,Labels\none,economy\ntwo,health\n"lost,economy\n"first line, and\nsecond line",health\n'
    "three,economy\nfour,health\n"
)


def test_a_quote_that_was_lost_tears_no_text_apart(tmp_path: Path) -> None:
    """Without quotes every line has two fields here, and a class of its own would be called 'and'."""
    with pytest.raises(UserError) as caught:
        read(tmp_path / "t.csv", TORN)
    damaged, question = caught.value.lines
    assert ", row 4: ',' expected after '\"'" in damaged
    assert ", row 5: lines 5 to 6 are one text in double quotes, or 2 rows" in question
    as_rows = TORN.replace(", and", ",health")  # which other rows have, too
    assert rows(read(tmp_path / "t.csv", as_rows))[2:5] == [
        ('"lost', "economy"), ('"first line', "health"), ('second line"', "health"),
    ]  # fmt: skip


def test_quotes_behind_a_space_enclose_too(tmp_path: Path) -> None:
    text = '"Text", "Labels"\n"one, two", "economy"\n"three", "health"\n'
    assert rows(read(tmp_path / "t.csv", text)) == [("one, two", "economy"), ("three", "health")]
    text = 'Text, Labels\none, "economy"\n"three", health\n'
    assert rows(read(tmp_path / "t.csv", text)) == [("one", "economy"), ("three", "health")]


def test_a_quote_that_was_lost_from_a_label_is_damage(tmp_path: Path) -> None:
    text = 'Text,Labels\na,left\nb,"left\nc,right\n'
    assert refusal(tmp_path / "t.csv", text).startswith(", row 3: unexpected end of data")


def test_what_was_read_in_doubt_is_a_finding_with_file_and_row(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text(without_quotes(SPEECH, "\t"), encoding="utf-8")
    examples, (problem,) = read_examples(Source(str(path), splits=("80%", "10%", "10%")), "single")
    assert [(example.text, example.labels[0]) for example in examples] == SPEECH
    assert (problem.check, problem.place, problem.fatal) == ("quotes", f"{path}, row 4", False)
