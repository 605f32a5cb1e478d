"""What counts as other code: for a result anything, for a snapshot what decides on the numbers."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from polysharp.results.source_code import TRAINING
from tests.conftest import ROOT

# What training imports, but what decides on none of its numbers.
OTHERS = {
    "polysharp",
    "polysharp.config",
    "polysharp.config.checking",  # the values of settings are part of a snapshot's identity
    "polysharp.config.checks",
    "polysharp.config.jobs",
    "polysharp.config.messages",
    "polysharp.config.packages",
    "polysharp.config.published",
    "polysharp.config.sample_sheet",
    "polysharp.config.settings",
    "polysharp.config.sheets",
    "polysharp.config.slugs",
    "polysharp.config.sources",
    "polysharp.config.study",
    "polysharp.core",
    "polysharp.core.errors",
    "polysharp.core.failure_file",
    "polysharp.core.files",
    "polysharp.core.paths",
    "polysharp.core.refusal",
    "polysharp.core.terms",
    "polysharp.data",
    "polysharp.evaluation",
    "polysharp.models",
    "polysharp.results",
    "polysharp.results.soups",  # what is kept for a soup, after a training
    "polysharp.results.completeness",  # results, before and after a training
    "polysharp.results.outcome",
    "polysharp.results.runs",
    "polysharp.results.source_code",
    "polysharp.results.status",
    "polysharp.training",
    "polysharp.training.cells",  # lease, snapshots and results around a training
    "polysharp.training.costs",
    "polysharp.training.lease",
    "polysharp.training.snapshots",  # one that cannot be read is not used
}


def output_of(code: str, library: Path = ROOT / "workflow") -> list[str]:
    command = [sys.executable, "-c", code]
    environment = {"PYTHONPATH": str(library), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


def test_every_module_that_training_imports_is_known_to_decide_or_not() -> None:
    code = "import sys, polysharp.training.finetuning, polysharp.training.cells; print(*sys.modules)"
    imported = {name for name in output_of(code) if name.split(".")[0] == "polysharp"}
    assert "polysharp.training.sam" in imported
    unknown = imported - {*TRAINING} - OTHERS
    assert not unknown, "add those that decide on the numbers to TRAINING, the others to OTHERS"
    assert [name for name in (*TRAINING, *OTHERS) if find_spec(name) is None] == []
    assert OTHERS.isdisjoint(TRAINING)


@pytest.fixture
def hashes(tmp_path: Path) -> Callable[..., list[str]]:
    """Return the SHA-256 of training's code and of the library, whose copy may be edited before."""
    shutil.copytree(ROOT / "workflow/polysharp", tmp_path / "polysharp")

    def edited(file: str = "", old: str = "", new: str = "") -> list[str]:
        if file:
            path = tmp_path / "polysharp" / file
            assert path.read_text().count(old) == 1
            path.write_text(path.read_text().replace(old, new))
        return output_of(
            "from polysharp.results.source_code import *; print(training_sha256(), code_sha256())", tmp_path
        )

    return edited


def test_a_snapshot_outlives_what_decides_on_no_number(hashes: Callable[..., list[str]]) -> None:
    training, library = hashes()
    future = "from __future__ import annotations\n"
    for edit in (
        ("training/progress.py", '"""The progress of a training. ', '"""The progress of the training. '),
        (
            "training/finetuning.py",
            "# between two lines of progress",
            "# seconds between two lines of progress",
        ),
        ("reporting/report.py", future, f"{future}CHANGED = True\n"),
    ):
        now, other_library = hashes(*edit)
        assert now == training and other_library != library
        library = other_library
    assert hashes("evaluation/metrics.py", "BINS = 15", "BINS = 16")[0] != training


def test_the_library_is_hashed_with_its_packages(hashes: Callable[..., list[str]], tmp_path: Path) -> None:
    library = hashes()[1]
    (tmp_path / "polysharp/training_loops").mkdir()
    (tmp_path / "polysharp/training_loops/step.py").write_text("RHO = 0.05\n")
    assert hashes()[1] != library
