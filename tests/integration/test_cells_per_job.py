"""Several cells of a method in one job."""

from pathlib import Path

from tests.integration.conftest import DATASETS
from tests.integration.study import Study


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
