"""What a finished study leaves, and from where the workflow runs."""

import ast
import json
import os
import re
import resource
import subprocess
from pathlib import Path

import polars as pl
import pytest

from polysharp.core.columns import TABLES
from polysharp.core.files import sha256
from tests import warm
from tests.integration.conftest import DATASETS
from tests.integration.study import PLAIN_DRY_RUN, ROOT, Study, copy_of_the_repository, counts, snakemake

CELL = ["task", "language", "label_type", "method"]
EXAMPLE = {
    "prepare_model": 2, "prepare_data": 6, "summarise_data": 6, "merge_findings": 1,
    "finetune": 6, "probe": 3, "tfidf": 2, "select_best": 6, "merge_reports": 1, "draw_figures": 1,
    "build_report": 1,
}  # fmt: skip


def test_a_run_leaves_every_table(finished: Study) -> None:
    # These columns are promised to those who read the tables with programs of their own.
    columns = [
        *CELL, "split", "row_type", "row",
        "precision_mean", "precision_sd", "recall_mean", "recall_sd",
        "f1_mean", "f1_sd", "f1_ci_low", "f1_ci_high",
        "support", "n_seeds", "n_expected", "status", "best_seed", "best_f1",
    ]  # fmt: skip
    report = finished.table("report.tsv")
    assert list(report[0]) == columns
    assert {row["status"] for row in report} == {"complete"}
    assert {row["split"] for row in report} == {"validation", "test"}
    assert len(finished.table("comparison.tsv")) == len(DATASETS) * 3
    for name in ("runs.tsv", "costs.tsv"):
        rows = finished.table(name)
        assert list(rows[0])[:5] == [*CELL, "seed"]
        assert len(rows) == len(DATASETS) * 4
    report = (finished.folder / "results/report.html").read_text(encoding="utf-8")
    assert all(f"main, {language}, {label_type}" in report for language, label_type in DATASETS)
    assert (finished.folder / "results/comparison.png").read_bytes().startswith(b"\x89PNG")


def test_the_manifest_holds_for_the_tables(finished: Study) -> None:
    results = finished.folder / "results"
    sums = json.loads((results / "manifest.json").read_text())["sha256"]
    names = {table.file for table in TABLES} | {"comparison.parquet", "comparison.tex"}
    assert set(sums) == names - {"costs.tsv"}
    assert sums == {name: sha256(results / name) for name in sums}


def test_every_cell_and_data_set_leaves_its_files(finished: Study) -> None:
    for row in finished.table("runs.tsv"):
        path = "{task}/{language}/{label_type}/{method}/seed-{seed}".format(**row)
        for name in ("report.json", "predictions.parquet", "history.jsonl"):
            assert (finished.folder / "results/runs" / path / name).is_file()
        assert (finished.folder / "logs/runs" / f"{path}.log").is_file()
    for language, label_type in DATASETS:
        folder = finished.folder / "results/data/main" / language / label_type
        names = {"examples.parquet", "labels.json", "prepared.json", "findings.tsv", "findings.json"}
        names |= {"summary.tsv", "summary.json", "summary.png"}
        assert {path.name for path in folder.iterdir()} == names


def test_tables_name_no_host_and_no_time(finished: Study) -> None:
    host = re.compile(rf"\b{re.escape(os.uname().nodename)}\b")
    assert host.search((finished.folder / "results/costs.tsv").read_text())
    tables = {table.file for table in TABLES} - {"costs.tsv"}
    for name in (*tables, "comparison.tex", "report.html", "manifest.json"):
        text = (finished.folder / "results" / name).read_text()
        assert not host.search(text)
        assert not re.search(r"\b20\d\d-\d\d-\d\d|\b\d\d:\d\d:\d\d", text)
        assert str(finished.folder) not in text


def test_the_tiny_models_learn(finished: Study) -> None:
    # A result of chance would make most of these tests pass on nothing.
    scores = {(row["language"], row["method"]): row for row in finished.table("comparison.tsv")}
    assert float(scores["english", "tfidf"]["test_mean"]) > 0.8
    assert float(scores["english", "sam"]["test_mean"]) > 0.5


def test_losers_leave_no_checkpoint(finished: Study) -> None:
    for language, label_type in DATASETS:
        kept = list((finished.folder / f"work/runs/main/{language}/{label_type}").glob("*/*/checkpoint"))
        assert len(kept) == 1


