"""Reading of files of every format into columns."""

import bz2
import gzip
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st

from polysharp.config.sources import FORMATS
from polysharp.core.errors import UserError
from polysharp.data.raw import decoding_error
from polysharp.data.readers import read_file

WANTED = ("Text", "Labels")
TEXTS = ["one, two", 'say "hi"', "zwei\nZeilen", "日本 😀"]
LABELS = ["a", "b", "a", "b"]


def read(
    path: Path, content: bytes, *wanted: str, sheet: str | None = None
) -> tuple[dict[str, list[Any]], list[int]]:
    path.write_bytes(content)
    table = read_file(path, wanted or WANTED, sheet)
    return table.columns, table.rows


def refusal(path: Path, content: bytes, *wanted: str, sheet: str | None = None) -> tuple[str, ...]:
    with pytest.raises(UserError) as caught:
        read(path, content, *wanted, sheet=sheet)
    return tuple(line.replace(f"{path.parent}/", "") for line in caught.value.lines)


def workbook(path: Path, sheets: dict[str, list[list[Any]]]) -> bytes:
    book = xlsxwriter.Workbook(path)
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    book.close()
    return path.read_bytes()


def table(path: Path) -> bytes:
    """Return the texts in the format that the file's name asks for."""
    frame = pl.DataFrame({"Number": [1, 2, 3, 4], "Text": TEXTS, "Labels": LABELS})
    rows = frame.to_dicts()
    match path.suffix:
        case ".json":
            return json.dumps(frame.to_dict(as_series=False)).encode()
        case ".jsonl" | ".ndjson":
            return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
        case ".csv" | ".tsv":
            return frame.write_csv(separator="," if path.suffix == ".csv" else "\t").encode()
        case ".parquet":
            frame.write_parquet(path)
            return path.read_bytes()
    return workbook(path, {"only": [frame.columns, *map(list, frame.rows())]})


@pytest.mark.parametrize("name", ["t.json", "t.JSONL", "t.ndjson", "t.csv", "t.tsv", "t.xlsx", "t.parquet"])
def test_every_format_gives_the_same_columns(name: str, tmp_path: Path) -> None:
    columns, rows = read(tmp_path / name, table(tmp_path / name.lower()))
    assert columns == {"Text": TEXTS, "Labels": LABELS}
    first = 2 if name.endswith(("csv", "tsv", "xlsx")) else 1
    assert rows == [first, first + 1, first + 2, first + 3]


