"""Score what users have today on SIB-200's test texts, in three languages: for docs/quality.md.

The tutorial's loop, transformers' run_classification recipe, and SetFit, with multilingual-e5-small. Rows
that bench/others.tsv has already are not measured again, so that the work can be stopped and goes on.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import polars as pl

from bench import MODELS, ROOT, worker

COLUMNS = ["language", "method", "seed", "validation_macro_f1", "test_macro_f1", "test_accuracy", "seconds"]
LANGUAGES = ["english", "german", "swahili"]
OPTIONS: dict[str, list[object]] = {
    "setfit": ["--batch-size", 16, "--max-length", 64, "--steps"],
    "run_classification": ["--max-length", 128],
    "tutorial": ["--epochs", 3, "--batch-size", 64],
}


def measure(language: str, method: str, seed: int, source: Path, setfit_steps: int) -> dict[str, object]:
    path, prefix = MODELS["multilingual-e5-small"]
    options = OPTIONS[method] + ([setfit_steps, "--prefix", prefix] if method == "setfit" else [])
    result = worker(
        method, "--model", path, "--source", source / language, "--test", "--seed", seed, *options
    )
    if method == "tutorial":  # the epoch that it keeps
        result |= min(result["history"], key=lambda epoch: epoch["validation_loss"]) | {
            "seconds": result["seconds"]
        }
    validation = result["validation_macro_f1"]
    scores = [validation, result["test"]["macro_f1"], result["test"]["accuracy"], result["seconds"]]
    return dict(zip(COLUMNS, [language, method, seed, *scores], strict=True))


def main(arguments: argparse.Namespace) -> None:
    table = pl.read_csv(arguments.output, separator="\t") if arguments.output.exists() else None
    done = set() if table is None else set(table.select(COLUMNS[:3]).iter_rows())
    wanted = [(language, method, 1) for method in OPTIONS for language in LANGUAGES]
    rows = [] if table is None else table.to_dicts()
    failed = []
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(measure, *cell, arguments.data, arguments.setfit_steps)
            for cell in wanted
            if cell not in done
        ]
        for job in as_completed(jobs):
            try:
                rows.append(job.result())
            except SystemExit as error:  # what the others measured is kept
                failed.append(str(error))
                continue
            pl.DataFrame(rows, schema=COLUMNS).sort(COLUMNS[:3]).write_csv(arguments.output, separator="\t")
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROOT / "bench/data/sib200/published", metavar="FOLDER")
    parser.add_argument("--output", type=Path, default=ROOT / "bench/others.tsv", metavar="FILE")
    parser.add_argument("--setfit-steps", type=int, default=130)
    main(parser.parse_args())
