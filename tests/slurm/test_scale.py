"""Many cells, submitted and complete."""

from pathlib import Path

import pytest

from tests.integration.study import Study
from tests.slurm.cluster import Cluster
from tests.slurm.scale import many_cells, measure


@pytest.mark.long
def test_sixty_cells(cluster: Cluster, undisturbed: Study, tmp_path: Path) -> None:
    measured = measure(cluster, *many_cells(undisturbed, tmp_path, languages=12, seeds=5, cells_per_job=1))
    print(measured)
    assert (measured.cells, measured.jobs, measured.complete) == (60, 60, 60)
    assert measured.dry_run_seconds < 10


def test_fifteen_cells_in_two_jobs(cluster: Cluster, undisturbed: Study, tmp_path: Path) -> None:
    # Eight cells of 60 minutes each are more than the partition's 240.
    measured = measure(cluster, *many_cells(undisturbed, tmp_path, languages=3, seeds=5, cells_per_job=8))
    print(measured)
    assert (measured.cells, measured.jobs, measured.complete) == (15, 2, 15)
