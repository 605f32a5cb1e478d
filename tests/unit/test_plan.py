"""What a study is going to take follows from what has run."""

import subprocess
from pathlib import Path

import pytest

from polysharp.config.slugs import model_slug
from polysharp.config.study import Matrix, load_study
from polysharp.core.files import write_json, write_text
from polysharp.core.paths import Paths
from polysharp.results.plan import lines, make_plan
from tests import warm
from tests.conftest import make_texts, write_source
from tests.unit.test_done import write_report

STUDY = {
    "datasets": "sheet.tsv",
    "seeds": [1, 2, 3],
    "cells_per_job": 2,
    "methods": {"sam": None, "adamw": None, "tfidf": None},
    "models": {"default": {"name": "some/model"}},
}


@pytest.fixture
def matrix(tmp_path: Path) -> Matrix:
    write_source(tmp_path / "data", {split: {} for split in ("train", "val", "test")})
    rows = [f"{language}\tsingle\tdata" for language in ("english", "french")]
    write_text(tmp_path / "sheet.tsv", "\n".join(["language\tlabel_type\tsource", *rows]))
    return load_study(STUDY, [tmp_path])[1]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "results", tmp_path / "work")


def finish(matrix: Matrix, paths: Paths, name: str, seconds: float) -> None:
    (cell,) = [cell for cell in matrix.cells if cell.path == name]
    write_report(cell, paths)
    write_json(paths.run(name) / "costs.json", {"seconds": seconds})


def test_without_anything_nothing_is_promised(matrix: Matrix, paths: Paths) -> None:
    plan = make_plan(matrix, "macro_f1", paths)
    counts = [(m.method, m.cells, m.left, m.jobs, m.seconds) for m in plan.methods]
    assert counts == [("sam", 6, 6, 3, None), ("adamw", 6, 6, 3, None), ("tfidf", 2, 2, 1, None)]
    assert plan.longest_seconds is None and plan.disk_bytes is None
    assert plan.unknown_models == ["some/model"]
    text = "\n".join(lines(plan, 2))
    assert "on a GPU" not in text and "duration not known yet" in text
    assert "snakemake -c1 results/runs/main/english/single/sam/seed-1/job.json" in text


def test_estimates_come_from_the_nearest_cells(matrix: Matrix, paths: Paths) -> None:
    finish(matrix, paths, "main/english/single/sam/seed-1", 100)
    finish(matrix, paths, "main/english/single/sam/seed-2", 300)
    finish(matrix, paths, "main/french/single/tfidf/seed-0", 10)
    plan = make_plan(matrix, "macro_f1", paths)
    sam, adamw, tfidf = plan.methods
    # One more in English at 200 s, and, for want of any in French, three there at the method's mean.
    assert (sam.left, sam.jobs, sam.seconds) == (4, 2, 800)
    assert (adamw.left, adamw.seconds, adamw.estimated_by) == (6, 1200, "from methods of the same kind")
    assert (tfidf.left, tfidf.jobs, tfidf.seconds) == (1, 1, 10)
    assert plan.longest is not None and len(plan.longest.cells) == 2 and plan.longest_seconds == 400
    text = "\n".join(lines(plan, 2))
    assert "fine-tuning: 33 minutes on a GPU" in text
    assert "(2 cells): about 7 minutes; its time limit on Slurm is 120 minutes" in text


def test_cells_of_other_settings_are_left(matrix: Matrix, paths: Paths, tmp_path: Path) -> None:
    for cell in matrix.cells:
        finish(matrix, paths, cell.path, 100)
    assert [one.left for one in make_plan(matrix, "macro_f1", paths).methods] == [0, 0, 0]
    changed = load_study(STUDY | {"training": {"epochs": 9}}, [tmp_path])[1]
    sam, adamw, tfidf = make_plan(changed, "macro_f1", paths).methods
    # Cells of other settings are no basis, and tfidf is of another kind.
    assert (sam.left, adamw.left, tfidf.left, sam.seconds) == (6, 6, 0, None)
    assert sam.estimated_by == "nothing of the kind has run yet"


def test_the_disk_holds_every_models_weights_and_the_best_of_every_method(
    matrix: Matrix, paths: Paths
) -> None:
    weights = paths.models / model_slug(matrix.datasets[0].model) / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(bytes(1000))
    plan = make_plan(matrix, "macro_f1", paths)
    assert plan.disk_bytes == 1000 * (1 + 2 * 2)
    assert plan.running_bytes == 12_000  # three snapshots of weights, best weights and two moments
    assert plan.unknown_models == []


def test_before_a_soup_is_made_the_classifiers_of_all_its_seeds_are_on_the_disk(
    matrix: Matrix, paths: Paths, tmp_path: Path
) -> None:
    methods = {"sam": {}, "mix": {"base": "soup", "of": "sam"}}
    matrix = load_study(STUDY | {"methods": methods, "report": {}}, [tmp_path])[1]
    weights = paths.models / model_slug(matrix.datasets[0].model) / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(bytes(1000))
    seeds = len(matrix.of(matrix.datasets[0], "sam"))
    assert make_plan(matrix, "macro_f1", paths).disk_bytes == 1000 * (1 + len(matrix.datasets) * (2 + seeds))


def test_paths_are_those_of_where_the_command_is_given(tmp_path: Path) -> None:
    """`make plan CONFIG=my/config.yaml DIRECTORY=my`, as docs/cluster.md has it."""
    folder = write_source(tmp_path / "my" / "texts", make_texts("single"))
    (tmp_path / "my/datasets.tsv").write_text("language\tlabel_type\tsource\nenglish\tsingle\ttexts\n")
    (tmp_path / "my/config.yaml").write_text(
        f"datasets: datasets.tsv\nmethods: {{tfidf: {{}}}}\nmodels: {{default: {{name: {folder}}}}}\n"
    )
    command = [warm.python(), "-m", "polysharp", "plan"]
    options = ["--configfile", "my/config.yaml", "--directory", "my"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tfidf" in done.stdout
    options[1] = "my/konfig.yaml"
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "my/konfig.yaml: cannot be read: No such file or directory" in done.stderr
