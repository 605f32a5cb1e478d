"""Many cells with a training that does nothing: what the workflow and Slurm themselves take.

    python -m tests.slurm.scale --languages 200 --seeds 5 --cells-per-job 1

Starts a cluster of its own, and prints the times of a dry run and of the run.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.integration.study import Study, copy_of_the_repository, copy_study, snakemake
from tests.slurm.cluster import Cluster, missing, running
from tests.slurm.runs import DATASET, LONG, PROFILE, Driver, accounted, cell

# In place of the command train: every cell's results are those of one real training.
TRIVIAL = """
import argparse, json, shutil
from pathlib import Path

def run(argv):
    parser = argparse.ArgumentParser()
    for name in ("--output", "--work", "--receipt"):
        parser.add_argument(name)
    parser.add_argument("--cells", nargs="+")
    arguments, _ = parser.parse_known_args(argv)
    done = Path(__file__).parent / "done"
    for cell in arguments.cells:
        seed = int(cell.rpartition("-")[2])
        for kind, place in (("run", arguments.output), ("work", arguments.work)):
            folder = Path(place.replace("{cell}", cell))
            shutil.copytree(done / kind, folder, dirs_exist_ok=True)
            if kind == "run":
                report = json.loads((folder / "report.json").read_text())
                (folder / "report.json").write_text(json.dumps({**report, "seed": seed}))
    Path(arguments.receipt).write_text("{}")
"""


@dataclass(frozen=True)
class Measured:
    """What a run of many cells took."""

    cells: int
    jobs: int
    complete: int
    dry_run_seconds: float
    seconds: float
    driver_cpu_seconds: float
    submissions_per_minute: float

    def __str__(self) -> str:
        return (
            f"{self.cells} cells in {self.jobs} Slurm jobs: {self.complete} complete; dry run "
            f"{self.dry_run_seconds:.1f} s; run {self.seconds:.0f} s, of which the driver and its local "
            f"rules computed {self.driver_cpu_seconds:.0f} s; {self.submissions_per_minute:.0f} submissions "
            "a minute"
        )


def many_cells(
    trained: Study, folder: Path, languages: int, seeds: int, cells_per_job: int
) -> tuple[Study, Path]:
    """Return a study of so many languages and seeds, and a copy of the workflow that trains nothing.

    Every cell gets the results of the one of `trained`.
    """
    study = copy_study(trained, folder / "study")
    snakefile = copy_of_the_repository(folder / "repository") / "Snakefile"
    commands = snakefile.parent / "workflow/polysharp/cli"
    (commands / "train.py").write_text(TRIVIAL, encoding="utf-8")
    shutil.copytree(study.folder / "results/runs" / cell(), commands / "done/run")
    shutil.copytree(study.folder / "results/best" / DATASET, commands / "done/work/checkpoint")
    for made in ("results", "work", "logs", "benchmarks", ".snakemake"):
        shutil.rmtree(study.folder / made)
    names = [f"language-{number}" for number in range(languages)]
    rows = ["language\tlabel_type\tsource", *(f"{name}\tsingle\tdata/english/single" for name in names)]
    (study.folder / "config/datasets.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    configuration = study.folder / "config/config.yaml"
    content = yaml.safe_load(configuration.read_text())
    content |= {
        "seeds": list(range(1, seeds + 1)),
        "cells_per_job": cells_per_job,
        "models": {"default": content["models"]["english"]},
    }
    configuration.write_text(yaml.safe_dump(content), encoding="utf-8")
    return study, snakefile


def measure(cluster: Cluster, study: Study, snakefile: Path) -> Measured:
    """Run the study on the cluster, and return what it took."""
    started = time.monotonic()
    dry = snakemake(*study.command("-n", "--quiet", "rules", *PROFILE, snakefile=snakefile))
    dry_seconds = time.monotonic() - started
    assert dry.returncode == 0, dry.stderr
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    with Driver(cluster, study, snakefile=snakefile) as driver:
        assert driver.ends(4 * 3600) == 0, driver.output[-5000:]
    seconds = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    submits = accounted(cluster, study, "Submit")
    times = sorted(time.mktime(time.strptime(submit, "%Y-%m-%dT%H:%M:%S")) for (submit,) in submits)
    rows = study.table("runs.tsv")
    return Measured(
        cells=len(rows),
        jobs=len(submits),
        complete=sum(row["status"] == "complete" for row in rows),
        dry_run_seconds=dry_seconds,
        seconds=seconds,
        driver_cpu_seconds=after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime,
        submissions_per_minute=60 * len(times) / max(1.0, times[-1] - times[0]),
    )


def main(languages: int, seeds: int, cells_per_job: int) -> int:
    """Start a cluster, measure, print, and return the exit status."""
    if reason := missing():
        print(f"error: {reason}", file=sys.stderr)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="scale-"))
    try:
        trained = Study.write(folder / "trained", [("english", "single")], **LONG)
        trained.completed("-c1")
        study, snakefile = many_cells(trained, folder, languages, seeds, cells_per_job)
        with running(folder / "slurm") as cluster:
            measured = measure(cluster, study, snakefile)
    finally:
        shutil.rmtree(folder)
    print(measured)
    return int(measured.complete != measured.cells)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--languages", type=int, default=12, help="default: 12")
    parser.add_argument("--seeds", type=int, default=5, help="default: 5")
    parser.add_argument("--cells-per-job", type=int, default=1, help="default: 1")
    arguments = parser.parse_args()
    sys.exit(main(arguments.languages, arguments.seeds, arguments.cells_per_job))