def zipped(content: bytes, path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inner.csv", content)
        archive.writestr("__MACOSX/._inner.csv", b"")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("ending", "pack"),
    [
        (".gz", lambda content, _: gzip.compress(content)),
        (".bz2", lambda content, _: bz2.compress(content)),
        (".xz", lambda content, _: lzma.compress(content)),
        (".zip", zipped),
    ],
)
def test_packed_files(ending: str, pack: Callable[[bytes, Path], bytes], tmp_path: Path) -> None:
    packed = pack(b"Text,Labels\nt,a\n", tmp_path / "archive")
    assert read(tmp_path / f"t.csv{ending}", packed) == ({"Text": ["t"], "Labels": ["a"]}, [2])
    (line,) = refusal(tmp_path / f"t.csv{ending}", b"Text,Labels\nt,a\n")
    assert line.startswith(f"t.csv{ending}: cannot be read: ")
    (line,) = refusal(tmp_path / f"t.csv{ending}", packed[: len(packed) // 2])
    assert line.startswith(f"t.csv{ending}: cannot be read: ")


def test_an_archive_of_several_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w") as archive:
        archive.writestr("a.csv", b"")
        archive.writestr("b.csv", b"")
    assert refusal(tmp_path / "t.csv.zip", (tmp_path / "t.csv.zip").read_bytes()) == (
        "t.csv.zip: contains 2 files; expected one",
    )


def test_an_ending_that_names_no_format(tmp_path: Path) -> None:
    (line,) = refusal(tmp_path / "t.cvs", b"")
    assert line.startswith("t.cvs: unknown ending '.cvs'; expected .json,")
    assert line.endswith("did you mean '.csv'?")


# --- CSV ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_the_one_that_finds_the_columns(separator: str, tmp_path: Path) -> None:
    other = "," if separator == ";" else ";"
    content = f"id{other}x{separator}Text{separator}Labels\n1{separator}a{other}b{separator}c\n"
    assert read(tmp_path / "t.csv", content.encode())[0] == {"Text": [f"a{other}b"], "Labels": ["c"]}


def test_empty_rows_are_counted_and_left_out(tmp_path: Path) -> None:
    content = b'Text,Labels\r\none,a\r\n\r\n,\r\n"two\r\nlines",b\r\n'
    assert read(tmp_path / "t.csv", content) == (
        {"Text": ["one", "two\r\nlines"], "Labels": ["a", "b"]},
        [2, 5],
    )


def test_a_byte_order_mark_and_space_are_no_part_of_the_header(tmp_path: Path) -> None:
    assert read(tmp_path / "t.csv", "\ufeffText, Labels\nt,a\n".encode())[1] == [2]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "t.csv, row 1: column 'Text': missing; the columns are "),
        (b"Text,Labels\n", "t.csv: no texts; expected at least one"),
        (
            b"Text,Label\nt,a\n",
            "t.csv, row 1: column 'Labels': missing; the columns are 'Text', 'Label'; did you mean 'Label'?",
        ),
        (b"Text,Labels,Text\nt,a,u\n", "t.csv, row 1: column 'Text': appears 2 times; expected once"),
        (
            b"Text,Labels\nt,a\nu, v,b\n",
            "t.csv, row 3: 3 fields; expected 2, as in the header "
            "(a text that contains ',' needs double quotes)",
        ),
        (
            b'Text,Labels\nt,a\n"u,b\nv, w,a\n',
            "t.csv, row 3: unexpected end of data; "
            "end the field with a double quote and double those inside it, or remove the quote",
        ),
        (
            b'Text,Labels\n"u" v,b\n"w, x",a\n',
            "t.csv, row 2: ',' expected after '\"'; "
            "end the field with a double quote and double those inside it, or remove the quote",
        ),
        ("Text,Labels\nt,a\n".encode("utf-16"), "t.csv: is UTF-16; save the file as UTF-8"),
        ("Text,Labels\nt,a\n".encode("utf-16-le"), "t.csv: is UTF-16; save the file as UTF-8"),
        (
            b'"Text" "Labels"\n"1" "t" "a"\n',
            "t.csv, row 1: ',' expected after '\"'; expected column names separated by ','",
        ),
        (
            b'"Text","Labels"\n"1","t","a"\n"2","u","b"\n',
            "t.csv, row 1: 2 fields, but one more in every row; expected a name for each "
            "column (R writes row names like this; use row.names = FALSE, or col.names = NA)",
        ),
        (
            b'"Text","Labels"\n"he \\"said\\" so","a"\n',
            "t.csv, row 2: ',' expected after '\"'; end the field with a double quote and double those "
            "inside it, or remove the quote (R: qmethod = 'double')",
        ),
    ],
)
def test_csv_that_cannot_be_read(content: bytes, line: str, tmp_path: Path) -> None:
    assert refusal(tmp_path / "t.csv", content)[0] == line


def test_long_lists_of_rows_are_cut(tmp_path: Path) -> None:
    lines = refusal(tmp_path / "t.csv", b"Text,Labels\n" + b"x\n" * 9)
    assert len(lines) == 6 and lines[5] == "t.csv: and 4 more like these"


def test_columns_by_pattern(tmp_path: Path) -> None:
    content = b"text,topic_a,topic_b,topics\nt,1,0,x\n"
    columns, _ = read(tmp_path / "t.csv", content, "text", "topic_*")
    assert columns == {"text": ["t"], "topic_a": ["1"], "topic_b": ["0"]}
    assert read(tmp_path / "t.csv", b"a*,ab\n1,2\n", "a*")[0] == {"a*": ["1"]}  # a name is no pattern


