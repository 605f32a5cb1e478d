"""Hundreds of damaged files; `make fuzz N=20000` reads more."""

from pathlib import Path

import pytest

from tests.fuzz import good_files, outcome


@pytest.mark.parametrize("number", [300, pytest.param(10_000, marks=pytest.mark.long)])
def test_every_damaged_file_ends_in_data_or_in_one_clear_error(number: int, tmp_path: Path) -> None:
    ended = [outcome(case, tmp_path) for case in range(number)]
    assert {kind for kind, how in ended if how == "error"} == set(good_files())
    assert {kind for kind, how in ended if how == "data"} >= {".csv", ".tsv", ".json", ".jsonl"}
