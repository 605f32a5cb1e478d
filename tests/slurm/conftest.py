import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import finished, shared  # noqa: F401
from tests.integration.study import Study
from tests.slurm.cluster import Cluster, missing
from tests.slurm.runs import LONG, long_study

REQUIRED = "POLYSHARP_NEEDS_SLURM"  # set where a cluster that cannot be had is a failure: make test-slurm


@pytest.fixture(autouse=True)
def uncovered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the lines that jobs run to the other tests to count: counting takes a third of their time."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster with accounting."""
    if reason := missing():
        (pytest.fail if REQUIRED in os.environ else pytest.skip)(reason)
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study of one long training, with model and data prepared. To be read only."""

    def make(folder: Path) -> Study:
        study = Study.write(folder, [("english", "single")], **LONG)
        study.completed("-c1", "--until", "prepare_model", "prepare_data")
        return study

    return shared(tmp_path_factory, "ready", make)


@pytest.fixture(scope="session")
def undisturbed(ready: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The study of one long training, done without a cluster. To be read only."""

    def make(folder: Path) -> Study:
        study = long_study(ready, folder)
        study.completed("-c1")
        return study

    return shared(tmp_path_factory, "undisturbed", make)
