from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import made_once
from tests.integration.study import Study, copy_study

DATASETS = [("english", "single"), ("french", "multi")]
# It starts from a random head, so that it is the epochs that decide; sam starts from the probe.
LATE = {"base": "adamw", "head": "random", "learning_rate": 0.005, "head_learning_rate": 0.02}
METHODS = {"sam": None, "late": LATE, "probe": None, "tfidf": None}


def shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Study]) -> Study:
    """Return a study that one worker of xdist makes and all of them read."""
    return Study(made_once(factory, name, make))


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
