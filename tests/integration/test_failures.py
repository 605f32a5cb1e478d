"""Failures are reported, shown in the tables, and fixed by the next run."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from shutil import rmtree

import pytest

from tests.conftest import write_source
from tests.integration.conftest import DATASETS
from tests.integration.study import Study, write_data

AGGREGATION = {"merge_reports", "draw_figures", "build_report"}


def statuses(study: Study, table: str, **where: str) -> set[str]:
    """Return the statuses of the rows of a table that have these values."""
    rows = [row for row in study.table(table) if where.items() <= row.items()]
    assert rows
    return {row["status"] for row in rows}


def test_a_failed_cell_leaves_the_others_and_is_shown(study: Study) -> None:
    study.write_model("turkish")
    data = study.folder / "data/turkish/single"
    write_data(data, "turkish", "single")
    good = (data / "train.json").read_text(encoding="utf-8")
    (data / "train.json").write_text(good.replace('"economy"', "5.5", 1), encoding="utf-8")
    study.write_sheet([*DATASETS, ("turkish", "single")])
    study.configure()
    figure = (study.folder / "results/comparison.png").read_bytes()
    failed = study.run("-c2", "--keep-going")
    assert failed.returncode != 0
    assert "Traceback" not in failed.stderr
    assert (study.folder / "results/comparison.png").read_bytes() != figure  # that of the table beside it
    reasons = {row["reason"] for row in study.table("runs.tsv") if row["language"] == "turkish"}
    assert reasons == {
        "data/turkish/single/train.json, row 1: label 5.5: expected a string or a whole number"
    }
    assert statuses(study, "runs.tsv", language="turkish") == {"failed"}
    for table in ("report.tsv", "comparison.tsv"):
        assert statuses(study, table, language="turkish") == {"missing"}
        assert statuses(study, table, language="english") == {"complete"}
    assert not (study.folder / "results/manifest.json").exists()

    # Mended, the same command does what is missing, and the tables are complete again.
    (data / "train.json").write_text(good, encoding="utf-8")
    study.completed("-c2")
    assert statuses(study, "runs.tsv") == {"complete"}
    assert statuses(study, "report.tsv") == {"complete"}
    assert (study.folder / "results/manifest.json").exists()
    assert study.jobs() == set()


def test_results_that_were_damaged_since_are_named_with_what_to_do(study: Study) -> None:
    before = study.bytes_of_results()
    damaged = {
        "main/english/single/sam/seed-1": "report.json",
        "main/french/multi/tfidf/seed-0": "predictions.parquet",
    }
    runs = study.folder / "results/runs"
    report, predictions = (runs / cell / name for cell, name in damaged.items())
    report.write_text(report.read_text()[:100])
    predictions.unlink()
    (study.folder / "results/manifest.json").unlink()
    failed = study.run("-c2", "--forcerun", "merge_reports")
    assert failed.returncode != 0 and "MissingOutputException" not in failed.stderr
    said = [line.partition("error: ")[2] for line in failed.stderr.splitlines() if "error: main/" in line]
    assert said == [
        f"{cell}: results/runs/{cell}/{name} is damaged or missing; remove results/runs/{cell}, "
        "and run the same command again"
        for cell, name in damaged.items()
    ]
    missing = {row["reason"] for row in study.table("runs.tsv") if row["status"] == "missing"}
    assert missing == {line.partition(": ")[2] for line in said}
    assert not (study.folder / "results/manifest.json").exists()

    for cell in damaged:  # as it says
        rmtree(runs / cell)
    study.completed("-c2")
    assert study.bytes_of_results() == before


def test_a_failing_language_that_is_taken_back_leaves_the_tables(study: Study) -> None:
    before = study.bytes_of_results()
    study.write_model("turkish")
    write_source(study.folder / "data/turkish/single", {"train": {}, "val": {}, "test": {}})
    study.write_sheet([*DATASETS, ("turkish", "single")])
    study.configure()
    assert study.run("-c2", "--keep-going").returncode != 0
    assert "turkish" in (study.folder / "results/runs.tsv").read_text()
    assert not (study.folder / "results/manifest.json").exists()
    study.write_sheet(DATASETS)
    assert study.jobs() == AGGREGATION | {"merge_findings"}
    study.completed("-c2")
    assert study.bytes_of_results() == before
    assert (study.folder / "results/manifest.json").exists()


def test_a_method_that_one_data_set_has_too_few_texts_for(tmp_path: Path) -> None:
    """Baselines alone, so without any model."""
    study = Study.write(
        tmp_path / "a study",
        [("english", "single"), ("french", "single")],
        methods={"tfidf": None, "tfidf-28": {"base": "tfidf", "train_size": 28}},
        report={"bootstrap": 200},
    )
    path = study.folder / "data/french/single/train.json"
    whole = path.read_text(encoding="utf-8")
    content = json.loads(whole)
    path.write_text(json.dumps({key: values[:20] for key, values in content.items()}), encoding="utf-8")

    failed = study.run("-c2", "--keep-going")
    assert failed.returncode != 0
    assert "Traceback" not in failed.stderr
    reason = "train_size: 28: expected at most 20, the number of training texts"
    for row in study.table("runs.tsv"):
        bad = row["language"] == "french" and row["method"] == "tfidf-28"
        expected = ("failed", reason) if bad else ("complete", "")
        assert (row["status"], row["reason"]) == expected
    for table in ("report.tsv", "comparison.tsv"):
        assert statuses(study, table, language="french", method="tfidf-28") == {"missing"}
        assert statuses(study, table, language="french", method="tfidf") == {"complete"}
        assert statuses(study, table, language="english") == {"complete"}
    missing = [row for row in study.table("comparison.tsv") if row["status"] == "missing"]
    assert [(row["n_seeds"], row["n_expected"], row["test_mean"]) for row in missing] == [("0", "2", "")]
    assert not (study.folder / "results/manifest.json").exists()
    of_french = {f"tfidf main/french/single/tfidf-28/{seed}" for seed in (1, 2)}
    assert study.jobs() == of_french | AGGREGATION

    path.write_text(whole, encoding="utf-8")
    of_french |= {"tfidf main/french/single/tfidf/0", "prepare_data main/french/single", "merge_findings"}
    assert study.jobs() == of_french | AGGREGATION
    study.completed("-c2")
    assert statuses(study, "runs.tsv") == {"complete"}
    assert (study.folder / "results/manifest.json").exists()

    # A backup that takes its place again is older than all that was made since.
    before = study.bytes_of_results()
    path.rename(path.with_suffix(".bak"))
    path.write_text("{", encoding="utf-8")
    assert study.run("-c2", "--keep-going").returncode != 0
    assert statuses(study, "runs.tsv", language="french") == {"failed"}
    path.with_suffix(".bak").replace(path)
    study.completed("-c2")
    assert study.bytes_of_results() == before


def trainer_in(folder: Path) -> int | None:
    """Return the process that trains in a folder."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text().split("\0")
            if command[1:5] == ["-P", "-m", "polysharp", "train"] and (process / "cwd").samefile(folder):
                return int(process.name)
        except OSError:
            continue  # it has ended meanwhile
    return None


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="processes are found in /proc")
def test_a_killed_training_is_shown_and_done_again(study: Study) -> None:
    before = study.bytes_of_results()
    cell = "main/english/single/sam/seed-2"
    log = study.folder / f"logs/runs/{cell}.log"
    log.unlink()
    rmtree(study.folder / "results/runs" / cell)
    command = [sys.executable, "-m", "snakemake", *study.command("-c1")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        deadline = time.monotonic() + 120
        while not log.exists():  # the trainer has begun, and loads its libraries
            assert run.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        trainer = trainer_in(study.folder)
        assert trainer is not None
        os.kill(trainer, signal.SIGKILL)
        output, _ = run.communicate(timeout=120)
    assert run.returncode != 0, output
    rows = {(row["language"], row["method"], row["seed"]): row for row in study.table("runs.tsv")}
    killed = rows.pop(("english", "sam", "2"))
    assert killed["status"] == "missing"
    assert "killed" in killed["reason"]
    assert {row["status"] for row in rows.values()} == {"complete"}
    partial = [row for row in study.table("comparison.tsv") if row["status"] != "complete"]
    assert [(r["language"], r["method"], r["status"], r["n_seeds"], r["n_expected"]) for r in partial] == [
        ("english", "sam", "partial", "1", "2")
    ]
    assert not (study.folder / "results/manifest.json").exists()
    again = {"finetune main/english/single/sam/2", "select_best main/english/single"}
    assert study.jobs() == again | AGGREGATION
    study.completed("-c2")
    assert study.bytes_of_results() == before


def test_all_mistakes_are_listed_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    study = Study.write(tmp_path / "study", [("english", "single")])
    (study.folder / "data/{x}").mkdir()
    study.write_sheet([("english", "choosing"), ("klingon", "multi"), ("{x}", "..")])
    study.configure(seed=[1], training={"epoch": 3}, methods={"sma": None})
    before = sorted(tmp_path.rglob("*"))
    result = study.run("-n", "--config", "threads=0")
    assert result.returncode != 0
    errors = result.stderr
    assert "Traceback" not in errors and "  File " not in errors
    place = r"config/config\.yaml, line \d+: "
    for expected in (
        place + r"seed: not a known key; .*; did you mean 'seeds'\?",
        place + r"training\.epoch: not a known key; .*; did you mean 'epochs'\?",
        place + r"methods\.sma: not a known method; .*; did you mean 'sam'\?.*",
        r"--config: threads: 0: expected .* 1",
        r"config/datasets\.tsv, row 2: label_type: 'choosing': .*; did you mean 'single'\?",
        r"config/datasets\.tsv, row 3: source: 'data/klingon/multi': no such folder or file in .*",
        r"config/datasets\.tsv, row 4: source: 'data/{x}/\.\.': expected no braces, which .*",
    ):
        assert re.search(f"^{expected}$", errors, re.MULTILINE), errors
    mistakes = errors[errors.index("The configuration cannot be used:") :].strip().splitlines()[1:]
    assert len([line for line in mistakes if re.match(r"\S+(, (line|row) \d+)?: ", line)]) == len(mistakes)
    assert [path for path in sorted(tmp_path.rglob("*")) if ".snakemake" not in path.parts] == before


def test_hostile_names_are_data_and_nothing_else(tmp_path: Path) -> None:
    study = Study.write(tmp_path / "study", [("english", "single")])
    source = study.folder / "data/a 'source' $(touch pwned)"
    (study.folder / "data/english/single").rename(source)
    names = {
        "economy": "$(touch pwned)`touch pwned`",
        "health": "</script><b>'\"|{{ 7 * 7 }}",
        "schools": "santé läs 学校",
    }
    for path in source.glob("*.json"):
        content = json.loads(path.read_text())
        content["Labels"] = [names[label] for label in content["Labels"]]
        path.write_text(json.dumps(content))
    (study.folder / "config/datasets.tsv").write_text(
        "task\tlanguage\tlabel_type\tsource\n"
        f"../$(touch pwned)\tEnglish; touch 'pwned' <script>\tsingle\t{source.relative_to(study.folder)}\n"
    )
    study.configure(
        methods={"sam": None, "tfidf": None, "Sam $(touch pwned)": {"base": "tfidf"}},
        models={"default": {"name": "./encoders/english", "text_prefix": "$(touch pwned)'\"{x} "}},
        training={"epochs": 1},
        seeds=[1],
        report={"bootstrap": 200},
    )
    study.completed("-c2")
    assert not [path for path in tmp_path.rglob("*") if path.name.strip("'\"") == "pwned"]
    rows = {row["row"] for row in study.table("report.tsv") if row["row_type"] == "label"}
    assert rows == set(names.values())
    assert {row["task"] for row in study.table("runs.tsv")} == {"touch-pwned"}
    best = study.folder / "results/best/touch-pwned/english-touch-pwned-script/single"
    config = json.loads((best / "config.json").read_text(encoding="utf-8"))
    assert set(config["id2label"].values()) == set(names.values())
    assert config["polysharp"]["text_prefix"] == "$(touch pwned)'\"{x} "
    card = (best / "README.md").read_text(encoding="utf-8")
    assert "<b>" not in card and "<script>" not in card and "{{ 7 * 7 }}" in card
