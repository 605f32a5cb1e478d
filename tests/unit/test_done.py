"""One rule says whether a cell is done, by its report and what the study wants."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from polysharp.config.slugs import model_slug
from polysharp.config.study import Cell, Matrix, from_arguments, load_study
from polysharp.core.files import read_json, sha256, write_json, write_text
from polysharp.core.paths import PREDICTIONS, REPORT, Paths, prepared_files
from polysharp.results import completeness as done
from polysharp.results.status import read_runs
from tests.conftest import write_source

COMMIT = "c" * 40
STUDY: dict[str, Any] = {
    "datasets": "sheet.tsv",
    "seeds": [1, 2],
    "methods": {"sam": {}, "probe": {}, "tfidf": {}, "outside": {"predictions": "answers.tsv"}},
    "models": {"default": {"name": "some/model", "revision": "main"}},
}


def write_report(cell: Cell, paths: Paths) -> None:
    """Write what a training says of its work into a cell's report; also its data, where there are none."""
    examples, labels = prepared_files(paths.data(cell.dataset.path))
    if not examples.exists():
        write_text(examples, "the texts")
        write_text(labels, "the labels")
    content: dict[str, Any] = {
        "selection_metric": "macro_f1",
        "settings": from_arguments(cell.settings),
        "data_sha256": sha256(examples, labels),
    }
    if cell.kind != "outside":
        content["seed"] = cell.seed
    if cell.has_model:
        model = cell.dataset.model
        content["model"] = {"name": model.name, "revision": COMMIT, "sha256": "0" * 64}
        content["reading"] = {"text_prefix": model.text_prefix, "max_length": model.max_length}
        content["reading"]["pooling"] = model.pooling if cell.kind == "finetune" else "mean"
    write_json(paths.run(cell.path) / "report.json", content)
    write_text(paths.run(cell.path) / PREDICTIONS, "its predictions")


def expand(folder: Path, **changes: Any) -> Matrix:
    return load_study(STUDY | changes, [folder])[1]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "results", tmp_path / "work")


@pytest.fixture
def matrix(tmp_path: Path, paths: Paths) -> Matrix:
    """A finished study, its models not prepared (any more)."""
    write_source(tmp_path / "data", {split: {} for split in ("train", "val", "test")})
    write_text(tmp_path / "answers.tsv", "")
    write_text(tmp_path / "sheet.tsv", "language\tlabel_type\tsource\nenglish\tsingle\tdata")
    matrix = expand(tmp_path)
    for cell in matrix.cells:
        write_report(cell, paths)
    return matrix


def not_done(matrix: Matrix, paths: Paths, metric: Any = "macro_f1") -> dict[str, str]:
    """Return by method why cells are not done."""
    return {run.cell.method: run.reason for run in read_runs(matrix.cells, metric, paths) if run.reason}


def of_model(**changes: Any) -> dict[str, Any]:
    return {"models": {"default": {"name": "some/model", "revision": "main"} | changes}}


@pytest.mark.parametrize(
    ("changes", "methods", "reason"),
    [
        ({}, "", ""),
        ({"seeds": [2]}, "", ""),
        (of_model(name="another/model"), "sam probe", "another model"),
        (of_model(revision="d" * 40), "sam probe", "another model"),
        (of_model(revision=COMMIT), "", ""),
        (of_model(revision="v2"), "", ""),  # a tag: it may be the same commit
        (of_model(text_prefix="query: "), "sam probe", "another text_prefix, pooling or max_length"),
        (of_model(max_length=64), "sam probe", "another text_prefix, pooling or max_length"),
        (of_model(pooling="cls"), "sam", "another text_prefix, pooling or max_length"),  # a probe has none
        ({"training": {"epochs": 9}}, "sam", "other settings"),
        ({"tfidf": {"class_weights": "none"}}, "tfidf", "other settings"),
    ],
    ids=str,
)
def test_what_a_change_of_the_study_leaves_undone(
    changes: dict[str, Any], methods: str, reason: str, matrix: Matrix, paths: Paths, tmp_path: Path
) -> None:
    found = not_done(expand(tmp_path, **changes), paths)
    assert " ".join(found) == methods
    assert all(text == f"trained with {reason}; not retrained yet" for text in found.values())


def test_another_selection_metric_leaves_every_cell_undone(matrix: Matrix, paths: Paths) -> None:
    found = not_done(matrix, paths, "accuracy")
    assert list(found) == ["sam", "probe", "tfidf", "outside"]
    assert set(found.values()) == {"trained with another selection metric; not retrained yet"}


def test_other_data_leave_every_cell_undone(matrix: Matrix, paths: Paths) -> None:
    examples, _ = prepared_files(paths.data("main/english/single"))
    write_text(examples, "other texts")
    assert set(not_done(matrix, paths).values()) == {"trained on other data; not retrained yet"}
    examples.unlink()
    assert set(not_done(matrix, paths).values()) == {done.NOT_PREPARED}


