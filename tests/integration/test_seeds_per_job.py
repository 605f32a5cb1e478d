"""Several seeds of a method in one job."""

from pathlib import Path

from tests.integration.conftest import DATASETS
from tests.integration.study import Study


def test_several_seeds_in_one_job_give_the_same_bytes(finished: Study, tmp_path: Path) -> None:
    study = Study.write(tmp_path / "two seeds a job", DATASETS, seeds_per_job=2)
    assert study.planned("-c2")["finetune"] == len(DATASETS)
    study.completed("-c2")
    assert study.bytes_of_results() == finished.bytes_of_results()


def test_another_number_of_seeds_per_job_trains_nothing_anew(study: Study) -> None:
    reports = sorted(study.folder.glob("results/runs/**/sam/*/report.json"))
    before = [report.stat().st_mtime_ns for report in reports]
    study.configure(seeds=[1, 2, 3], seeds_per_job=3)
    study.completed("-c2")
    assert [report.stat().st_mtime_ns for report in reports] == before
    assert {row["status"] for row in study.table("runs.tsv")} == {"complete"}
    assert len(study.table("runs.tsv")) == len(DATASETS) * 5
