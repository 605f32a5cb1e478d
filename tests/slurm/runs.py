"""A study on the cluster: the driver that runs it, and what a test waits for and does to it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from polysharp.core.files import read_json
from tests.integration.study import ROOT, Study, copy_study
from tests.slurm.cluster import Cluster, lives

PROFILE = ("--profile", str(ROOT / "profiles/slurm"), "--slurm-init-seconds-before-status-checks=4")
# Snakemake lives as long after its last job as the timespan: ten seconds in the profile.
QUICK = ("--max-jobs-per-timespan=20/1s",)
METHOD = "sam"
DATASET = "main/english/single"
EPOCHS = 60  # of a long training
LONG: dict[str, object] = {
    "seeds": [1],
    "methods": {METHOD: None},
    "training": {"epochs": EPOCHS, "learning_rate": 1e-4, "dropout": 0.1},
    "report": {"bootstrap": 200},
}


def cell(method: str = METHOD) -> str:
    """Return the path of a method's cell."""
    return f"{DATASET}/{method}/seed-1"


def long_study(ready: Study, folder: Path, **configuration: object) -> Study:
    """Return a study whose one training takes long enough to be disturbed; all before it is done."""
    study = copy_study(ready, folder)
    study.configure(**LONG, **configuration)
    return study


def same_trainings(
    undisturbed: Study, folder: Path, methods: Iterable[str], **configuration: object
) -> Study:
    """Return a study of several methods that all do what METHOD does, which alone is complete."""
    study = copy_study(undisturbed, folder)
    same = {method: {"base": METHOD} for method in methods}
    study.configure(**LONG | {"methods": {METHOD: None} | same} | configuration)
    return study


def tfidf_study(undisturbed: Study, folder: Path, jobs: int) -> Study:
    """Return a study of so many baselines that take no time."""
    study = copy_study(undisturbed, folder)
    names = ["tfidf", *(f"tfidf-{number}" for number in range(2, jobs + 1))]
    study.configure(**LONG | {"methods": {name: {"base": "tfidf"} for name in names}})
    return study


def with_resources(*resources: str) -> tuple[str, ...]:
    """Return the arguments for other resources of fine-tuning; those of the profile do not count then."""
    return ("--set-resources", "finetune:gres=gpu:1", *resources)


def by_method(resource: str, otherwise: str, **values: str) -> str:
    """Return an argument of --set-resources: a resource of fine-tuning that some methods have another of.

    All are Python expressions; a hyphen in a method's name is an underscore here.
    """
    cases = ", ".join(f"{name.replace('_', '-')!r}: {value}" for name, value in values.items())
    return f"finetune:{resource}={{{cases}}}.get(wildcards.method, {otherwise})"


def files_of(study: Study, method: str = METHOD) -> dict[str, bytes]:
    """Return what a training has made, apart from what it took."""
    run, work = (study.folder / kind / cell(method) for kind in ("results/runs", "work/runs"))
    if not (work / "checkpoint").exists():  # published
        work = study.folder / "results/best" / DATASET
    names = ("report.json", "predictions.parquet", "history.jsonl")
    found = {name: (run / name).read_bytes() for name in names}
    return found | {"weights": next(work.glob("**/model.safetensors")).read_bytes()}


def rows_of(study: Study, table: str, method: str) -> list[dict[str, str]]:
    """Return a method's rows of a table, without its name and what it took."""
    rows = [row for row in study.table(table) if row["method"] == method]
    assert rows
    return [{key: value for key, value in row.items() if key != "method"} for row in rows]


class Driver:
    """The command that runs a study on a cluster, in the background; stopped at the end of the block."""

    def __init__(
        self, cluster: Cluster, study: Study, *arguments: str, snakefile: Path = ROOT / "Snakefile"
    ) -> None:
        self.cluster, self.study = cluster, study
        self._output = study.folder / f"driver-{time.monotonic_ns()}.log"
        given = study.command(*PROFILE, *QUICK, *arguments, snakefile=snakefile)
        command = [sys.executable, "-m", "tests.slurm.snakemake", *given]
        with self._output.open("w") as stream:
            self.process = subprocess.Popen(
                cluster.inside(*command), stdout=stream, stderr=stream, preexec_fn=_hear_interrupts
            )

    def __enter__(self) -> Driver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        for job in queued(self.cluster, self.study):
            self.cluster.run("scancel", job, check=False)

    @property
    def output(self) -> str:
        """Return what it has said."""
        return self._output.read_text()

    def wait(self, condition: Callable[[], bool], seconds: float = 600, pause: float = 0.2) -> None:
        """Wait for a condition while it lives, and look as often as every `pause` seconds."""
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.output
            assert time.monotonic() < end, f"the condition did not come true in time: {self.output}"
            time.sleep(pause)

    def hold(self, *methods: str, after: int | None = None) -> list[Training]:
        """Wait until the trainings of these methods are at work, and let them do nothing more.

        Each is stopped as soon as it has come as far as the third epoch, or after a resumption to any epoch:
        of a process other than `after`.
        """
        held: dict[str, Training] = {}

        def all_held() -> bool:
            for method in methods:
                if method not in held and (training := at_work(self.study, method, after)):
                    os.kill(training.process, signal.SIGSTOP)
                    held[method] = training
            return len(held) == len(methods)

        try:
            self.wait(all_held, pause=0.05)  # before it is done
        except BaseException:
            for training in held.values():
                training.go_on()
            raise
        return [held[method] for method in methods]

    def ends(self, seconds: float = 1200) -> int:
        """Wait for its end, and return its exit status."""
        return self.process.wait(timeout=seconds)

    def ends_well(self) -> None:
        """Wait for its end, and fail unless it succeeded."""
        assert self.ends() == 0, self.output


