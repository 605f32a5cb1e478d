"""The workflow itself, on tiny models of real architectures."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from polysharp.files import sha256
from polysharp.tables import COMPARISON_COLUMNS, COSTS_COLUMNS, REPORT_COLUMNS, RUNS_COLUMNS
from tests.integration.conftest import DATASETS
from tests.integration.study import ROOT, Study, write_data

AGGREGATION = {"merge_reports": 1, "plot_comparison": 1}


def test_a_run_leaves_every_result(finished: Study) -> None:
    columns = {
        "report.tsv": REPORT_COLUMNS,
        "comparison.tsv": COMPARISON_COLUMNS,
        "runs.tsv": RUNS_COLUMNS,
        "costs.tsv": COSTS_COLUMNS,
    }
    for name, expected in columns.items():
        assert list(finished.table(name)[0]) == expected
    assert {row["status"] for row in finished.table("report.tsv")} == {"complete"}
    assert len(finished.table("runs.tsv")) == len(DATASETS) * 4
    sums = json.loads((finished.folder / "results/manifest.json").read_text())["sha256"]
    assert sums == {name: sha256(finished.folder / "results" / name) for name in sums}
    assert (finished.folder / "results/comparison.png").read_bytes().startswith(b"\x89PNG")


def test_tables_name_no_host(finished: Study) -> None:
    host = os.uname().nodename
    assert host in (finished.folder / "results/costs.tsv").read_text()
    for name in ("report.tsv", "comparison.tsv", "runs.tsv"):
        assert f"\t{host}" not in (finished.folder / "results" / name).read_text()


def test_the_tiny_models_learn(finished: Study) -> None:
    # A result of chance would make most of these tests pass on nothing.
    scores = {(row["language"], row["method"]): row for row in finished.table("comparison.tsv")}
    assert float(scores["english", "tfidf"]["test_mean"]) > 0.8
    assert float(scores["english", "sam"]["test_mean"]) > 0.5


@pytest.mark.parametrize(("language", "label_type"), DATASETS)
def test_the_card_of_the_best_classifier_runs(finished: Study, language: str, label_type: str) -> None:
    folder = finished.folder / "results/best/main" / language / label_type
    snippet = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert snippet
    winner = max(
        (row for row in finished.table("runs.tsv") if row["language"] == language and row["method"] == "sam"),
        key=lambda row: float(row["validation_macro_f1"]),
    )
    run = finished.folder / f"results/runs/main/{language}/{label_type}/sam/seed-{winner['seed']}"
    predictions = pl.read_parquet(run / "predictions.parquet").filter(pl.col("split") == "test").head(2)
    examples = pl.read_parquet(
        finished.folder / f"results/data/main/{language}/{label_type}/examples.parquet"
    )
    texts = examples.filter(pl.col("id").is_in(predictions["id"].to_list()))["text"].to_list()
    code = snippet.group(1).replace('["A text.", "Another one."]', repr(texts))
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    predicted = json.loads(done.stdout.strip().splitlines()[-1].replace("'", '"'))
    expected = predictions["y_pred"].to_list()
    assert predicted == (expected if label_type == "multi" else [names[0] for names in expected])


def test_losers_leave_no_checkpoint(finished: Study) -> None:
    for language, label_type in DATASETS:
        kept = list((finished.folder / f"work/runs/main/{language}/{label_type}").glob("*/*/checkpoint"))
        assert len(kept) == 1


def test_a_finished_run_has_nothing_to_do(finished: Study) -> None:
    assert finished.planned() == {}
    assert "Nothing to be done" in finished.run("-n").stdout


def test_one_and_four_cores_give_the_same_bytes(finished: Study, tmp_path: Path) -> None:
    other = Study.write(tmp_path / "one core", DATASETS)
    result = other.run("-c1")
    assert result.returncode == 0, result.stderr
    assert other.bytes_of_results() == finished.bytes_of_results()


def test_a_language_more_trains_that_language_only(study: Study) -> None:
    study.write_model("turkish")
    write_data(study.folder / "data/turkish/single", "turkish", "single")
    study.write_sheet([*DATASETS, ("turkish", "single")])
    study.configure()
    assert study.planned() == AGGREGATION | {
        "prepare_model": 1, "prepare_data": 1, "finetune": 2, "probe": 1, "tfidf": 1, "select_best": 1,
    }  # fmt: skip


def test_a_setting_of_one_method_trains_that_method_only(study: Study) -> None:
    study.configure(methods={"sam": None, "probe": None, "tfidf": {"inverse_regularisation": [1, 3]}})
    assert study.planned() == AGGREGATION | {"tfidf": 2}
    study.configure(methods={"sam": {"rho": 0.1}, "probe": None, "tfidf": None})
    assert study.planned() == AGGREGATION | {"finetune": 4, "select_best": 2}


def test_settings_can_be_changed_on_the_command_line(study: Study) -> None:
    assert study.planned("--config", "training={epochs: 3}") == AGGREGATION | {
        "finetune": 4,
        "select_best": 2,
    }
    assert study.planned("--config", "seeds=[1]") == AGGREGATION | {"select_best": 2}


def test_a_method_more_keeps_what_is_trained(study: Study) -> None:
    study.configure(methods={"sam": None, "adamw": None, "probe": None, "tfidf": None})
    assert study.planned() == AGGREGATION | {"finetune": 4, "select_best": 2}
    result = study.run("-c2")
    assert result.returncode == 0, result.stderr
    assert len(list((study.folder / "work/runs").glob("**/checkpoint"))) == len(DATASETS)


def test_a_new_caption_trains_nothing(study: Study, tmp_path: Path) -> None:
    copy = tmp_path / "a copy"
    shutil.copytree(ROOT / "workflow", copy / "workflow")
    shutil.copytree(ROOT / "envs", copy / "envs")
    shutil.copy(ROOT / "Snakefile", copy)
    for caption in (copy / "workflow/report").glob("*.rst"):
        caption.write_text("Another caption.\n")
    # The tables name the folder of the workflow as a place to look for files, so they may be made anew.
    assert set(study.planned(snakefile=copy / "Snakefile")) <= {*AGGREGATION, "select_best"}


def test_a_failed_cell_leaves_the_others_and_is_shown(study: Study) -> None:
    sheet = [*DATASETS, ("turkish", "single")]
    study.write_model("turkish")
    data = study.folder / "data/turkish/single"
    write_data(data, "turkish", "single")
    good = (data / "train.json").read_text()
    (data / "train.json").write_text(good.replace('"economy"', "5.5", 1))
    study.write_sheet(sheet)
    study.configure()
    failed = study.run("-c2", "--keep-going")
    assert failed.returncode != 0
    assert "Traceback" not in failed.stderr
    reasons = {row["reason"] for row in study.table("runs.tsv") if row["language"] == "turkish"}
    assert reasons == {
        "data/turkish/single/train.json, row 1: label 5.5: expected a string or a whole number"
    }
    rows = [row for row in study.table("report.tsv") if row["language"] == "turkish"]
    assert {row["status"] for row in rows} == {"missing"}
    assert not (study.folder / "results/manifest.json").exists()
    assert {row["status"] for row in study.table("comparison.tsv") if row["language"] == "english"} == {
        "complete"
    }

    # Mended, the same command does what is missing, and the tables are complete again.
    (data / "train.json").write_text(good)
    mended = study.run("-c2")
    assert mended.returncode == 0, mended.stderr
    assert {row["status"] for row in study.table("runs.tsv")} == {"complete"}
    assert (study.folder / "results/manifest.json").exists()


def test_a_failing_language_that_is_taken_back_leaves_the_tables(study: Study) -> None:
    before = study.bytes_of_results()
    study.write_model("turkish")
    (study.folder / "data/turkish/single").mkdir(parents=True)
    study.write_sheet([*DATASETS, ("turkish", "single")])
    study.configure()
    assert study.run("-c2", "--keep-going").returncode != 0
    assert "turkish" in (study.folder / "results/runs.tsv").read_text()
    study.write_sheet(DATASETS)
    result = study.run("-c2")
    assert result.returncode == 0, result.stderr
    assert study.bytes_of_results() == before


def test_a_killed_training_is_shown_and_done_again(study: Study) -> None:
    study.configure(
        training={"epochs": 2000, "learning_rate": 1e-3}, methods={"sam": None}, seeds=[1], report={}
    )
    study.write_sheet([("english", "single")])
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-s",
        str(ROOT / "Snakefile"),
        "--directory",
        str(study.folder),
    ]
    with subprocess.Popen(
        [*command, "-c1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        log = study.folder / "logs/runs/main/english/single/sam/seed-1.log"
        deadline = time.monotonic() + 120
        log.unlink()
        while not (log.is_file() and "epoch 1/2000" in log.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        trainers = subprocess.run(
            ["pgrep", "-f", f"train.py.*{study.folder.name}|train.py.*epochs=2000"],
            capture_output=True, text=True, check=False,
        ).stdout.split()  # fmt: skip
        for trainer in trainers:
            os.kill(int(trainer), signal.SIGKILL)
        output, _ = run.communicate(timeout=120)
    assert run.returncode != 0, output
    assert [row["status"] for row in study.table("runs.tsv")] == ["missing"]
    again = study.run("-c1", "--config", "training={epochs: 1}")
    assert again.returncode == 0, again.stderr
    assert [row["status"] for row in study.table("runs.tsv")] == ["complete"]


def test_all_mistakes_are_listed_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    study = Study.write(tmp_path / "study", [("english", "single")])
    study.write_sheet([("english", "choosing"), ("klingon", "multi")])
    study.configure(seed=[1], training={"epoch": 3}, methods={"sma": None})
    result = study.run("-n")
    assert result.returncode != 0
    errors = result.stderr
    assert "Traceback" not in errors and "  File " not in errors
    for expected in (
        "seed: not a known key",
        "did you mean 'seeds'?",
        "training.epoch: not a known key",
        "methods.sma: not a known method",
        "datasets.tsv, row 2: label_type: 'choosing': expected 'single' or 'multi'; did you mean 'single'?",
        "datasets.tsv, row 3: source: 'data/klingon/multi': no such folder",
    ):
        assert expected in errors, errors
    assert re.search(r"config\.yaml, line \d+: training\.epoch", errors)
    assert not (study.folder / "results").exists()


def test_hostile_names_are_data_and_nothing_else(tmp_path: Path) -> None:
    study = Study.write(tmp_path / "study", [("english", "single")], methods={"tfidf": None})
    data = study.folder / "data/english/single"
    names = {"economy": "$(touch pwned)`touch pwned`", "health": "</script><b>'\"", "schools": "santé\tläs"}
    for path in data.glob("*.json"):
        content = json.loads(path.read_text())
        content["Labels"] = [names[label] for label in content["Labels"]]
        path.write_text(json.dumps(content))
    (study.folder / "config/datasets.tsv").write_text(
        "task\tlanguage\tlabel_type\tsource\n"
        "../$(touch pwned)\tenglish; touch pwned\tsingle\tdata/english/single\n"
    )
    study.configure(methods={"tfidf": None}, models={"default": {"name": "./encoders/english"}}, report={})
    result = study.run("-c1")
    assert result.returncode == 0, result.stderr
    assert not list(tmp_path.rglob("pwned"))
    assert {row["row"] for row in study.table("report.tsv") if row["row_type"] == "label"} == set(
        names.values()
    )


@pytest.mark.parametrize("arguments", [(), ("--profile", str(ROOT / "profiles/slurm"))])
def test_the_example_is_planned_from_elsewhere(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    jobs = Study(tmp_path).planned(*arguments)
    assert jobs == AGGREGATION | {
        "prepare_model": 2, "prepare_data": 6, "finetune": 12, "probe": 6, "tfidf": 6, "select_best": 6,
    }  # fmt: skip


def test_the_example_is_planned_in_four_seconds(tmp_path: Path) -> None:
    study, times = Study(tmp_path), []
    for _ in range(3):
        started = time.monotonic()
        study.planned()
        times.append(time.monotonic() - started)
    assert min(times) < 4


def test_training_works_without_snakemake(finished: Study, tmp_path: Path) -> None:
    folder = finished.folder
    command = [sys.executable, str(ROOT / "workflow/scripts/train.py")]
    command += ["--data", str(folder / "results/data/main/english/single")]
    command += ["--model", str(next((folder / "models").glob("english-*"))), "--max-length", "32"]
    command += ["--output", str(tmp_path / "run"), "--checkpoint", str(tmp_path / "checkpoint")]
    wrong = subprocess.run([*command, "--set", "epoch=3"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1
    assert len(wrong.stderr.splitlines()) == 1 and "did you mean 'epochs'?" in wrong.stderr
    log = tmp_path / "log"
    settings = ["--log", str(log), "--seed", "1", "--set", "epochs=2", "learning_rate=1e-3"]
    right = subprocess.run([*command, *settings], capture_output=True, text=True, check=False)
    assert right.returncode == 0, right.stderr
    for text in (right.stderr, log.read_text()):
        assert "epoch 2/2: loss" in text
    cell = folder / "results/runs/main/english/single/sam/seed-1"
    for name in ("predictions.parquet", "history.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (cell / name).read_bytes()


def test_permuted_test_labels_change_no_choice(finished: Study, tmp_path: Path) -> None:
    other = Study.write(tmp_path / "permuted", DATASETS)
    for language, label_type in DATASETS:
        path = other.folder / "data" / language / label_type / "test.json"
        content = json.loads(path.read_text())
        content["Labels"] = content["Labels"][7:] + content["Labels"][:7]
        path.write_text(json.dumps(content))
    assert other.run("-c2").returncode == 0
    chosen = ["best_epoch", "thresholds", "validation_macro_f1", "test_macro_f1"]
    before, after = ([[row[key] for key in chosen] for row in s.table("runs.tsv")] for s in (finished, other))
    assert [row[:3] for row in before] == [row[:3] for row in after]
    assert [row[3] for row in before] != [row[3] for row in after]
    seeds = [[row["best_seed"] for row in s.table("comparison.tsv")] for s in (finished, other)]
    assert seeds[0] == seeds[1]
    for language, label_type in DATASETS:
        weights = f"results/best/main/{language}/{label_type}/model.safetensors"
        assert (finished.folder / weights).read_bytes() == (other.folder / weights).read_bytes()
