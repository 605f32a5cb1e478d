"""Ten kills among twelve cells."""

from pathlib import Path

from tests.slurm.chaos import KILLS_PER_ROUND, Round, twelve_cells
from tests.slurm.cluster import Cluster


def test_twelve_cells_killed_at_ten_times_give_the_same_bytes(cluster: Cluster, tmp_path: Path) -> None:
    expected = twelve_cells(tmp_path / "undisturbed")
    expected.completed("-c2")
    study = twelve_cells(tmp_path / "killed at")
    round_ = Round(cluster, study, seed=0)
    round_.run(KILLS_PER_ROUND)
    assert sum(round_.done.values()) == KILLS_PER_ROUND
    assert study.bytes_of_results() == expected.bytes_of_results()
