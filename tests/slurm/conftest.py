import os
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest

from tests.integration.conftest import finished, shared  # noqa: F401
from tests.integration.study import Study
from tests.slurm.cluster import Cluster, missing, running
from tests.slurm.runs import LONG, long_study

HERE = Path(__file__).parent
REQUIRED = "POLYSHARP_NEEDS_SLURM"  # set where a cluster that cannot be had is a failure: make test-slurm


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and leave out the long ones unless they are asked for."""
    ours = [item for item in items if HERE in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.slurm)
    if "long" not in config.option.markexpr:
        left_out = [item for item in ours if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(autouse=True)
def uncovered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the lines that jobs run to the other tests to count: counting takes a third of their time."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture(scope="session")
def slurm() -> None:
    """What a cluster needs; a test that asks for it is skipped, or fails, where that is not there."""
    if reason := missing():
        (pytest.fail if REQUIRED in os.environ else pytest.skip)(reason)


@pytest.fixture(scope="session")
def cluster(slurm: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster with accounting, which all the workers of xdist share.

    What a test does to it must not be felt by others: it may take jobs of its own study, and nodes of the
    partition `spare` that these run on.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    with running(root / "slurm") as cluster:
        yield cluster


@pytest.fixture(scope="session")
def undisturbed(slurm: None, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The study of one long training, done without a cluster. To be read only."""

    def make(folder: Path) -> Study:
        study = Study.write(folder, [("english", "single")], **LONG)
        study.completed("-c2")
        return study

    return shared(tmp_path_factory, "undisturbed", make)


@pytest.fixture(scope="session")
def ready(undisturbed: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The same before the training: model and data are prepared. To be read only."""

    def make(folder: Path) -> Study:
        study = long_study(undisturbed, folder)
        for made in ("results/runs", "results/best", "work", "logs", "benchmarks"):
            rmtree(study.folder / made)
        for file in study.folder.glob("results/*.*"):
            if file.stem != "check":
                file.unlink()
        return study

    return shared(tmp_path_factory, "ready", make)
