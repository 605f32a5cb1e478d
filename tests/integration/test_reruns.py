"""What is done anew after a change, and what is the same however it is done."""

import json
import os
import re
import shutil
from pathlib import Path

import polars as pl
import pytest

from polysharp.config.settings import ModelSettings
from polysharp.config.slugs import model_slug
from tests.integration.conftest import DATASETS, LATE, METHODS
from tests.integration.study import Study, copy_of_the_repository, write_data

FROM_MODEL = [("finetune", "sam/1"), ("finetune", "sam/2"), ("probe", "probe/0")]
AGGREGATION = {"merge_reports", "draw_figures", "build_report"}
PATHS = ["main/english/single", "main/french/multi"]
SELECTION = {f"select_best {path}" for path in PATHS}


def trained(rule: str, method: str, *seeds: int) -> set[str]:
    """Return the jobs of a method in both data sets."""
    return {f"{rule} {path}/{method}/{seed}" for path in PATHS for seed in seeds}


def test_a_finished_run_has_nothing_to_do(finished: Study) -> None:
    result = finished.run("-n")
    assert result.returncode == 0
    assert "Nothing to be done" in result.stderr


def test_a_language_more_trains_that_language_only(study: Study) -> None:
    study.write_model("turkish")
    write_data(study.folder / "data/turkish/single", "turkish", "single")
    study.write_sheet([*DATASETS, ("turkish", "single")])
    study.configure()
    assert study.jobs() == AGGREGATION | {
        f"prepare_model {model_slug(ModelSettings(name='./encoders/turkish'))}",
        "prepare_data main/turkish/single",
        "summarise_data main/turkish/single",
        "merge_findings",
        "finetune main/turkish/single/sam/1",
        "finetune main/turkish/single/sam/2",
        "probe main/turkish/single/probe/0",
        "tfidf main/turkish/single/tfidf/0",
        "select_best main/turkish/single",
    }


def test_a_seed_more_trains_that_seed_only(study: Study) -> None:
    study.configure(seeds=[1, 2, 3])
    assert study.jobs() == AGGREGATION | SELECTION | trained("finetune", "sam", 3)


def test_a_setting_of_one_method_trains_that_method_only(extended: Study, tmp_path: Path) -> None:
    study = Study(extended.folder)
    file = tmp_path / "config.yaml"

    def jobs(**changes: object) -> set[str]:
        study.configure(file, methods=METHODS, **changes)
        return study.jobs("--configfile", str(file))

    assert jobs() == set()
    assert jobs(tfidf={"inverse_regularisation": [1, 3]}) == AGGREGATION | trained("tfidf", "tfidf", 0)
    # late has learning rates of its own, so that those of the section do not concern it.
    changed = jobs(training={"epochs": 2, "learning_rate": 2e-3})
    assert changed == AGGREGATION | SELECTION | trained("finetune", "sam", 1, 2)
    study.configure(file, methods={**METHODS, "late": {**LATE, "dropout": 0.2}})
    changed = study.jobs("--configfile", str(file))
    assert changed == AGGREGATION | SELECTION | trained("finetune", "late", 1, 2)


def test_settings_can_be_changed_on_the_command_line(finished: Study) -> None:
    epochs = finished.jobs("--config", "training={epochs: 1}")
    assert epochs == AGGREGATION | SELECTION | trained("finetune", "sam", 1, 2)
    assert finished.jobs("--config", "report={bootstrap: 300}") == AGGREGATION | SELECTION


def test_a_new_caption_makes_nothing(finished: Study, tmp_path: Path) -> None:
    copy = copy_of_the_repository(tmp_path / "a copy")
    before = finished.jobs(snakefile=copy / "Snakefile")
    # The tables name the folder of the workflow as a place to look for files, so they may be made anew.
    assert before <= AGGREGATION
    captions = list((copy / "workflow/report").glob("*.rst"))
    assert captions
    for caption in captions:
        caption.write_text("Another caption.\n")
    assert finished.jobs(snakefile=copy / "Snakefile") == before


def test_a_method_more_leaves_what_is_trained(finished: Study, extended: Study) -> None:
    for path in PATHS:
        for cell in ("sam/seed-1", "sam/seed-2", "probe/seed-0", "tfidf/seed-0"):
            report = f"results/runs/{path}/{cell}/report.json"
            first, then = finished.folder / report, extended.folder / report
            assert first.stat().st_mtime_ns == then.stat().st_mtime_ns
        assert len(list((extended.folder / "work/runs" / path).glob("**/checkpoint"))) == 1
    assert {row["status"] for row in extended.table("runs.tsv")} == {"complete"}


def test_one_core_gives_the_same_bytes(finished: Study, tmp_path: Path) -> None:
    """So do new interpreters: every job of tests/slurm/test_cluster.py starts one."""
    other = Study.write(tmp_path / "one core", DATASETS)
    other.completed("-c1")
    assert other.bytes_of_results() == finished.bytes_of_results()


@pytest.mark.slow
def test_a_copy_of_the_repository_runs_in_a_folder_of_any_name(tmp_path: Path) -> None:
    copy = copy_of_the_repository(tmp_path / "the 'repository' & its copy")
    study = Study.write(
        tmp_path / "a study", DATASETS[:1], methods={"tfidf": None}, report={"reference": "tfidf"}
    )
    study.completed("-c2", snakefile=copy / "Snakefile")
    assert [row["status"] for row in study.table("runs.tsv")] == ["complete"]


