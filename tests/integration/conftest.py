from pathlib import Path
from shutil import copytree

import pytest

from tests.integration.study import Study

DATASETS = [("english", "single"), ("french", "multi")]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study that has run with four cores, in a path with spaces. To be read only."""
    study = Study.write(tmp_path_factory.mktemp("a study") / "with spaces", DATASETS)
    result = study.run("-c4")
    assert result.returncode == 0, result.stdout + result.stderr
    return study


@pytest.fixture
def study(finished: Study, tmp_path: Path) -> Study:
    """A copy of the finished study, to be changed."""
    return Study(Path(copytree(finished.folder, tmp_path / "copy of a study")))
