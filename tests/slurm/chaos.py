"""Kill what runs, at random, and compare what comes out with an undisturbed run, byte for byte.

`make chaos N=100` starts a cluster of its own, and trains the same twelve cells in rounds of ten kills.
Exit status 0 when every round gave the same bytes.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from polysharp.core.files import read_json
from tests.integration.study import Study
from tests.slurm.cluster import Cluster, missing, running
from tests.slurm.runs import PROFILE, Driver, with_resources

KILLS_PER_ROUND = 10
KINDS = ("trainer", "asked", "node", "run", "interrupt")
DATASETS = [("english", "single"), ("french", "multi")]
# Nodes of one job each: losing one disturbs no other study on a cluster that is shared.
ON_SPARE_NODES = with_resources("finetune:slurm_partition=spare")
SECONDS = 1800  # within which a round has to end


def twelve_cells(folder: Path) -> Study:
    """Return a study of two data sets, two methods and three seeds, of a few seconds each."""
    return Study.write(
        folder,
        DATASETS,
        seeds=[1, 2, 3],
        methods={"sam": None, "adamw": None},
        training={"epochs": 60, "learning_rate": 1e-3, "dropout": 0.1},
        report={"bootstrap": 200},
        snapshot_seconds=1,
    )


class Round:
    """One study on a cluster, which is killed at in every way that is known."""

    def __init__(self, cluster: Cluster, study: Study, seed: int) -> None:
        self.cluster, self.study = cluster, study
        self.done: Counter[str] = Counter()
        self._draw = random.Random(seed)
        self._driver = self._started()
        self._starts = 1

    def run(self, kills: int, among: Sequence[str] = KINDS) -> None:
        """Kill so many times in the ways of `among`, and then let the study come to its end.

        A driver that has ended, by our doing or because a cell has used up its attempts, is started
        again by the same command.

        Raises
        ------
        TimeoutError
            When the study does not end.
        AssertionError
            When it is complete before all the kills were done.
        """
        end = time.monotonic() + SECONDS
        ways = [self._trainer, self._asked, self._node, self._run, self._interrupt]
        kinds: list[Callable[[], bool]] = [way for way in ways if way.__name__.strip("_") in among]
        # Every kind comes, and trainers most of all.
        planned = [self._trainer] * max(0, kills - len(kinds)) + kinds[:kills]
        self._draw.shuffle(planned)
        try:
            while True:
                if time.monotonic() > end:
                    raise TimeoutError(f"after {SECONDS} s: {dict(self.done)}\n{self._driver.output}")
                status = self._driver.process.poll()
                if status == 0:
                    break
                if status is not None:
                    self._driver = self._started()
                    self._starts += 1
                if planned:
                    time.sleep(self._draw.uniform(0, 4))
                    kind = planned[-1]
                    if kind():
                        self.done[kind.__name__.strip("_")] += 1
                        planned.pop()
                else:
                    time.sleep(1)
            assert not planned, f"complete after {dict(self.done)}"
        finally:
            self._driver.__exit__(None, None, None)

    @property
    def starts(self) -> int:
        """Return how often the command was given."""
        return self._starts

    def _started(self) -> Driver:
        # A driver that was killed as it started has left a lock without a note, which only --unlock removes.
        command = [sys.executable, "-m", "snakemake", *self.study.command(*PROFILE), "--unlock"]
        self.cluster.run(*command)
        return Driver(self.cluster, self.study, *ON_SPARE_NODES)

    def _trainers(self) -> dict[int, str]:
        """Return the processes that train, by their leases, with their Slurm jobs."""
        found = {}
        for lease in self.study.folder.glob("work/runs/**/lease.json"):
            try:
                holder = read_json(lease)
                os.kill(holder["process"], 0)
            except (OSError, ValueError):
                continue
            found[holder["process"]] = holder["slurm_job"]
        return dict(sorted(found.items()))

    def _signal_a_trainer(self, number: signal.Signals) -> bool:
        trainers = self._trainers()
        if not trainers:
            return False
        try:
            os.kill(self._draw.choice(list(trainers)), number)
        except ProcessLookupError:
            return False
        return True

    def _trainer(self) -> bool:
        """Kill a trainer."""
        return self._signal_a_trainer(signal.SIGKILL)

    def _asked(self) -> bool:
        """Ask a trainer to stop."""
        return self._signal_a_trainer(signal.SIGTERM)

    def _node(self) -> bool:
        """Lose a node whose jobs' processes live on, and have it back later."""
        trainers = self._trainers()
        if not trainers:
            return False
        job = self._draw.choice(list(trainers.values()))
        node = self.cluster.run("squeue", "-h", "-j", job, "-o", "%N", check=False).stdout.strip()
        if not node:
            return False
        self.cluster.lose(node)
        time.sleep(self._draw.uniform(1, 10))
        self.cluster.start_node(node)
        self.cluster.run("scontrol", "update", f"nodename={node}", "state=resume")
        return True

    def _run(self) -> bool:
        """Kill the command, whose jobs live on."""
        if not self._trainers():
            return False
        self._driver.process.kill()
        self._driver.process.wait()
        return True

    def _interrupt(self) -> bool:
        """Interrupt the command, as Ctrl-C does."""
        if not self._trainers():
            return False
        self._driver.process.send_signal(signal.SIGINT)
        self._driver.process.wait(timeout=120)
        return True


def main(kills: int, seed: int) -> int:
    """Run all the rounds, print what happened, and return the exit status."""
    if reason := missing():
        print(f"error: {reason}", file=sys.stderr)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    expected = twelve_cells(folder / "undisturbed")
    expected.completed("-c2")
    different = 0
    with running(folder / "slurm") as cluster:
        for number, left in enumerate(range(kills, 0, -KILLS_PER_ROUND), start=1):
            started = time.monotonic()
            study = twelve_cells(folder / f"round-{number}")
            round_ = Round(cluster, study, seed + number)
            round_.run(min(left, KILLS_PER_ROUND))
            same = study.bytes_of_results() == expected.bytes_of_results()
            different += not same
            done = ", ".join(f"{kind} {count}" for kind, count in sorted(round_.done.items()))
            took, verdict = time.monotonic() - started, "same bytes" if same else f"DIFFERENT: {study.folder}"
            print(
                f"round {number}: {done}; {round_.starts} starts; {took:.0f} s; {verdict}",
                flush=True,
            )
            if same:
                shutil.rmtree(study.folder)
    if different == 0:
        shutil.rmtree(folder)
    return int(different > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10, help="how many, in rounds of ten (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of what is killed when (default: 0)")
    arguments = parser.parse_args()
    sys.exit(main(arguments.kills, arguments.seed))
