"""Sixty cells, submitted and complete."""

from pathlib import Path

from tests.slurm.cluster import Cluster
from tests.slurm.scale import many_cells, measure


def test_sixty_cells(cluster: Cluster, tmp_path: Path) -> None:
    measured = measure(cluster, *many_cells(tmp_path, languages=12, seeds=5, seeds_per_job=1))
    print(measured)
    assert (measured.cells, measured.jobs, measured.complete) == (60, 60, 60)
    assert measured.dry_run_seconds < 10


def test_twenty_cells_in_four_jobs(cluster: Cluster, tmp_path: Path) -> None:
    measured = measure(cluster, *many_cells(tmp_path, languages=4, seeds=5, seeds_per_job=5))
    print(measured)
    assert (measured.cells, measured.jobs, measured.complete) == (20, 4, 20)
