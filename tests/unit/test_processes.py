"""Several processes that train one model, on the processor, through gloo."""

import json
import os
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from polysharp.config.settings import ModelSettings, TrainingSettings
from polysharp.data.prepared import read_prepared
from polysharp.models.prepare import prepare_model
from polysharp.training.batches import training_batches
from polysharp.training.finetuning import FineTuning
from polysharp.training.inputs import PretrainedModel, SharedTrainingInputs
from tests import warm
from tests.conftest import ROOT
from tests.unit.test_training import in_float64

SETTINGS = {
    "ascent_share": 1.0,
    "ascent_parameters": "all",
    "epochs": 1,
    "batch_size": 7,
    "learning_rate": 1e-3,
    "head_learning_rate": 2e-3,
    "dropout": 0.0,
    "max_grad_norm": 0.5,
    "rho": 0.3,
    "inverse_regularisation": [0.1],
}
START = """
import sys, torch
from pathlib import Path
from accelerate import Accelerator
from polysharp.core.errors import Interrupted
from polysharp.training.snapshots import Snapshots
from tests.unit.test_processes import prepare
from tests.unit.test_training import StoppedAfter

model, data, changes, output = Path(sys.argv[1]), Path(sys.argv[2]), eval(sys.argv[3]), Path(sys.argv[4])
device = Accelerator(cpu=True)
rank = device.process_index

def keep(run, name):
    torch.save({name: p.detach() for name, p in run.model.named_parameters()}, output / f"{name}-{rank}.pt")
"""
ONE_EPOCH = """
run = prepare(model, data, changes, device)
run._start_from_probe(run.model)
run.steps.distribute()
run._epoch(1, None)  # and not run(), which goes back to the best state, perhaps the first
keep(run, "weights")
"""
BAD_GRADIENT = """
run = prepare(model, data, changes, device)
run.steps.distribute()
real, calls = run.steps.backward, iter(range(100))
def backward(*arguments, **keywords):
    loss = real(*arguments, **keywords)
    if next(calls) == int(sys.argv[5]) and rank == 1:  # in the ascent, which the other does not see
        run.steps.parameters[0].grad[0, 0] = float("nan")
    return loss
run.steps.backward = backward
run._epoch(1, None)
(output / f"skipped-{rank}").write_text(str(run._progress.skipped_steps))
keep(run, "weights")
"""
STOPPED = """
whole = prepare(model, data, changes, device)
whole.run()
keep(whole, "whole")
# One process alone is asked to stop, and one alone writes.
number = 4 if rank == 0 else 10**6
try:
    prepare(model, data, changes, device).run(StoppedAfter(output / "snapshots", number))
    raise SystemExit("not stopped")
except Interrupted:
    pass
torch.manual_seed(99)
resumed = prepare(model, data, changes, device)
resumed.run(Snapshots(output / "snapshots", {"seed": 1}, 1000))
keep(resumed, "resumed")
assert whole._kept.epochs != [0], "no test"
assert whole._progress.history == resumed._progress.history
"""


def prepare(model: Path, data: Path, changes: dict[str, Any], device: Accelerator) -> FineTuning:
    """Return a training in float64, in which another order of sums does not show."""
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    settings = TrainingSettings.model_validate(SETTINGS | changes)
    reading = ModelSettings(name="tiny", max_length=24)
    return in_float64(
        FineTuning(
            SharedTrainingInputs(
                PretrainedModel(model, reading), read_prepared(data), settings, "macro_f1", device
            ),
            1,
        )
    )


