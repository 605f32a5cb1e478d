"""Names, labels and texts from outside: two hundred that would like to be more than data."""

import csv
from pathlib import Path

import pytest

from polysharp.cli import prepare_data as command
from polysharp.config.sample_sheet import read_datasets
from polysharp.config.settings import Configuration, ModelSettings
from polysharp.config.slugs import SLUG, hub_slug, model_slug, slug
from polysharp.config.sources import HubSource, Source
from polysharp.core.errors import UserError
from polysharp.core.tsv import FORMULA
from polysharp.data.cells import trimmed
from polysharp.data.preparation import prepare_data
from polysharp.data.prepared import read_prepared
from polysharp.models.prepare import prepare_model
from polysharp.reporting.summary import summarise, write_summary
from tests.conftest import write_source
from tests.tiny_models import write_tiny_model

PAYLOADS = [
    *("$(touch pwned)", "`touch pwned`", "; rm -rf /", "| tee pwned", "&& true", "$HOME", "'", '"', "\\"),
    *("--help", "-rf", "../../etc/passwd", "/etc/passwd", "~root", "*", "?", "[a-z]", "{x}"),
    *("{wildcards.seed}", "{{ 7 * 7 }}", "{% raw %}", "%s%n", "=1+1", "+1", "-1+1", "@SUM(A1)"),
    *("=cmd|' /C calc'!A0", "<script>alert(1)</script>", "</script><b>", "<img src=x onerror=alert(1)>"),
    *("&amp;", "javascript:alert(1)", "$\\frac{a}$", "$x", "\\input{/etc/passwd}"),
    *("!!python/object/apply:os.system", "&anchor *anchor", "\u202egnp", "\u200b", "ñ\u0303", "学校", "🤷🏽"),
    *("con", "nul.txt", ".", "..", "a\nb", "a\tb", "x" * 300, "null", "yes", "1e3", "#", "a=b", "a,b"),
    *("sheet#1", "hub:a/b", "NaN"),
]
FRAMES = ["{}", "a {}", "{} b", "../{}"]
HOSTILE = list(dict.fromkeys(frame.replace("{}", payload) for payload in PAYLOADS for frame in FRAMES))


def test_there_are_two_hundred() -> None:
    assert len(HOSTILE) >= 200


def test_names_become_harmless_parts_of_paths_or_are_refused(tmp_path: Path) -> None:
    sheet = tmp_path / "datasets.tsv"
    for name in HOSTILE:
        try:
            assert SLUG.fullmatch(slug(name)), name
        except ValueError as error:
            assert "expected a name with Latin letters or digits" in str(error)
        assert SLUG.fullmatch(model_slug(ModelSettings(name=name, revision=name))), name
        assert SLUG.fullmatch(hub_slug(HubSource(name, name, name))), name
        with sheet.open("w", encoding="utf-8", newline="") as stream:
            rows = [["task", "language", "label_type", "source", "text"], [name, name, "single", name, name]]
            csv.writer(stream, delimiter="\t").writerows(rows)
        try:
            datasets = read_datasets(sheet, Configuration(), [tmp_path])
        except UserError as error:
            assert all(line.startswith(f"{sheet}") and "\n" not in line for line in error.lines), name
        else:
            assert all(SLUG.fullmatch(part) for data in datasets for part in data.path.split("/")), name


def test_columns_survive_the_way_to_the_command() -> None:
    for name in HOSTILE:
        source = Source("a.csv", text=name, labels=(name.replace(",", ""),), group=name, split_column=name)
        given = command.parser().parse_args([*source.as_arguments(), "--label-type=single", "--output=x"])
        assert (given.text, given.labels) == (source.text, source.labels)
        assert (given.group, given.split_column) == (source.group, source.split_column)


def starts_a_formula(cell: str) -> bool:
    """Return whether a spreadsheet would compute a cell; numbers it may."""
    try:
        float(cell)
    except ValueError:
        return cell.startswith(FORMULA)
    return False


def test_labels_and_texts_are_data_and_nothing_else(tmp_path: Path) -> None:
    names = [name for name in dict.fromkeys(map(trimmed, HOSTILE)) if name]
    splits = {
        split: {
            "Text": [f"{name} {split} {number}" for number, name in enumerate(names)],
            "Labels": names,
        }
        for split in ("train", "val", "test")
    }
    source = Source(str(write_source(tmp_path / "in", splits)))
    with pytest.raises(UserError, match=r"U\+000A in 'a\\nb'"):
        prepare_data(source, "single", {}, 0, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    prepare_data(source, "single", {"control_characters": "warning"}, 0, tmp_path / "out", "english")
    data = read_prepared(tmp_path / "out")
    assert data.labels == sorted(names)
    assert data.split("test")["text"].to_list() == splits["test"]["Text"]
    prepare_model(str(write_tiny_model(tmp_path / "tiny", "bert", ["a", "b"])), None, tmp_path / "model")
    write_summary(summarise(data, tmp_path / "model", "", 16), {}, tmp_path / "out")
    assert (tmp_path / "out/summary.png").read_bytes().startswith(b"\x89PNG")
    for table in (tmp_path / "out").glob("*.tsv"):
        with table.open(encoding="utf-8", newline="") as stream:
            for row in csv.reader(stream, delimiter="\t"):
                assert not any(map(starts_a_formula, row)), table
    assert not [path for path in tmp_path.rglob("*") if path.name == "pwned"]
