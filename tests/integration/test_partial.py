"""`snakemake -c1 partial`: all tables from what is finished, while the rest is still training."""

import subprocess
import sys
import time
from pathlib import Path

from tests.integration.study import Study

METHODS: dict[str, object] = {"sam": None, "tfidf": None}


def test_tables_of_a_study_that_is_still_at_work(tmp_path: Path) -> None:
    study = Study.write(tmp_path / "study", [("english", "single")])
    study.configure(
        methods=METHODS, training={"epochs": 60, "learning_rate": 1e-3}, report={"bootstrap": 200}
    )
    reason = study.folder / "work/data/main/english/multi/failure.json"  # of an earlier run
    study.completed("-c1", "partial")
    assert {row["status"] for row in study.table("runs.tsv")} == {"missing"}

    command = [sys.executable, "-m", "snakemake", *study.command("-c1")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        first = study.folder / "results/runs/main/english/single/sam/seed-1/job.json"
        deadline = time.monotonic() + 300
        while not first.exists():
            assert run.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        reason.parent.mkdir(parents=True)
        reason.write_text("{}")
        study.completed("-c1", "partial")
        assert run.poll() is None, "the study ended too soon to tell anything"
        status = {(row["method"], row["seed"]): row["status"] for row in study.table("runs.tsv")}
        assert status["sam", "1"] == "complete" and "missing" in status.values()
        rows = {row["method"]: row for row in study.table("comparison.tsv")}
        assert (rows["sam"]["status"], rows["sam"]["coverage"]) == ("partial", "0.500000")
        assert not (study.folder / "results/manifest.json").exists()
        assert "1 of 2" in (study.folder / "results/report.html").read_text()
        assert reason.exists()  # a look at the tables takes nothing away
        output, _ = run.communicate(timeout=300)
    assert run.returncode == 0, output
    assert {row["status"] for row in study.table("runs.tsv")} == {"complete"}
    assert (study.folder / "results/manifest.json").exists()
    assert not study.planned("all")
