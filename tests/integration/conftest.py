import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree

import pytest

from tests.integration.study import Study, copy_study

DATASETS = [("english", "single"), ("french", "multi")]
# It starts from a random head, so that it is the epochs that decide; sam starts from the probe.
LATE = {"base": "adamw", "head": "random", "learning_rate": 0.01, "head_learning_rate": 0.01}
METHODS = {"sam": None, "late": LATE, "probe": None, "tfidf": None}


def shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Study]) -> Study:
    """Return a study in a path with spaces that one process makes and all the workers of xdist read."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, done = root / "studies with spaces" / name, root / f"{name}.done"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            rmtree(folder, ignore_errors=True)
            make(folder)
            done.touch()
    return Study(folder)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study that has run with four cores. To be read only."""

    def make(folder: Path) -> Study:
        study = Study.write(folder, DATASETS)
        study.completed("-c4")
        return study

    return shared(tmp_path_factory, "finished", make)


@pytest.fixture(scope="session")
def extended(finished: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The finished study, and then a second method of fine-tuning. To be read only."""

    def make(folder: Path) -> Study:
        study = copy_study(finished, folder)
        study.configure(methods=METHODS)
        study.completed("-c2")
        return study

    return shared(tmp_path_factory, "extended", make)


@pytest.fixture
def study(finished: Study, tmp_path: Path) -> Study:
    """A copy of the finished study, to be changed."""
    return copy_study(finished, tmp_path / "copy of a study")