ENVIRONMENT = {"PYTHONPATH": f"{ROOT / 'workflow'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def torchrun(*command: object) -> subprocess.CompletedProcess[str]:
    """Run a command in two processes that know of each other."""
    port = f"--master-port={free_port()}"
    start = [warm.python(), "-m", "torch.distributed.run", "--nproc-per-node=2", port]
    return subprocess.run(
        [*start, *map(str, command)], capture_output=True, text=True, check=False, timeout=300,
        env=os.environ | ENVIRONMENT | {"CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip


def run_in_two_processes(code: str, *arguments: object) -> None:
    """Run code in two processes, which the variables of torchrun tell of each other."""
    known = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": "2"}
    processes = []
    for rank in ("0", "1"):
        environment = os.environ | ENVIRONMENT | known | {"RANK": rank, "LOCAL_RANK": rank}
        command = [warm.python(), "-c", code, *map(str, arguments)]
        processes.append(
            subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        )
    for process in processes:
        _, log = process.communicate(timeout=300)
        assert process.returncode == 0, log


def by_hand(run: FineTuning) -> dict[str, Tensor]:
    """Train an epoch with m-sharpness: each half of a batch climbs by its own gradient, both descend."""
    settings, train = run.settings, run.splits["train"]
    run._start_from_probe(run.model)  # type: ignore[arg-type]
    climbing = {id(p) for p in run.steps.climbing}
    run.model.train()
    for rows in training_batches(train.token_ids, settings.batch_size, run.seed, 1):
        gradients = [torch.zeros_like(p) for p in run.steps.parameters]
        for half in (rows[0::2], rows[1::2]):
            if not half:
                continue
            run.steps.optimizer.zero_grad()
            run.steps.backward(half, 1.0, synchronised=False)
            before = [p.detach().clone() for p in run.steps.parameters]
            with torch.no_grad():
                moving = [p for p in run.steps.parameters if p.grad is not None and id(p) in climbing]
                norm = torch.cat([p.grad.flatten() for p in moving]).norm()
                for p in moving:
                    p += settings.rho * p.grad / norm
            run.steps.optimizer.zero_grad()
            run.steps.backward(half, 1 / len(rows), synchronised=False)
            with torch.no_grad():
                for p, weights, gradient in zip(run.steps.parameters, before, gradients, strict=True):
                    p.copy_(weights)
                    if p.grad is not None:
                        gradient += p.grad
        for p, gradient in zip(run.steps.parameters, gradients, strict=True):
            p.grad = None if p.grad is None else gradient
        torch.nn.utils.clip_grad_norm_(run.steps.parameters, settings.max_grad_norm)
        run.steps.optimizer.step()
        run.steps.schedule.step()
    return {name: p.detach() for name, p in run.model.named_parameters()}


@dataclass(frozen=True)
class Processes:
    """Runs a piece of code in two processes, and returns what they kept."""

    folder: Path
    model: Path
    data: Path

    def __call__(self, code: str, changes: dict[str, Any], *more: object) -> None:
        run_in_two_processes(START + code, self.model, self.data, repr(changes), self.folder, *more)

    def kept(self, name: str) -> list[dict[str, Tensor]]:
        return [torch.load(self.folder / f"{name}-{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.fixture
def processes(
    tmp_path: Path, tiny_model: Callable[[str], Path], prepared_folder: Callable[[str], Path]
) -> Processes:
    return Processes(tmp_path, tiny_model("bert"), prepared_folder("single"))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ascent_parameters": "normalisation"},
        {"micro_batch_size": 2},
        {"train_size": 8},  # the last batch of an epoch is one text: nothing for one process
    ],
)
def test_two_processes_climb_apart_and_descend_together(
    changes: dict[str, Any], processes: Processes
) -> None:
    processes(ONE_EPOCH, changes)
    first, second = processes.kept("weights")
    cpu = Accelerator(cpu=True)  # where the two are
    expected = by_hand(prepare(processes.model, processes.data, changes, cpu))
    for name, weight in first.items():
        assert torch.equal(weight, second[name]), name
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-9)


@pytest.mark.parametrize("call", [0, 2])
def test_a_bad_gradient_in_one_process_skips_the_step_in_both(call: int, processes: Processes) -> None:
    processes(BAD_GRADIENT, {}, call)
    first, second = processes.kept("weights")
    for name, weight in first.items():
        assert torch.equal(weight, second[name]) and weight.isfinite().all(), name
    for rank in (0, 1):
        assert (processes.folder / f"skipped-{rank}").read_text() == "1"


def test_two_processes_stop_together_and_resume_to_the_same_bytes(processes: Processes) -> None:
    processes(STOPPED, {"epochs": 2, "dropout": 0.2, "head": "random", "learning_rate": 1e-2})
    for whole, resumed in zip(processes.kept("whole"), processes.kept("resumed"), strict=True):
        for name, weight in whole.items():
            assert torch.equal(weight, resumed[name]), name


def test_the_command_in_two_processes(
    tmp_path: Path,
    tiny_model: Callable[[str], Path],
    prepared_folder: Callable[[str], Path],
) -> None:
    """One of them writes; twice the same bytes."""
    data = prepared_folder("multi")
    model = tmp_path / "model"
    prepare_model(str(tiny_model("xlm-roberta")), None, model)
    for name in ("one", "two"):
        done = torchrun(
            "-m", "polysharp", "train", "--data", data, "--model", model, "--output", tmp_path / name / "run",
            "--work", tmp_path / name / "work", "--snapshot-seconds", 0,
            "--set", "epochs=2", "dropout=0.3", "precision=float32",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert [path.name for path in (tmp_path / name / "work").iterdir()] == ["checkpoint"]
    for file in ("run/predictions.parquet", "run/report.json", "work/checkpoint/model.safetensors"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    report = json.loads((tmp_path / "one/run/report.json").read_text())
    assert report["determinism"].endswith("1 threads, 2 processes, float32")
    assert len(pl.read_parquet(tmp_path / "one/run/predictions.parquet")) > 0
    assert np.isfinite(report["scores"]["test"]["macro_f1"])
