"""Which cells a job trains: by number or by time, kept where done, the same in all processes of a run."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polysharp.config.jobs import PACKED, make_jobs
from polysharp.config.settings import Configuration
from polysharp.config.study import Matrix, load_study
from polysharp.core.files import write_json, write_text
from polysharp.core.paths import Paths
from polysharp.results.packing import JOB_SECONDS, arrange_jobs, write_jobs
from polysharp.results.removed import notice_removed
from tests.conftest import write_source
from tests.unit.test_done import write_report

STUDY = {
    "datasets": "sheet.tsv",
    "seeds": [1, 2, 3],
    "methods": {"sam": None, "probe": None, "tfidf": None},
    "models": {"default": {"name": "some/model"}, "yoruba": {"name": "another/model"}},
}
LANGUAGES = ("english", "french", "german", "polish", "yoruba")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packing")
    write_source(folder / "data", {split: {} for split in ("train", "val", "test")})
    rows = [f"{language}\tsingle\tdata" for language in LANGUAGES]
    write_text(folder / "sheet.tsv", "\n".join(["language\tlabel_type\tsource", *rows]))
    return folder


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "results", tmp_path / "work")


def load(folder: Path, **changes: object) -> tuple[Configuration, Matrix]:
    return load_study(STUDY | changes, [folder])


def sizes(matrix: Matrix, method: str = "sam") -> list[int]:
    return [len(job.cells) for job in matrix.jobs if job.cells[0].method == method]


def finish(matrix: Matrix, paths: Paths, number: int, seconds: float = 100) -> None:
    """Let the first jobs have run."""
    for job in matrix.jobs[:number]:
        for cell in job.cells:
            write_report(cell, paths)
            write_json(paths.run(cell.path) / "costs.json", {"seconds": seconds})
        write_json(paths.run(job.path) / "job.json", {})


@given(size=st.integers(1, 20) | st.none(), seeds=st.integers(1, 4))
def test_every_cell_is_in_one_job_with_cells_of_its_method_and_model(
    folder: Path, size: int | None, seeds: int
) -> None:
    _, matrix = load(folder, seeds=[*range(seeds)], cells_per_job=size)
    assert sorted(cell.path for job in matrix.jobs for cell in job.cells) == sorted(
        cell.path for cell in matrix.cells
    )
    for job in matrix.jobs:
        assert len({(cell.method, cell.dataset.model.name) for cell in job.cells}) == 1 or (
            job.cells[0].kind == "tfidf"  # which reads no model
        )
        assert len(job.cells) <= (size or seeds)
    assert [job.path for job in matrix.jobs] == [
        cell.path for cell in matrix.cells if cell.path in {job.path for job in matrix.jobs}
    ]


def test_languages_with_one_model_share_jobs(folder: Path) -> None:
    _, matrix = load(folder, cells_per_job=8)
    assert sizes(matrix) == [8, 4, 3]  # twelve cells of one model, three of another
    assert sizes(matrix, "probe") == [4, 1]
    assert sizes(matrix, "tfidf") == [5]


def test_without_a_number_it_is_first_the_seeds_and_then_half_an_hour(folder: Path, paths: Paths) -> None:
    configuration, matrix = load(folder)
    first = arrange_jobs(matrix, configuration, paths, new_run=True)
    assert sizes(first) == [3] * 5 and sizes(first, "tfidf") == [1] * 5
    write_jobs(first, paths)
    finish(first, paths, 1, seconds=JOB_SECONDS / 7.5)
    second = arrange_jobs(matrix, configuration, paths, new_run=True)
    assert sizes(second) == [3, 7, 2, 3]
    assert first.jobs[0] in second.jobs
    # On a machine with four cores, every one of them gets something to do.
    assert sizes(arrange_jobs(matrix, configuration, paths, new_run=True, slots=4)) == [
        3,
        2,
        2,
        2,
        2,
        1,
        2,
        1,
    ]


def test_costs_of_other_settings_are_no_basis(folder: Path, paths: Paths) -> None:
    configuration, matrix = load(folder)
    write_jobs(arrange_jobs(matrix, configuration, paths, new_run=True), paths)
    finish(matrix, paths, 1, seconds=10)
    configuration, matrix = load(folder, training={"epochs": 9})
    assert sizes(arrange_jobs(matrix, configuration, paths, new_run=True)) == [3] * 5


def test_a_runs_processes_have_its_jobs_whatever_has_become_known_since(folder: Path, paths: Paths) -> None:
    configuration, matrix = load(folder)
    run = arrange_jobs(matrix, configuration, paths, new_run=True)
    write_jobs(run, paths)
    for number in range(len(run.jobs)):
        finish(run, paths, number)
        assert arrange_jobs(matrix, configuration, paths).jobs == run.jobs


def test_complete_jobs_are_kept_when_number_languages_or_seeds_change(folder: Path, paths: Paths) -> None:
    configuration, matrix = load(folder, cells_per_job=2)
    run = arrange_jobs(matrix, configuration, paths, new_run=True)
    write_jobs(run, paths)
    finish(run, paths, len(run.jobs))
    done = {job.cells for job in run.jobs}
    for changes in (
        {"cells_per_job": 5},
        {"cells_per_job": None},
        {"cells_per_job": 2, "seeds": [3, 1, 2, 9]},
    ):
        configuration, matrix = load(folder, **changes)
        jobs = arrange_jobs(matrix, configuration, paths, new_run=True).jobs
        again = [job for job in jobs if job.cells not in done]
        assert {cell.seed for job in again for cell in job.cells} <= {9}


def test_a_cell_whose_results_are_removed_is_trained_again(folder: Path, paths: Paths) -> None:
    configuration, matrix = load(folder, cells_per_job=4)
    run = arrange_jobs(matrix, configuration, paths, new_run=True)
    write_jobs(run, paths)
    finish(run, paths, len(run.jobs))
    job = next(job for job in run.jobs if len(job.cells) == 4)
    write_json(paths.results / "manifest.json", {})
    (paths.run(job.cells[2].path) / "report.json").unlink()
    arrange_jobs(matrix, configuration, paths)  # in a process of a run, nothing is removed
    assert (paths.run(job.path) / "job.json").exists()
    again = arrange_jobs(matrix, configuration, paths, new_run=True)
    assert again.jobs == run.jobs
    for dataset in matrix.datasets:
        for name in ("examples.parquet", "labels.json"):
            write_text(paths.data(dataset.path) / name, "")
    notice_removed(again, paths)
    assert not (paths.results / "manifest.json").exists()
    assert [one for one in run.jobs if not (paths.run(one.path) / "job.json").exists()] == [job]


@pytest.mark.parametrize("damage", ["", "{", '{"jobs": [["gone/away/single/sam/seed-1"]]}', '{"other": 1}'])
def test_a_damaged_record_is_made_anew(folder: Path, paths: Paths, damage: str) -> None:
    configuration, matrix = load(folder, cells_per_job=4)
    write_text(paths.work / "jobs.json", damage)
    assert arrange_jobs(matrix, configuration, paths).jobs == matrix.jobs


def test_cells_that_no_longer_fit_together_are_separated(folder: Path, paths: Paths) -> None:
    configuration, matrix = load(folder, cells_per_job=40)
    write_jobs(matrix, paths)
    finish(matrix, paths, len(matrix.jobs))
    models = {"default": {"name": "some/model"}, "french": {"name": "new/model"}}
    configuration, matrix = load(folder, cells_per_job=40, models=models)
    jobs = arrange_jobs(matrix, configuration, paths, new_run=True).jobs
    assert all(len(make_jobs(job.cells, 99, 1)) == 1 for job in jobs if job.cells[0].kind in PACKED)
    assert json.loads((paths.work / "jobs.json").read_text())["jobs"]
