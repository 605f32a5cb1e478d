"""`snakemake -c1 partial`: all tables from what is finished, while the rest is still training."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.integration.study import Study

METHODS: dict[str, object] = {"sam": None, "tfidf": None}


def test_tables_of_a_study_that_is_still_at_work(tmp_path: Path) -> None:
    study = Study.write(tmp_path / "study", [("english", "single")])
    study.configure(
        methods=METHODS, training={"epochs": 20, "learning_rate": 1e-3}, report={"bootstrap": 200}
    )
    reason = study.folder / "work/data/main/english/multi/failure.json"  # of an earlier run
    study.completed("-c1", "partial")
    assert {row["status"] for row in study.table("runs.tsv")} == {"missing"}

    command = [sys.executable, "-m", "snakemake", *study.command("-c1")]
    output = tmp_path / "output"
    with (
        output.open("w") as stream,
        subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True) as run,
    ):
        of_sam = "main/english/single/sam"
        deadline = time.monotonic() + 300
        # One seed is complete, the other in training.
        while not (
            list((study.folder / "results/runs" / of_sam).glob("*/job.json"))
            and list((study.folder / "work/runs" / of_sam).glob("*/lease.json"))
        ):
            assert run.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(run.pid, signal.SIGSTOP)  # or it might be done before the tables are
        try:
            reason.parent.mkdir(parents=True)
            reason.write_text("{}")
            study.completed("-c1", "partial")
            status = {(row["method"], row["seed"]): row["status"] for row in study.table("runs.tsv")}
            assert sorted([status["sam", "1"], status["sam", "2"]]) == ["complete", "missing"]
            rows = {row["method"]: row for row in study.table("comparison.tsv")}
            assert (rows["sam"]["status"], rows["sam"]["coverage"]) == ("partial", "0.500000")
            assert not (study.folder / "results/manifest.json").exists()
            assert not (study.folder / "results/failures.tsv").exists()  # what is in training has not failed
            assert "1 of 2" in (study.folder / "results/report.html").read_text()
            assert reason.exists()  # a look at the tables takes nothing away
        finally:
            os.killpg(run.pid, signal.SIGCONT)
        run.wait(timeout=300)
    assert run.returncode == 0, output.read_text()
    assert {row["status"] for row in study.table("runs.tsv")} == {"complete"}
    assert (study.folder / "results/manifest.json").exists()
    assert not study.planned("all")
