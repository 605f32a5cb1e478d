"""A thousand damaged files; `make fuzz N=20000` reads more."""

from pathlib import Path

from tests.fuzz import good_files, outcome


def test_every_damaged_file_ends_in_data_or_in_one_clear_error(tmp_path: Path) -> None:
    ended = [outcome(number, tmp_path) for number in range(1000)]
    assert {kind for kind, how in ended if how == "error"} == set(good_files())
    assert {kind for kind, how in ended if how == "data"} >= {".csv", ".tsv", ".json", ".jsonl"}