@pytest.mark.parametrize(("language", "label_type"), DATASETS)
def test_the_card_of_the_best_classifier_predicts_what_is_reported(
    extended: Study, language: str, label_type: str
) -> None:
    dataset = f"main/{language}/{label_type}"
    folder = extended.folder / "results/best" / dataset
    card = (folder / "README.md").read_text(encoding="utf-8")
    snippet = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    winner = re.search(r"method `(\w+)`, seed (\d)", card)
    assert snippet and winner
    run = extended.folder / f"results/runs/{dataset}/{winner.group(1)}/seed-{winner.group(2)}"
    predictions = pl.read_parquet(run / "predictions.parquet")
    examples = pl.read_parquet(extended.folder / "results/data" / dataset / "examples.parquet")
    texts = predictions.join(examples, on="id", how="left", maintain_order="left")["text"].to_list()
    placeholder = '["A text.", "Another one."]'
    assert placeholder in snippet.group(1)
    # As it stands first, then with texts whose labels are known.
    code = "\n".join([snippet.group(1), snippet.group(1).replace(placeholder, repr(texts))])
    done = subprocess.run(
        [warm.python(), "-c", code], cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown, predicted = (ast.literal_eval(line) for line in done.stdout.splitlines())
    assert len(shown) == 2
    expected = predictions["y_pred"].to_list()
    assert predicted == (expected if label_type == "multi" else [names[0] for names in expected])


def test_commands_give_the_same_without_snakemake(finished: Study, tmp_path: Path) -> None:
    def command(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        called = [warm.python(), "-m", "polysharp", name, *arguments]
        return subprocess.run(called, cwd=tmp_path, capture_output=True, text=True, check=False)

    source = finished.folder / "data/english/single"
    data = command("prepare-data", "--source", str(source), "--label-type", "single", "--output", "my data")
    assert data.returncode == 0, data.stderr
    encoder = finished.folder / "encoders/english"
    model = command("prepare-model", "--name", str(encoder), "--output", "my model")
    assert model.returncode == 0, model.stderr
    train = ["--data", "my data", "--model", "my model", "--max-length", "32", "--seed", "1"]
    train += ["--output", "run", "--work", "work", "--log", "run.log"]
    wrong = command("train", *train, "--set", "epoch=3")
    assert wrong.returncode == 1
    assert len(wrong.stderr.splitlines()) == 1 and "did you mean 'epochs'?" in wrong.stderr
    assert not (tmp_path / "run").exists()
    right = command("train", *train, "--set", "epochs=2", "learning_rate=1e-3")
    assert right.returncode == 0, right.stderr
    for text in (right.stderr, (tmp_path / "run.log").read_text()):
        assert "train: 30 texts" in text
        assert "epoch 1/2: loss" in text and "epoch 2/2: loss" in text
    cell = finished.folder / "results/runs/main/english/single/sam/seed-1"
    for name in ("predictions.parquet", "history.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (cell / name).read_bytes()
    reports = [json.loads((folder / "report.json").read_text()) for folder in (tmp_path / "run", cell)]
    assert reports[0] == reports[1]


@pytest.mark.parametrize("profile", [None, "local", "slurm"])
def test_the_example_is_planned_from_elsewhere(tmp_path: Path, profile: str | None) -> None:
    arguments = ["--profile", str(ROOT / "profiles" / profile)] if profile else []
    # A profile may be brief about rules, but not about the jobs that it counts.
    assert Study(tmp_path).planned(*arguments) == EXAMPLE
    assert {path.name for path in tmp_path.iterdir()} == {".snakemake"}


@pytest.mark.parametrize("arguments", [(), ("--profile", "profiles/slurm")])
def test_the_example_is_planned_from_the_repositorys_folder(tmp_path: Path, arguments: tuple[str]) -> None:
    copy = copy_of_the_repository(tmp_path / "a copy of 'polysharp'")
    assert counts(snakemake(*PLAIN_DRY_RUN, *arguments, cwd=copy)) == EXAMPLE


def test_the_example_is_planned_in_four_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(warm.PYTHON, raising=False)  # with its imports

    def seconds() -> float:
        """Seconds of computing, as other tests run at the same time; alone it waits for next to nothing."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        Study(tmp_path).planned()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert any(seconds() < 4 for _ in range(3))
