"""`snakemake check`: what is wrong with the data is said, and nothing is trained."""

import json
from pathlib import Path

import polars as pl

from tests.integration.study import LABELS, Study

METHODS: dict[str, object] = {"tfidf": None}


def spreadsheet(study: Study, language: str) -> pl.DataFrame:
    """Return the texts of a language as one table, under other names."""
    frames = [
        pl.DataFrame(json.loads((study.folder / f"data/{language}/single/{name}.json").read_text()))
        for name in ("train", "val", "test")
    ]
    return pl.concat(frames).rename({"Text": "speech", "Labels": "topic"})


def sheet(study: Study, *rows: str) -> None:
    header = "language\tlabel_type\tsource\ttext\tlabels"
    (study.folder / "config/datasets.tsv").write_text("\n".join([header, *rows]), encoding="utf-8")


def test_from_a_spreadsheet_with_a_wrong_label_to_a_report(tmp_path: Path) -> None:
    study = Study.write(tmp_path / "study", [("english", "single"), ("turkish", "single")], methods=METHODS)
    study.configure(methods=METHODS, report={"bootstrap": 200})
    good = spreadsheet(study, "english")
    wrong = good.with_columns(topic=pl.when(pl.int_range(pl.len()) == 11).then(None).otherwise("topic"))
    wrong.write_excel(study.folder / "speeches.xlsx", worksheet="all")
    sheet(study, "english\tsingle\tspeeches.xlsx\tspeech\ttopic", "turkish\tsingle\tdata/turkish/single\t\t")

    refused = study.run("-c2", "--keep-going", "check")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    message = "speeches.xlsx, row 13: the label is missing; expected a string or a whole number"
    assert message in refused.stderr
    rows = {(row["language"], row["check"]): row for row in study.table("check.tsv")}
    assert rows["english", "labels"]["severity"] == "error"
    assert message in rows["english", "labels"]["places"]
    assert {path.name for path in (study.folder / "results").iterdir()} == {"check.tsv", "data"}
    assert study.run("-c2", "check").returncode == 1  # until the data are fixed
    assert not (study.folder / "results/data/main/english/single/examples.parquet").exists()
    assert (study.folder / "results/data/main/turkish/single/findings.json").exists()

    good.write_excel(study.folder / "speeches.xlsx", worksheet="all")
    study.completed("-c2", "check")
    assert {row["severity"] for row in study.table("check.tsv")} <= {"warning"}
    assert not (study.folder / "results/runs").exists()
    examples = pl.read_parquet(study.folder / "results/data/main/english/single/examples.parquet")
    # As many as there are, but for copies, in shares of 80, 10 and 10 per cent.
    counts = dict(examples["split"].value_counts().iter_rows())
    assert sum(counts.values()) == len(good) == 65
    assert 5 <= counts["test"] <= 8 and 5 <= counts["validation"] <= 8
    first = examples.row(0, named=True)
    assert first["id"] == "speeches.xlsx:2" and first["text"] == good["speech"][0]

    study.completed("-c2")
    report = [row for row in study.table("report.tsv") if row["language"] == "english"]
    assert {row["row"] for row in report} >= set(LABELS)
    assert {row["status"] for row in report} == {"complete"}
    assert study.jobs() == set()


def test_everything_wrong_with_the_sheet_is_said_before_anything_is_read(tmp_path: Path) -> None:
    study = Study.write(tmp_path / "study", [("english", "single")], methods=METHODS)
    sheet(study, "english\tsingle\tspeech.xlsx\tspeech\ttopic", "turkish\tsingle\tdata/*.cvs\t\t")
    refused = study.run("-c1", "check")
    assert refused.returncode == 1
    for row, name in ((2, "speech.xlsx"), (3, "data/*.cvs")):
        assert (
            f"config/datasets.tsv, row {row}: source: '{name}': no such folder or file in" in refused.stderr
        )
    assert not (study.folder / "results").exists()
