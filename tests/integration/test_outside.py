"""Predictions from elsewhere in the real workflow."""

import json
import os

import polars as pl
import pytest

from polysharp.core.files import sha256
from tests.integration.study import Study

METHODS: dict[str, object] = {
    "tfidf": None,
    "gpt": {"base": "outside", "predictions": "gpt.tsv", "answers": "text"},
    "paper": {"base": "published", "scores": "paper.tsv"},
}


def test_answers_are_compared_like_any_method(tmp_path_factory: pytest.TempPathFactory) -> None:
    study = Study.write(tmp_path_factory.mktemp("outside") / "study", [("english", "single")])
    study.configure(methods=METHODS, report={"reference": "tfidf", "bootstrap": 200})
    absent = study.run("-n")
    assert absent.returncode != 0
    assert "methods.gpt.predictions: 'gpt.tsv': not found; expected a file" in absent.stdout + absent.stderr

    study.configure(methods={"tfidf": None}, report={"bootstrap": 200})
    study.completed("-c2", "check")
    study.configure(methods=METHODS, report={"reference": "tfidf", "bootstrap": 200})
    examples = pl.read_parquet(study.folder / "results/data/main/english/single/examples.parquet")
    test = examples.filter(split="test")
    answers = [f"It is {labels[0].upper()}." for labels in test["labels"]]
    answers[0] = "I do not know."
    pl.DataFrame({"id": test["id"], "answer": answers}).write_csv(study.folder / "gpt.tsv", separator="\t")
    paper = study.folder / "paper.tsv"
    paper.write_text("language\tmetric\tscore\tsource\nenglish\tmacro_f1\t.5\tDoe 2025 {table 3}\n")
    study.completed("-c2")
    (published,) = [row for row in study.table("comparison.tsv") if row["status"] == "published"]
    assert (published["method"], published["test_mean"]) == ("paper", "0.500000")
    assert published["source"] == "Doe 2025 {table 3}"
    gpt = next(row for row in study.table("comparison.tsv") if row["method"] == "gpt")
    assert (gpt["status"], gpt["unmapped"], gpt["validation_mean"]) == ("complete", "1", "")
    assert float(gpt["accuracy_mean"]) == pytest.approx(1 - 1 / len(test), abs=1e-6)
    assert gpt["verdict"] in ("better", "tie") and gpt["p_value"]
    splits = {row["split"] for row in study.table("report.tsv") if row["method"] == "gpt"}
    assert splits == {"test"}
    assert not study.planned("all")
    report = study.folder / "results/runs/main/english/single/gpt/seed-0/report.json"
    file = study.folder / "gpt.tsv"
    assert json.loads(report.read_bytes())["predictions_sha256"] == sha256(file)
    file.touch()
    assert not study.planned("all")
    file.write_bytes(file.read_bytes().replace(b"I do not know.", b"I have no idea"))
    os.utime(file, (1, 1))
    tables = {"merge_reports": 1, "draw_figures": 1, "build_report": 1}
    assert study.planned("all") == {"outside": 1, **tables}
    study.completed("-c2")
    paper.write_text(paper.read_text().replace(".5", ".6"))
    os.utime(paper, (1, 1))
    assert study.planned("all") == tables

    pl.DataFrame({"id": test["id"][1:], "answer": answers[1:]}).write_csv(
        study.folder / "gpt.tsv", separator="\t"
    )
    refused = study.run("-c2")
    assert refused.returncode != 0 and "Traceback" not in refused.stderr
    assert f"gpt.tsv: no prediction for 1 of {len(test)} test texts" in refused.stderr
    status = {row["method"]: row["status"] for row in study.table("runs.tsv")}
    assert status == {"tfidf": "complete", "gpt": "failed"}