class Training:
    """The process that trains a cell: its number, its Slurm job, its log, which a later attempt replaces."""

    def __init__(self, study: Study, method: str) -> None:
        self._study, self._method = study, method
        lease = read_json(study.folder / "work/runs" / cell(method) / "lease.json")
        self.process, self.job = int(lease["process"]), str(lease["slurm_job"])
        self._log = (study.folder / f"logs/runs/{cell(method)}.log").open()

    @property
    def log(self) -> str:
        """Return what it has said, also when it has ended."""
        self._log.seek(0)
        return self._log.read()

    def go_on(self) -> None:
        """Let it go on, if it is still there."""
        with suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGCONT)

    def beat(self) -> None:
        """Let it do a step where its last one is some time ago: it shows by its lease that it lives."""
        lease = self._study.folder / "work/runs" / cell(self._method) / "lease.json"
        if time.time() - lease.stat().st_mtime > 20:
            self.go_on()
            time.sleep(0.2)
            with suppress(ProcessLookupError):
                os.kill(self.process, signal.SIGSTOP)

    def asked_to_stop(self) -> bool:
        """Return whether it was sent SIGTERM while it was held, or has ended; let it go on then."""
        try:
            status = Path(f"/proc/{self.process}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True
        pending = int(re.findall(r"ShdPnd:\s+(\w+)", status)[0], 16) >> (signal.SIGTERM - 1) & 1
        # Slurm wakes what it is going to end.
        if not pending and re.search(r"State:\s+T", status):
            return False
        self.go_on()
        return True


def at_work(study: Study, method: str, after: int | None) -> Training | None:
    """Return the process that trains a method's cell, if it has come as far as :meth:`Driver.hold` says."""
    try:
        training = Training(study, method)
    except (OSError, ValueError):  # not there yet, or being written
        return None
    epochs = [int(epoch) for epoch in re.findall(r" epoch (\d+)/", training.log)]
    far = bool(epochs) and (epochs[-1] >= 3 or after is not None)
    return training if far and training.process != after and lives(training.process) else None


def snapshots(study: Study, method: str = METHOD) -> list[Path]:
    """Return the snapshots of a cell, the newest last."""
    return sorted((study.folder / "work/runs" / cell(method)).glob("snapshots/*/step-*"))


def log_of(study: Study, method: str = METHOD) -> str:
    """Return the log of a cell's last attempt."""
    return (study.folder / f"logs/runs/{cell(method)}.log").read_text()


def failures(study: Study) -> dict[str, dict[str, str]]:
    """Return the rows of failures.tsv by cell."""
    names = ("task", "language", "label_type", "method")
    rows = study.table("failures.tsv")
    return {"/".join([*(row[name] for name in names), f"seed-{row['seed']}"]): row for row in rows}


def _hear_interrupts() -> None:
    """Let SIGINT do what it does in a terminal, also when the tests run in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def runs_again(cluster: Cluster, job: str) -> bool:
    """Return whether a job that was put back runs again; take from it its two minutes of waiting."""
    cluster.run("scontrol", "update", f"jobid={job}", "StartTime=now", check=False)
    shown = cluster.run("scontrol", "show", "job", "-o", job, check=False).stdout
    return "JobState=RUNNING" in shown and "Restarts=1" in shown


def queued(cluster: Cluster, study: Study) -> list[str]:
    """Return the jobs of a study that wait, run, or come to their end."""
    rows = cluster.run("squeue", "-h", "-o", "%i|%Z", check=False).stdout.splitlines()
    jobs = [row.split("|", 1) for row in rows]
    return [job for job, folder in jobs if Path(folder) == study.folder]


def submits(study: Study) -> bool:
    """Return whether a submission of this study is under way, or waits to be tried again."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command, folder = (process / "cmdline").read_bytes(), (process / "cwd").readlink()
            if b"/sbatch" in command and folder == study.folder:
                return True
    return False


def state_of(cluster: Cluster, job: str) -> str:
    """Return a job's state, as squeue gives it; empty once it has gone."""
    return cluster.run("squeue", "-h", "-t", "all", "-j", job, "-o", "%T", check=False).stdout.strip()


def accounted(cluster: Cluster, study: Study, *fields: str) -> list[list[str]]:
    """Return fields of every job of a study in the accounting, once for each time that it was put back.

    Those of other studies may come into the accounting, or once more, at any time.
    """
    since = "--starttime=now-1day"  # else since midnight, which a run of the tests may see
    shown = cluster.run(
        "sacct", "-X", "-n", "-P", "--duplicates", since, f"--format={','.join(['WorkDir', *fields])}"
    ).stdout
    rows = [line.split("|") for line in shown.splitlines()]
    return [of_job for folder, *of_job in rows if Path(folder) == study.folder]
