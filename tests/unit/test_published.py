"""Published scores: read from a table, shown beside what is computed, and compared with none."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from polysharp.config.study import load_study
from polysharp.core.errors import UserError
from polysharp.core.tsv import read_table
from polysharp.reporting.exports import LATEX, PARQUET
from polysharp.reporting.figures import comparison_figure
from polysharp.reporting.first_screen import draw, sentences
from polysharp.reporting.report import write_report
from tests.reports import build
from tests.unit.test_tables import STUDY, Study, make_texts, open_study, prepared, write_source

SOURCE = "Doe <et al.> 2025, table 3"
ROWS = [
    ("RemBERT", "english", "single", "macro_f1", "0.81", SOURCE),
    ("RemBERT", "german", "single", "macro_f1", "0.69", "Doe 2026"),
    ("RemBERT", "german", "single", "accuracy", "0.99", SOURCE),
    ("RemBERT", "polish", "single", "macro_f1", "0.5", SOURCE),  # not in the study
    ("LaBSE", "english", "single", "macro_f1", "1", SOURCE),
]
HEADER = ("method", "language", "label_type", "metric", "score", "source")
CONTENT = STUDY | {
    "methods": {
        "sam": {},
        "RemBERT": {"base": "published", "scores": "scores.tsv"},
        "adamw": {},
        "LaBSE": {"base": "published", "scores": "scores.tsv"},
    }
}


def write_scores(folder: Path, rows: list[tuple[str, ...]], header: tuple[str, ...] = HEADER) -> Path:
    path = folder / "scores.tsv"
    path.write_text("".join("\t".join(row) + "\n" for row in (header, *rows)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Not to be changed."""
    folder = tmp_path_factory.mktemp("published")
    for language in ("english", "german"):
        write_source(folder / language, make_texts("single"))
    write_scores(folder, ROWS)
    prepared(folder, [(language, "single", language) for language in ("english", "german")])
    study = open_study(folder, CONTENT)
    for cell in study.matrix.cells:
        study.train(cell)
    build(study)
    return study


def test_scores_stand_beside_those_of_the_study_without_any_claim(study: Study) -> None:
    tables = study.read()
    rows = tables["comparison"].filter(status="published").to_dicts()
    assert [(row["language"], row["method"], row["test_mean"], row["source"]) for row in rows] == [
        ("english", "rembert", 0.81, SOURCE),
        ("english", "labse", 1.0, SOURCE),
        ("german", "rembert", 0.69, "Doe 2026"),
    ]
    said = {"task", "language", "label_type", "method", "status", "metric", "test_mean", "source"}
    assert all({name for name, value in row.items() if value is not None} == said for row in rows)
    assert set(tables["report"]["method"]) == set(tables["runs"]["method"]) == {"sam", "adamw"}


def test_a_method_with_a_score_for_every_language_has_an_average(study: Study) -> None:
    rows = study.read()["averages"].filter(pl.col("source").is_not_null()).to_dicts()
    (row,) = rows
    assert (row["method"], row["average"], row["languages"]) == ("rembert", "mean of languages", 2)
    assert row["test_mean"] == pytest.approx(0.75)
    assert row["source"] == f"{SOURCE}; Doe 2026"
    assert row["test_ci_low"] is row["verdict"] is row["p_value"] is row["wins"] is None


def test_computed_scores_and_claims_are_those_without_them(study: Study, tmp_path: Path) -> None:
    with_scores = study.read()
    shutil.copytree(study.paths.results.parent, tmp_path / "copy")
    methods = {name: given for name, given in CONTENT["methods"].items() if not given}
    without = open_study(tmp_path / "copy", CONTENT | {"methods": methods}).write()
    for name in ("comparison", "averages"):
        assert (
            with_scores[name]
            .filter(pl.col("source").is_null())
            .drop("source")
            .equals(without[name].drop("source"))
        )
    for name in ("report", "runs", "confusions", "curves"):
        assert with_scores[name].equals(without[name])


def test_the_report_says_that_they_were_not_computed_here(study: Study) -> None:
    text = (study.paths.results / "report.html").read_text(encoding="utf-8")
    assert "Beside them, as published and not computed here: rembert and labse." in text
    assert (
        "published scores, which were not computed here: Doe &lt;et al.&gt; 2025, table 3; Doe 2026" in text
    )
    assert "<et al.>" not in text and "seeds are missing" not in text
    tables = {
        name: read_table(study.paths.results / f"{name}.tsv") for name in ("comparison", "averages", "runs")
    }
    said = " ".join(text for _, text in sentences(tables)[1:])
    assert "rembert" not in said and "cannot be judged yet" not in said
    picture = draw(tables)
    assert picture is not None
    hollow = {
        (point.method, point.hollow, point.low is None) for _, _, points in picture.rows for point in points
    }
    assert hollow == {
        ("sam", False, False),
        ("adamw", False, False),
        ("rembert", True, True),
        ("labse", True, True),
    }