# --- JSON -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        '{"Text": ["t"], "Labels": [["a"]]}',
        '[{"Text": "t", "Labels": ["a"], "more": 1}]',
        '{"Text": {"0": "t"}, "Labels": {"0": ["a"]}}',
    ],
)
def test_the_forms_of_json(content: str, tmp_path: Path) -> None:
    assert read(tmp_path / "t.json", content.encode()) == ({"Text": ["t"], "Labels": [["a"]]}, [1])


def test_columns_of_pandas_are_paired_by_key(tmp_path: Path) -> None:
    content = '{"Text": {"0": "a", "7": "b", "3": "c"}, "Labels": {"3": "C", "0": "A", "7": "B"}}'
    columns = {"Text": ["a", "b", "c"], "Labels": ["A", "B", "C"]}
    assert read(tmp_path / "t.json", content.encode()) == (columns, [1, 2, 3])
    frame = pd.DataFrame({"Text": ["a", "b"], "Labels": ["A", "B"]}).sort_values("Text", ascending=False)
    columns = {"Text": ["b", "a"], "Labels": ["B", "A"]}
    assert read(tmp_path / "t.json", frame.to_json().encode()) == (columns, [1, 2])


def test_lines_of_json_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    content = '\n{"Text": "a\u2028b", "Labels": 1}\r\n\n{"Text": "c"}\n'
    columns = {"Text": ["a\u2028b", "c"], "Labels": [1, None]}
    assert read(tmp_path / "t.jsonl", content.encode()) == (columns, [2, 4])


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        (
            "t.json",
            b'{"Text": ["a"\n "Labels"',
            "t.json, line 2, column 2: not JSON: Expecting ',' delimiter",
        ),
        ("t.json", b"", "t.json, line 1, column 1: not JSON: Expecting value"),
        ("t.json", b'"a"', 't.json: a JSON str; expected {"Text": [...], "Labels": [...]}'),
        ("t.json", b'["a"]', "t.json, row 1: a JSON str; expected an object"),
        ("t.json", b'{"Text": "a", "Labels": ["x"]}', "t.json: 'Text' is a str; expected a list"),
        (
            "t.json",
            b'{"Text": ["a", "b"], "Labels": ["x"]}',
            "t.json: 2 in 'Text', 1 in 'Labels'; expected the same number in each",
        ),
        (
            "t.json",
            b'{"Text": {"0": "a", "1": "b"}, "Labels": {"0": "x", "2": "y"}}',
            "t.json: 'Text' has the key '1', but 'Labels' does not; expected the same keys in each",
        ),
        (
            "t.json",
            b'{"Text": {"0": "a"}, "Labels": ["x"]}',
            "t.json: 'Text' is a dict; expected a list",
        ),
        ("t.json", b'{"Text": {}, "Labels": {}}', "t.json: no texts; expected at least one"),
        ("t.json", b'{"Text": [], "Labels": []}', "t.json: no texts; expected at least one"),
        ("t.json", b"[]", "t.json: no texts; expected at least one"),
        (
            "t.json",
            b'{"Text": ["a"], "labels": ["x"]}',
            "t.json: column 'Labels': missing; the columns are 'Text', 'labels'; did you mean 'labels'?",
        ),
        (
            "t.json",
            b'{"Text": ["a"], "Text": ["b"], "Labels": ["x"]}',
            "t.json: key 'Text': appears 2 times; expected once",
        ),
        ("t.json", b"[" * 100_000, "t.json: JSON that is nested too deeply; expected texts and labels"),
        ("t.json", b"[" + b"9" * 5000 + b"]", "t.json: JSON that cannot be read: Exceeds the limit"),
        (
            "t.jsonl",
            b'{"Text": "a", "Labels": 1}\n{"Text"\n',
            "t.jsonl, line 2, column 8: not JSON: Expecting ':'",
        ),
        ("t.jsonl", b"[1]\n", "t.jsonl, line 1: a JSON list; expected an object"),
        (
            "t.json",
            b'{"Text": "a", "Labels": 1}\n{"Text": "b", "Labels": 2}\n',
            "t.json, line 2, column 1: not JSON: Extra data; if each line is an object, "
            "use the ending .jsonl",
        ),
    ],
)
def test_json_that_cannot_be_read(name: str, content: bytes, line: str, tmp_path: Path) -> None:
    assert refusal(tmp_path / name, content)[0].startswith(line)


