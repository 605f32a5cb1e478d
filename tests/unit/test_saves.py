"""A training that is killed at any of its writes goes on to the same bytes, and leaves nothing behind."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from polysharp.models.prepare import prepare_model
from tests import warm
from tests.conftest import ROOT


@pytest.mark.parametrize(
    "every",
    [pytest.param([], marks=pytest.mark.slow), pytest.param(["--every"], marks=pytest.mark.long)],
    ids=str,
)
def test_a_kill_at_any_write_loses_nothing(
    every: list[str],
    tmp_path: Path,
    tiny_model: Callable[[str], Path],
    prepared_folder: Callable[[str], Path],
) -> None:
    prepare_model(str(tiny_model("bert")), None, tmp_path / "model")
    command = [warm.python(), "-m", "tests.unit.killed_saves", tmp_path / "model", prepared_folder("single")]
    done = subprocess.run(
        [*map(str, command), str(tmp_path), *every],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": f"{ROOT}/workflow:{ROOT}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    assert [kill for kill in kills if not (kill["killed"] and kill["resumed"] and kill["same"])] == []
    written = " ".join(kill["write"] for kill in kills)
    for part in ("snapshots", "state.pt", "manifest.json", "lease.json", "checkpoint", "config.json",
                 "tokenizer.json", "predictions.parquet", "report.json", "history.jsonl", "costs.json",
                 "job.json"):  # fmt: skip
        assert part in written, part
