"""`snakemake -c1 partial`: all tables from what is finished, while the rest is still training."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from shutil import rmtree

import yaml

from polysharp.config.study import load_study
from polysharp.core.files import read_json
from polysharp.core.paths import Paths
from polysharp.results.plan import make_plan
from tests import warm
from tests.integration.study import Study


def drawn(study: Study) -> list[bytes]:
    return [(study.folder / f"results/comparison.{kind}").read_bytes() for kind in ("png", "pdf")]


METHODS: dict[str, object] = {"sam": None, "tfidf": None}


def test_tables_of_a_study_that_is_still_at_work(tmp_path: Path) -> None:
    study = Study.write(tmp_path / "study", [("english", "single")])
    study.configure(
        methods=METHODS, training={"epochs": 40, "learning_rate": 1e-3}, report={"bootstrap": 200}
    )
    reason = study.folder / "work/data/main/english/multi/failure.json"  # of an earlier run
    study.completed("-c1", "partial")
    assert {row["status"] for row in study.table("runs.tsv")} == {"missing"}
    nothing = drawn(study)

    command = [warm.python(), "-m", "snakemake", *study.command("-c1")]
    output = tmp_path / "output"
    with (
        output.open("w") as stream,
        subprocess.Popen(command, stdout=stream, stderr=stream) as run,
    ):
        of_sam = "main/english/single/sam"
        deadline = time.monotonic() + 300
        # One seed is complete, the other in training.
        while not (
            list((study.folder / "results/runs" / of_sam).glob("*/job.json"))
            and (leases := list((study.folder / "work/runs" / of_sam).glob("*/lease.json")))
        ):
            assert run.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        trainer = json.loads(leases[0].read_text())["process"]
        os.kill(trainer, signal.SIGSTOP)  # or it might be done before the tables are
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
            assert drawn(study) != nothing  # figures are of the tables beside them
            assert reason.exists()  # a look at the tables takes nothing away
        finally:
            os.kill(trainer, signal.SIGCONT)
        run.wait(timeout=300)
    assert run.returncode == 0, output.read_text()
    assert {row["status"] for row in study.table("runs.tsv")} == {"complete"}
    assert (study.folder / "results/manifest.json").exists()
    assert not study.planned("all")


def test_tables_and_plan_agree_with_what_a_change_of_the_model_trains_again(study: Study) -> None:
    def states() -> dict[str, set[str]]:
        study.completed("-c1", "partial")
        found: dict[str, set[str]] = {}
        for row in study.table("runs.tsv"):
            found.setdefault(row["reason"], set()).add(f"{row['language']}/{row['method']}")
        return found

    def left() -> dict[str, int]:
        content = yaml.safe_load((study.folder / "config/config.yaml").read_text(encoding="utf-8"))
        configuration, matrix = load_study(content, [study.folder])
        paths = Paths(study.folder / "results", study.folder / "work")
        plan = make_plan(matrix, configuration.selection_metric, paths)
        return {one.method: one.left for one in plan.methods}

    report = read_json(study.folder / "results/runs/main/english/single/probe/seed-0/report.json")
    assert report["seed"] == 0
    assert report["reading"] == {"text_prefix": "", "pooling": "mean", "max_length": 32}
    rmtree(study.folder / "models")  # to save space: what is finished stays finished
    assert list(states()) == [""] and set(left().values()) == {0}

    study.write_model("turkish")
    other = {"name": "./encoders/turkish", "max_length": 32}
    study.configure(models={"english": other, "french": {"name": "./encoders/french", "max_length": 32}})
    found = states()
    retrained = found.pop("trained with another model; not retrained yet")
    assert retrained == {"english/sam", "english/probe"}
    assert found == {"": {"english/tfidf", "french/sam", "french/probe", "french/tfidf"}}
    (row,) = [r for r in study.table("comparison.tsv") if (r["language"], r["method"]) == ("english", "sam")]
    assert (row["status"], row["test_mean"]) == ("missing", "")
    jobs = [job.split()[0] for job in study.jobs()]
    assert left() == {"sam": 2, "probe": 1, "tfidf": 0}
    assert (jobs.count("finetune"), jobs.count("probe"), jobs.count("tfidf")) == (2, 1, 0)
