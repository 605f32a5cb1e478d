"""Hundreds of damaged files, and of tables as programs write them; `make fuzz N=20000` reads more."""

from collections import Counter
from pathlib import Path

import pytest

from tests import written
from tests.fuzz import good_files, outcome


@pytest.mark.parametrize("number", [300, pytest.param(10_000, marks=pytest.mark.long)])
def test_every_damaged_file_ends_in_data_or_in_one_clear_error(number: int, tmp_path: Path) -> None:
    ended = [outcome(case, tmp_path) for case in range(number)]
    assert {kind for kind, how in ended if how == "error"} == set(good_files())
    assert {kind for kind, how in ended if how == "data"} >= {".csv", ".tsv", ".json", ".jsonl"}


@pytest.mark.parametrize("number", [500, pytest.param(20_000, marks=pytest.mark.long)])
def test_every_table_comes_back_as_it_was_written_or_with_file_and_row(number: int, tmp_path: Path) -> None:
    ended = Counter(written.outcome(case, tmp_path) for case in range(number))
    kinds = {
        f"{writer.__name__} {ending}" for writer, endings in written.WRITERS.items() for ending in endings
    }
    assert {kind for kind, how in ended if how == "rows"} == kinds
    assert sum(count for (_, how), count in ended.items() if how == "error") <= number / 100
