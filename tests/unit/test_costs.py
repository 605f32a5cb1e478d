"""What cells took: the life of a process and the time of a Slurm job, divided among the cells."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from polysharp.cluster.slurm import elapsed_seconds
from polysharp.config.study import Matrix
from polysharp.core.files import read_json, write_json
from polysharp.core.paths import Paths
from polysharp.reporting.costs import compared_with_forecast, costs_rows
from polysharp.results.forecast import in_words, read_forecast, taken, write_forecast
from polysharp.results.status import read_runs
from tests.unit.test_done import write_report
from tests.unit.test_plan import matrix, paths

__all__ = ["matrix", "paths"]  # fixtures
NAME = "polysharp_1b4e28ba-2fa1-11d2-883f-0016d3cca427"


@pytest.fixture
def sacct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command of that name, which prints the file that is returned."""
    output = tmp_path / "sacct.txt"
    output.write_text("")
    command = tmp_path / "bin/sacct"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\ncat {output}\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    return output


def finish(matrix: Matrix, paths: Paths, number: int, **costs: object) -> str:
    cell = matrix.cells[number]
    write_report(cell, paths)
    write_json(paths.run(cell.path) / "costs.json", {"seconds": 10.0, "earlier_seconds": 0.0, **costs})
    return cell.path


def rows(matrix: Matrix, paths: Paths) -> list[dict[str, object]]:
    found = costs_rows(read_runs(matrix.cells, "macro_f1", paths), paths)
    return [row for row in found if "seconds" in row]


def test_a_process_divides_what_its_cells_did_not_take(tmp_path: Path) -> None:
    code = f"""
import json, time
from pathlib import Path
from polysharp.training.costs import share_overhead
time.sleep(1)
folders = []
for name, seconds, earlier in (("a", 100.3, 100.0), ("b", 0.1, 0.0)):
    folder = Path({str(tmp_path)!r}) / name
    folder.mkdir()
    (folder / "costs.json").write_text(json.dumps({{"seconds": seconds, "earlier_seconds": earlier}}))
    folders.append(folder)
share_overhead(folders)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    a, b = (read_json(tmp_path / name / "costs.json") for name in "ab")
    assert a["overhead_seconds"] == pytest.approx(3 * b["overhead_seconds"], abs=0.2)
    assert a["overhead_seconds"] + b["overhead_seconds"] > 0.6
    assert taken(a) == a["seconds"] + a["overhead_seconds"]


def test_the_time_of_a_slurm_job_is_divided_among_its_cells(
    matrix: Matrix, paths: Paths, sacct: Path
) -> None:
    finish(matrix, paths, 0, slurm_jobs=["7"], gpu="H200", seconds=30.0)
    finish(matrix, paths, 1, slurm_jobs=["7", "8"], gpu="H200", seconds=10.0)  # was preempted in the first
    finish(matrix, paths, 2, slurm_jobs=["9"])  # of another cluster
    finish(matrix, paths, 3)
    sacct.write_text(
        f"7|100|PREEMPTED|{NAME}\n7|20|COMPLETED|{NAME}\n8|60|COMPLETED|{NAME}\n9|7|COMPLETED|bash\n"
    )
    first = rows(matrix, paths)
    assert [row.get("allocated_seconds") for row in first] == [90.0, 90.0, None, None]
    assert [row["gpu_hours"] for row in first] == [90 / 3600, 90 / 3600, 0, 0]
    assert first[1]["slurm_jobs"] == "7,8"
    sacct.write_text("")  # accounting forgets; a cell does not
    assert [row.get("allocated_seconds") for row in rows(matrix, paths)] == [90.0, 90.0, None, None]


def test_a_job_that_still_runs_is_not_counted_yet(matrix: Matrix, paths: Paths, sacct: Path) -> None:
    finish(matrix, paths, 0, slurm_jobs=["7"])
    sacct.write_text(f"7|100|PREEMPTED|{NAME}\n7|20|RUNNING|{NAME}\n")
    assert rows(matrix, paths)[0].get("allocated_seconds") is None
    sacct.write_text(f"7|100|PREEMPTED|{NAME}\n7|50|COMPLETED|{NAME}\n")
    assert rows(matrix, paths)[0]["allocated_seconds"] == 150.0


def test_without_accounting_it_is_the_life_of_the_process(
    matrix: Matrix, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert elapsed_seconds(["7"]) == {}
    finish(matrix, paths, 0, slurm_jobs=["7"], gpu="H200", seconds=30.0, overhead_seconds=6.0)
    (row,) = rows(matrix, paths)
    assert "allocated_seconds" not in row and row["gpu_hours"] == pytest.approx(36 / 3600)


def test_forecast_and_costs_stand_side_by_side(matrix: Matrix, paths: Paths) -> None:
    write_forecast(matrix, "macro_f1", paths)
    assert read_forecast(paths) == {}
    finish(matrix, paths, 0, seconds=100.0, overhead_seconds=20.0)
    write_forecast(matrix, "macro_f1", paths)
    assert set(read_forecast(paths).values()) == {120.0}
    finish(matrix, paths, 1, seconds=150.0)
    finish(matrix, paths, 2, seconds=9000.0)
    found = rows(matrix, paths)
    assert [row["forecast_seconds"] for row in found] == [None, 120.0, 120.0]
    lines = [*compared_with_forecast(read_runs(matrix.cells, "macro_f1", paths), paths)]
    assert lines == ["costs of sam, 2 cells: forecast 4 minutes, took 2.5 hours"]
    # What was forecast before a cell ran stays.
    write_forecast(matrix, "macro_f1", paths)
    assert read_forecast(paths)[matrix.cells[1].path] == 120.0


def test_times_are_said_in_units_that_fit() -> None:
    assert [in_words(value) for value in (0.4, 119, 120, 7199, 7200)] == [
        "0 seconds", "119 seconds", "2 minutes", "120 minutes", "2.0 hours",
    ]  # fmt: skip