@pytest.mark.slow
def test_permuted_test_labels_change_no_choice(extended: Study, tmp_path: Path) -> None:
    other = Study.write(tmp_path / "permuted", DATASETS, methods=METHODS)
    for language, label_type in DATASETS:
        path = other.folder / "data" / language / label_type / "test.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        content["Labels"] = content["Labels"][7:] + content["Labels"][:7]
        path.write_text(json.dumps(content), encoding="utf-8")
    other.completed("-c2")

    def columns(study: Study, table: str, *names: str) -> list[tuple[str, ...]]:
        return [tuple(row[name] for name in names) for row in study.table(table)]

    chosen = ("epochs", "thresholds", "validation_macro_f1", "validation_accuracy")
    assert columns(other, "runs.tsv", *chosen) == columns(extended, "runs.tsv", *chosen)
    for names in (("best_seed",), ("validation_mean", "validation_sd")):
        assert columns(other, "comparison.tsv", *names) == columns(extended, "comparison.tsv", *names)
    names = ("task", "language", "label_type", "method", "seed", "test_macro_f1")
    for theirs, ours in zip(
        columns(other, "runs.tsv", *names), columns(extended, "runs.tsv", *names), strict=True
    ):
        *cell, seed, score = theirs
        folder = other.folder / "results/runs" / "/".join(cell) / f"seed-{seed}"
        predictions = pl.read_parquet(folder / "predictions.parquet").filter(split="test")["y_pred"]
        # With the same prediction for every text the score only depends on how many texts have each label.
        assert predictions.n_unique() == 1 or score != ours[-1], cell
    # The history has every epoch's score, and the C of the baselines.
    for history in extended.folder.glob("results/runs/**/history.jsonl"):
        theirs = other.folder / history.relative_to(extended.folder)
        assert theirs.read_bytes() == history.read_bytes()
    for path in PATHS:
        theirs, ours = (study.folder / "results/best" / path for study in (other, extended))
        for name in ("model.safetensors", "config.json", "thresholds.json", "tokenizer.json"):
            assert (theirs / name).read_bytes() == (ours / name).read_bytes()
        winners = [
            re.findall(r"method `\w+`, seed \d", (f / "README.md").read_text()) for f in (theirs, ours)
        ]
        assert winners[0] == winners[1] != []


def test_there_is_something_to_choose(extended: Study) -> None:
    # Were all the same, the permuted labels would prove nothing.
    runs = [row for row in extended.table("runs.tsv") if row["epochs"]]
    assert len({row["epochs"] for row in runs}) > 1
    assert len({row["best_seed"] for row in extended.table("comparison.tsv")} - {"0"}) > 1
    for path in PATHS:
        language = path.split("/")[1]
        assert len({row["validation_macro_f1"] for row in runs if row["language"] == language}) > 1


def replace(path: Path, content: bytes) -> None:
    """Put another file into the place of one, with a time before everything that was made of that."""
    staging = path.with_name("another file")
    staging.write_bytes(content)
    os.utime(staging, (1, 1))
    staging.replace(path)


def test_what_files_contain_decides_and_not_their_times(study: Study) -> None:
    model = f"prepare_model {model_slug(ModelSettings(name='./encoders/english'))}"
    english = {f"{rule} {PATHS[0]}" for rule in ("summarise_data", "select_best")}
    of_model = {f"{job} {PATHS[0]}/{job_of}" for job, job_of in FROM_MODEL}
    for path in (*study.folder.glob("encoders/*/*"), *study.folder.glob("data/*/*/*.json")):
        path.touch()
    assert study.jobs("--max-checksum-file-size", "0") == set()

    weights = study.folder / "encoders/english/model.safetensors"
    first = weights.read_bytes()
    replace(weights, first[:-1] + bytes([first[-1] ^ 1]))
    assert study.jobs() == AGGREGATION | english | of_model | {model, "merge_findings"}
    report = study.folder / "results/runs" / PATHS[0] / "probe/seed-0/report.json"
    before = json.loads(report.read_bytes())
    study.completed("-c1", str(report.with_name("job.json").relative_to(study.folder)))
    after = json.loads(report.read_bytes())
    assert after["model"]["sha256"] != before["model"]["sha256"]
    assert after["model"]["config_sha256"] == before["model"]["config_sha256"]

    texts = study.folder / "data/french/multi/train.json"
    replace(texts, texts.read_bytes().replace(b'"economy"', b'"schools"', 1))
    assert f"prepare_data {PATHS[1]}" in study.jobs()


def test_replaced_files_are_noticed_without_records_of_snakemake(study: Study) -> None:
    shutil.rmtree(study.folder / ".snakemake")
    text = study.folder / "data/english/single/train.json"
    content = json.loads(text.read_text(encoding="utf-8"))
    content["Labels"] = content["Labels"][1:] + content["Labels"][:1]
    assert study.run("-n").returncode == 0
    text.write_text(json.dumps(content), encoding="utf-8")
    result = study.run("-n")
    made = "results/data/main/english/single/prepared.json"
    assert result.returncode == 1 and f"--forcerun {made}" in result.stderr
    assert "prepare_data main/english/single" in study.jobs("--forcerun", made)


@pytest.mark.parametrize("name", ["examples.parquet", "findings.tsv"])
def test_prepared_data_that_is_deleted_comes_back_when_it_is_needed(study: Study, name: str) -> None:
    (study.folder / "results/data/main/english/single" / name).unlink()
    study.configure(report={"reference": "tfidf", "bootstrap": 200})
    expected = name != "findings.tsv"  # nothing reads the findings
    assert ("prepare_data main/english/single" in study.jobs()) == expected
