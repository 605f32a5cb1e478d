"""Kills at random moments."""

from pathlib import Path

import pytest

from tests.integration.study import Study
from tests.slurm.chaos import KILLS_PER_ROUND, Round, twelve_cells
from tests.slurm.cluster import Cluster
from tests.slurm.runs import long_study


def test_a_cell_whose_node_is_lost_and_whose_driver_is_killed_gives_the_same_bytes(
    cluster: Cluster, ready: Study, undisturbed: Study, tmp_path: Path
) -> None:
    study = long_study(ready, tmp_path / "killed at", snapshot_seconds=0)
    round_ = Round(cluster, study, seed=0)
    round_.run(2, among=("node", "run"))
    assert round_.done == {"node": 1, "run": 1}
    assert study.bytes_of_results() == undisturbed.bytes_of_results()


@pytest.mark.long
def test_twelve_cells_killed_at_ten_times_give_the_same_bytes(cluster: Cluster, tmp_path: Path) -> None:
    expected = twelve_cells(tmp_path / "undisturbed")
    expected.completed("-c2")
    study = twelve_cells(tmp_path / "killed at")
    round_ = Round(cluster, study, seed=0)
    round_.run(KILLS_PER_ROUND)
    assert sum(round_.done.values()) == KILLS_PER_ROUND
    assert study.bytes_of_results() == expected.bytes_of_results()