# --- Workbooks and Parquet ------------------------------------------------------------------------


def test_a_workbook_is_read_as_it_is_shown(tmp_path: Path) -> None:
    rows = [["Text", "Labels"], ["t", 1], [None, None], ["u", 2.5], ["v", True], [None, "x"]]
    content = workbook(tmp_path / "t.xlsx", {"only": rows})
    columns = {"Text": ["t", "u", "v", None], "Labels": ["1", "2.5", "true", "x"]}
    assert read(tmp_path / "t.xlsx", content) == (columns, [2, 4, 5, 6])


def test_sheets_of_a_workbook(tmp_path: Path) -> None:
    rows = [["Text", "Labels"], ["t", "a"]]
    content = workbook(tmp_path / "t.xlsx", {"notes": [["x"]], "texts": rows})
    assert read(tmp_path / "t.xlsx", content, sheet="texts")[1] == [2]
    assert refusal(tmp_path / "t.xlsx", content) == (
        "t.xlsx: has the sheets 'notes', 'texts'; choose one with '#', as in '#notes'",
    )
    assert refusal(tmp_path / "t.xlsx", content, sheet="text") == (
        "t.xlsx: no sheet 'text'; the sheets are 'notes', 'texts'; did you mean 'texts'?",
    )


def test_an_empty_sheet(tmp_path: Path) -> None:
    (line,) = refusal(tmp_path / "t.xlsx", workbook(tmp_path / "t.xlsx", {"only": []}))
    assert line == "t.xlsx: an empty sheet; expected a header and texts"


def test_lists_in_parquet(tmp_path: Path) -> None:
    pl.DataFrame({"Text": ["a", "b"], "Labels": [["x", "y"], []]}).write_parquet(tmp_path / "t.parquet")
    content = (tmp_path / "t.parquet").read_bytes()
    assert read(tmp_path / "t.parquet", content) == ({"Text": ["a", "b"], "Labels": [["x", "y"], []]}, [1, 2])


@pytest.mark.parametrize("name", ["t.xlsx", "t.parquet"])
def test_damaged_binaries(name: str, tmp_path: Path) -> None:
    (line,) = refusal(tmp_path / name, table(tmp_path / name)[:-100])
    assert line.startswith(f"{name}: cannot be read as ")


# --- Encodings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b"Text,Labels\nt,a\ngr\xfcn,b\n"),
        ("t.json", b'{"Text": ["t", "gr\xfcn"], "Labels": ["a", "b"]}'),
        ("t.jsonl", b'{"Text": "t", "Labels": "a"}\n{"Text": "gr\xfcn", "Labels": "b"}\n'),
    ],
)
def test_bytes_that_are_not_utf8_are_told_with_what_they_may_be(
    name: str, content: bytes, tmp_path: Path
) -> None:
    columns, _ = read(tmp_path / name, content)
    assert decoding_error(columns["Text"][0]) is None
    assert decoding_error(columns["Text"][1]) == (
        "byte 0xFC is not UTF-8, in 'gr\ufffdn'; save the file as UTF-8 (from Excel: as 'CSV UTF-8')"
    )


def test_half_a_character_is_no_text(tmp_path: Path) -> None:
    columns, _ = read(tmp_path / "t.json", b'{"Text": ["\\ud83d"], "Labels": ["a"]}')
    assert decoding_error(columns["Text"][0]) == "half a character (U+D83D); expected Unicode text"


# --- Anything at all ------------------------------------------------------------------------------


@given(st.sampled_from(FORMATS), st.binary(max_size=300))
def test_any_bytes_give_columns_or_one_clear_error(ending: str, content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t{ending}"
        try:
            columns, rows = read(path, content)
        except UserError as error:
            assert all(line.startswith(str(path)) for line in error.lines)
        else:
            assert {len(column) for column in columns.values()} == {len(rows)}
