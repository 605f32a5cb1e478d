import os
from collections.abc import Iterator

import pytest

from tests.integration.conftest import finished  # noqa: F401
from tests.slurm.cluster import Cluster, missing

REQUIRED = "POLYSHARP_NEEDS_SLURM"  # set where a cluster that cannot be had is a failure: make test-slurm


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
