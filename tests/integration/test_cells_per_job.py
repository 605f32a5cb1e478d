"""Several cells of a method in one job."""

from pathlib import Path

from tests.integration.conftest import DATASETS
from tests.integration.study import Study, write_data


def test_several_cells_in_one_job_give_the_same_bytes(finished: Study, tmp_path: Path) -> None:
    """One job holds cells of several data sets, and the cells of one data set are in two jobs."""
    study = Study.write(tmp_path / "three cells a job", DATASETS, cells_per_job=3)
    cells = 2 * len(DATASETS)
    planned = study.planned("-c2")
    assert planned["finetune"] == -(-cells // 3)
    study.completed("-c2")
    assert study.bytes_of_results() == finished.bytes_of_results()


def test_another_number_of_cells_per_job_trains_nothing_anew(study: Study) -> None:
    reports = sorted(study.folder.glob("results/runs/**/report.json"))
    before = [report.stat().st_mtime_ns for report in reports]
    study.configure(seeds=[1, 2, 3], cells_per_job=5)
    study.completed("-c2")
    assert [report.stat().st_mtime_ns for report in reports] == before
    assert {row["status"] for row in study.table("runs.tsv")} == {"complete"}
    assert len(study.table("runs.tsv")) == len(DATASETS) * 5


def test_the_former_name_is_read(study: Study) -> None:
    study.configure(seeds_per_job=4, cells_per_job=None)
    study.completed("-c2", "-n")
    study.configure(seeds_per_job=4, cells_per_job=4)
    refused = study.run("-n")
    assert refused.returncode != 0
    assert (
        "seeds_per_job: 4: the former name of cells_per_job; expected one of the two"
        in refused.stdout + refused.stderr
    )


def test_refused_data_do_not_hold_back_the_other_cells_of_a_job(study: Study) -> None:
    """Every job has cells of both data sets; only those of the refused one are missing, and say why."""
    languages = ["english", "turkish"]
    for language in languages:
        study.write_model("english")
        write_data(study.folder / "data" / language / "single", language, "single")
    study.write_sheet([(language, "single") for language in languages])
    models = {"default": {"name": "./encoders/english", "max_length": 32}}
    study.configure(cells_per_job=9, models=models)
    file = study.folder / "data/turkish/single/train.json"
    good = file.read_bytes()
    file.write_bytes(good.replace(b'"economy"', b"null", 1))
    failed = study.run("-c2", "--keep-going")
    assert failed.returncode != 0 and "Traceback" not in failed.stderr
    assert "the label is missing" in failed.stderr
    status = {(row["language"], row["status"]) for row in study.table("runs.tsv")}
    assert status == {("english", "complete"), ("turkish", "failed")}
    assert all("the label is missing" in row["reason"] for row in study.table("failures.tsv"))
    assert (study.folder / "results/best/main/english/single/README.md").exists()
    before = {
        path: path.stat().st_mtime_ns for path in study.folder.glob("results/runs/*/english/**/report.json")
    }
    # Until the data are corrected, nothing is trained.
    assert not {"finetune", "probe", "tfidf"} & study.planned("-c2").keys()

    file.write_bytes(good)
    study.completed("-c2")
    assert {row["status"] for row in study.table("runs.tsv")} == {"complete"}
    assert {path: path.stat().st_mtime_ns for path in before} == before