def test_figure_and_exports_mark_them(study: Study) -> None:
    figure = comparison_figure(pl.read_csv(study.paths.results / "comparison.tsv", separator="\t"))
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["sam", "adamw", "rembert (published)", "labse (published)"]
    (axes,) = figure.axes
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    assert sorted(float(line.get_xdata()[0]) for line in hollow) == [0.69, 0.81, 1.0]
    assert not axes.texts
    latex = (study.paths.results / LATEX).read_text(encoding="utf-8")
    assert "As published, not computed here: rembert, labse." in latex
    german = next(line for line in latex.splitlines() if line.startswith("german"))
    assert german.rstrip("\\ ").split(" & ")[4:] == [".690", "--"]
    frame = pl.read_parquet(study.paths.results / PARQUET).filter(status="published")
    assert frame["source"].to_list() == [SOURCE, SOURCE, "Doe 2026"]
    assert frame["n_seeds"].is_null().all()


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        ([("RemBERT", "english", "single", "macro_f1", "81", SOURCE)], HEADER,
         "row 2: score: '81': expected a number from 0 to 1; divide percentages by 100"),
        ([("RemBERT", "english", "single", "macro_f1", "nan", SOURCE)], HEADER,
         "row 2: score: 'nan': expected a number from 0 to 1"),
        ([("RemBERT", "english", "single", "macro-f1", ".8", SOURCE)], HEADER,
         "row 2: metric: 'macro-f1': expected one of macro_f1, micro_f1, weighted_f1, accuracy; "
         "did you mean 'macro_f1'?"),
        ([("RemBERT", "english", "choosing", "macro_f1", ".8", SOURCE)], HEADER,
         "row 2: label_type: 'choosing': expected 'single' or 'multi'"),
        ([("RemBERT", "english", "single", "macro_f1", ".8", "")], HEADER, "row 2: source: empty"),
        ([("RemBERT", "english", "single", "macro_f1", ".8", SOURCE)] * 2, HEADER,
         "row 3: main/english/single has a score in row 2; expected one"),
        ([("RemBERT", "english", "single", "accuracy", ".8", SOURCE)], HEADER,
         "methods.RemBERT: {path}: no row has a score of the study's data sets and its metric 'macro_f1'; "
         "the languages of the study are english, german"),
        ([("RemBART", "english", "single", "macro_f1", ".8", SOURCE)], HEADER,
         "methods.RemBERT: {path}: no row has this method; did you mean 'rembart'?"),
        ([("english", "macro_f1", ".8")], ("language", "metric", "scores"),
         "row 1: column 'scores': not a known column; expected one of language, metric, score, source, "
         "method, task, label_type; did you mean 'score'?"),
        ([], HEADER, "no rows below the header; expected one per data set"),
        ([], (), "row 1: column 'source': missing"),
    ],
)  # fmt: skip
def test_mistakes_in_the_table(
    study: Study, tmp_path: Path, rows: list[tuple[str, ...]], header: tuple[str, ...], said: str
) -> None:
    path = write_scores(tmp_path, rows, header)
    methods = {"sam": {}, "RemBERT": {"base": "published", "scores": str(path)}}
    with pytest.raises(UserError) as error:
        open_study(study.paths.results.parent, STUDY | {"methods": methods, "report": {}})
    assert any(line.endswith(said.replace("{path}", str(path))) for line in error.value.lines), error.value


def test_a_row_that_may_be_of_two_data_sets_is_refused(tmp_path: Path) -> None:
    for label_type in ("single", "multi"):
        write_source(tmp_path / label_type, make_texts(label_type))
    prepared(tmp_path, [("english", label_type, label_type) for label_type in ("single", "multi")])
    write_scores(tmp_path, [("english", "macro_f1", ".8", SOURCE)], ("language", "metric", "score", "source"))
    methods = {"sam": {}, "adamw": {}, "theirs": {"base": "published", "scores": "scores.tsv"}}
    with pytest.raises(UserError, match="row 2: may be of main/english/single, main/english/multi; expected"):
        open_study(tmp_path, STUDY | {"methods": methods})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"methods": {"theirs": {"base": "published"}}}, "methods.theirs.scores: missing"),
        (
            {"methods": {"theirs": {"base": "published", "scores": "scores.tsv"}}},
            "methods: all have published scores; expected one that is computed here, such as 'sam'",
        ),
        (
            {
                "methods": {"sam": {}, "theirs": {"base": "published", "scores": "scores.tsv"}},
                "report": {"reference": "theirs"},
            },
            "report.reference: 'theirs': has published scores, which cannot be tested against others; "
            "expected one of sam",
        ),
        (
            {"methods": {"sam": {}, "theirs": {"base": "published", "scores": "nowhere.tsv"}}},
            "methods.theirs.scores: 'nowhere.tsv': not found; expected a file",
        ),
    ],
)
def test_mistakes_in_the_configuration(study: Study, content: dict, said: str) -> None:
    folder = study.paths.results.parent
    with pytest.raises(UserError) as error:
        load_study({**STUDY, "report": {}, **content, "datasets": str(folder / "datasets.tsv")}, [folder])
    assert any(said in line for line in error.value.lines), error.value


def test_the_report_of_a_study_with_them_is_made_again_in_the_same_bytes(study: Study) -> None:
    output = study.paths.results / "report.html"
    before = output.read_bytes()
    write_report(study.configuration, study.paths, output)
    assert output.read_bytes() == before


def test_a_study_that_has_nothing_else_yet_has_tables_and_a_report(study: Study, tmp_path: Path) -> None:
    shutil.copytree(study.paths.results.parent, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy/results/runs")
    shutil.rmtree(tmp_path / "copy/results/best")
    empty = open_study(tmp_path / "copy", CONTENT)
    tables = empty.write()
    assert set(tables["comparison"]["status"]) == {"missing", "published"}
    assert tables["averages"].is_empty()
    output = empty.paths.results / "report.html"
    write_report(empty.configuration, empty.paths, output)
    text = output.read_text(encoding="utf-8")
    assert "Beside them, as published and not computed here" in text
    assert "2 data sets cannot be judged yet, because cells are missing." in text
    comparison_figure(pl.read_csv(empty.paths.results / "comparison.tsv", separator="\t"))