def test_a_prepared_model_is_compared_by_its_bytes(matrix: Matrix, paths: Paths) -> None:
    identity = paths.models / model_slug(matrix.datasets[0].model) / "polysharp.json"
    write_json(identity, {"name": "some/model", "revision": COMMIT, "sha256": "0" * 64})
    assert not not_done(matrix, paths)
    write_json(identity, {"name": "some/model", "revision": COMMIT, "sha256": "1" * 64})
    assert list(not_done(matrix, paths)) == ["sam", "probe"]


def test_a_prepared_model_is_compared_by_its_configuration_too(matrix: Matrix, paths: Paths) -> None:
    identity = {"name": "some/model", "revision": COMMIT, "sha256": "0" * 64, "config_sha256": "1" * 64}
    write_json(paths.models / model_slug(matrix.datasets[0].model) / "polysharp.json", identity)
    assert not not_done(matrix, paths)  # older reports do not say it
    for cell in matrix.cells:
        path = paths.run(cell.path) / "report.json"
        if cell.has_model:
            write_json(path, read_json(path) | {"model": identity | {"config_sha256": "2" * 64}})
    assert list(not_done(matrix, paths)) == ["sam", "probe"]


def test_another_content_of_the_predictions_leaves_their_cell_undone(
    matrix: Matrix, paths: Paths, tmp_path: Path
) -> None:
    (cell,) = [cell for cell in matrix.cells if cell.kind == "outside"]
    path, answers = paths.run(cell.path) / "report.json", tmp_path / "answers.tsv"
    write_json(path, read_json(path) | {"predictions_sha256": sha256(answers)})
    assert not not_done(matrix, paths)
    write_text(answers, "others")
    assert not_done(matrix, paths) == {"outside": "read from a file that has changed; not read again yet"}


def test_of_a_local_model_the_last_part_of_its_folder_is_compared(
    matrix: Matrix, paths: Paths, tmp_path: Path
) -> None:
    studies = []
    for name in ("model", "other"):
        (tmp_path / name).mkdir()
        studies.append(expand(tmp_path, **of_model(name=str(tmp_path / name), revision=None)))
    same, other = studies
    for cell in same.cells:
        path = paths.run(cell.path) / "report.json"
        report = read_json(path)
        if cell.has_model:
            report["model"] = {"name": "model", "revision": None, "sha256": "0" * 64}
        write_json(path, report)
    assert not not_done(same, paths)
    assert list(not_done(other, paths)) == ["sam", "probe"]


def test_what_older_trainings_kept_is_known(matrix: Matrix, paths: Paths, tmp_path: Path) -> None:
    """Before `keep` was a setting, trainings ended with their best epoch: they are not trained again."""
    sam = [cell for cell in matrix.cells if cell.method == "sam"]
    for cell in sam:
        path = paths.run(cell.path) / REPORT
        report = read_json(path) | {"best_epoch": 3}
        del report["settings"]["keep"], report["settings"]["averaged_epochs"]
        write_json(path, report)
        assert (done.read_report(path.parent) or {})["epochs"] == [3]
    assert not not_done(expand(tmp_path, training={"keep": "best"}), paths)
    found = not_done(expand(tmp_path, training={"keep": "last"}), paths)
    assert found == {"sam": "trained with other settings; not retrained yet"}
    found = not_done(expand(tmp_path, training={"keep": "best", "epochs": 9}), paths)
    assert list(found) == ["sam"]


@pytest.mark.parametrize("key", ["reading", "seed"])
def test_what_older_reports_of_baselines_do_not_say_is_not_held_against_them(
    key: str, matrix: Matrix, paths: Paths
) -> None:
    for cell in matrix.cells:
        path = paths.run(cell.path) / "report.json"
        write_json(path, {name: value for name, value in read_json(path).items() if name != key})
    assert list(not_done(matrix, paths)) == ["sam"]  # whose reports have always said it


def test_results_that_are_damaged_or_gone_leave_a_cell_undone(matrix: Matrix, paths: Paths) -> None:
    for cell in matrix.cells:
        write_report(cell, paths)
    first, second, *others = read_runs(matrix.cells, "macro_f1", paths)
    assert {run.status for run in (first, second, *others)} == {"complete"}
    (paths.run(first.cell.path) / PREDICTIONS).unlink()
    (paths.run(second.cell.path) / REPORT).write_text('{"a":')
    first, second, *others = read_runs(matrix.cells, "macro_f1", paths)
    assert (first.status, second.status) == ("missing", "missing")
    assert f"{PREDICTIONS} is damaged or missing; remove " in first.reason
    assert f"{REPORT} is damaged or missing; remove " in second.reason
    assert {run.status for run in others} == {"complete"}


def test_every_file_is_hashed_once(
    matrix: Matrix, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []

    def counted(*files: Path) -> str:
        hashed.extend(files)
        return sha256(*files)

    monkeypatch.setattr(done, "sha256", counted)
    assert len(read_runs(matrix.cells, "macro_f1", paths)) == 5
    assert [path.name for path in hashed] == ["examples.parquet", "labels.json", "answers.tsv"]


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("results.plan", {"torch", "numpy", "polars", "pyarrow"}),
        ("cluster.wrappers", {"pydantic", "yaml", "numpy"}),
    ],
)
def test_what_is_asked_often_is_light(module: str, heavy: set[str]) -> None:
    code = f"import sys, polysharp.{module}; print({heavy!r} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told == "set()\n"
