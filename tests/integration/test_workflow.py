"""The workflow itself, on tiny models of real architectures: results, and what is done anew."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from polysharp.configuration import ModelSettings
from polysharp.files import sha256
from polysharp.matrix import model_slug
from polysharp.tables import COMPARISON_COLUMNS, COSTS_COLUMNS, REPORT_COLUMNS, RUNS_COLUMNS
from tests.integration.conftest import DATASETS, METHODS
from tests.integration.study import ROOT, Study, copy_of_the_repository, counts, snakemake, write_data

AGGREGATION = {"merge_reports": 1, "plot_comparison": 1}


def test_a_run_leaves_every_result(finished: Study) -> None:
    columns = {
        "report.tsv": REPORT_COLUMNS,
        "comparison.tsv": COMPARISON_COLUMNS,
        "runs.tsv": RUNS_COLUMNS,
        "costs.tsv": COSTS_COLUMNS,
    }
    for name, expected in columns.items():
        assert list(finished.table(name)[0]) == expected
    assert {row["status"] for row in finished.table("report.tsv")} == {"complete"}
    assert len(finished.table("runs.tsv")) == len(DATASETS) * 4
    sums = json.loads((finished.folder / "results/manifest.json").read_text())["sha256"]
    assert sums == {name: sha256(finished.folder / "results" / name) for name in sums}
    assert (finished.folder / "results/comparison.png").read_bytes().startswith(b"\x89PNG")


def test_the_tiny_models_learn(finished: Study) -> None:
    # A result of chance would make most of these tests pass on nothing.
    scores = {(row["language"], row["method"]): row for row in finished.table("comparison.tsv")}
    assert float(scores["english", "tfidf"]["test_mean"]) > 0.8
    assert float(scores["english", "sam"]["test_mean"]) > 0.5


def test_losers_leave_no_checkpoint(finished: Study) -> None:
    for language, label_type in DATASETS:
        kept = list((finished.folder / f"work/runs/main/{language}/{label_type}").glob("*/*/checkpoint"))
        assert len(kept) == 1


def test_a_finished_run_has_nothing_to_do(finished: Study) -> None:
    assert finished.planned() == {}
    assert "Nothing to be done" in finished.run("-n").stdout


def test_the_example_is_planned_in_four_seconds(tmp_path: Path) -> None:
    study, times = Study(tmp_path), []
    for _ in range(3):
        started = time.monotonic()
        study.planned()
        times.append(time.monotonic() - started)
    assert min(times) < 4
