"""Tables that a spreadsheet may open."""

import csv
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polysharp.core.tsv import FORMULA, write_table


def written(folder: Path, value: Any) -> str:
    write_table([{"a": value, "b": 1}], ["a", "b"], folder / "table.tsv")
    with (folder / "table.tsv").open(encoding="utf-8", newline="") as stream:
        (row,) = csv.DictReader(stream, delimiter="\t")
    assert row["b"] == "1"
    return row["a"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        ("", ""),
        (0.1234567, "0.123457"),
        (-0.5, "-0.500000"),
        (3, "3"),
        ("-1", "-1"),
        ("a\tb", "a\tb"),
        ('"', '"'),
    ],
)
def test_values(value: Any, shown: str, tmp_path: Path) -> None:
    assert written(tmp_path, value) == shown


@pytest.mark.parametrize(
    "label", ["=1+1", "@SUM(A1)", "+49 30", "-x", "\t=1", "=cmd|' /C calc'!A0", '=HYPERLINK("http://x")']
)
def test_nothing_is_computed_by_a_spreadsheet(label: str, tmp_path: Path) -> None:
    assert written(tmp_path, label) == f"'{label}"


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1))
def test_any_text_comes_back_and_starts_no_formula(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        shown = written(Path(folder), text)
    assert shown in (text, f"'{text}")
    if shown.startswith(FORMULA):
        float(shown)
