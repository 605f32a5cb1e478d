"""The comparison in other formats: Parquet for programs, LaTeX for papers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from polysharp.core.columns import COMPARISON
from polysharp.core.files import replacing, write_text
from polysharp.core.rendering import template
from polysharp.core.terms import PUBLISHED, metric_in_words
from polysharp.reporting.numbers import three_decimals

PARQUET, LATEX = "comparison.parquet", "comparison.tex"
NO_SCORE = "--"
COUNTS = ("n_seeds", "n_expected", "n_test", "unmapped", "best_seed", "untrained", "environments")
TEXTS = (
    "task",
    "language",
    "label_type",
    "method",
    "status",
    "metric",
    "reference",
    "verdict",
    "standing",
    "source",
)
Row = Mapping[str, Any]


def write_parquet(rows: Sequence[Row], path: Path) -> None:
    """Write the rows of comparison.tsv as Parquet, with its columns and unrounded numbers."""
    types: dict[str, type[pl.DataType]] = dict.fromkeys(COMPARISON.names, pl.Float64)
    types |= dict.fromkeys(COUNTS, pl.Int64) | dict.fromkeys(TEXTS, pl.String)
    cells = [[row.get(name) for name in types] for row in rows]
    with replacing(path) as staging:
        pl.DataFrame(cells, schema=types, orient="row").write_parquet(staging, statistics=False)


def write_latex(rows: Sequence[Row], path: Path) -> None:
    """Write the headline scores as a table for LaTeX (booktabs): a row per data set, a column per method.

    A cell has mean and 95 % interval. It is bold where the method is the best, starred where it and the
    reference can be distinguished, and has a dagger where seeds are missing.
    """
    names = ["task", "language", "label_type"][len({row["task"] for row in rows}) == 1 :]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    published = list(dict.fromkeys(row["method"] for row in rows if row["status"] == PUBLISHED))
    datasets: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:  # in the order of the methods, in every data set
        of_dataset = datasets.setdefault(tuple(row[name] for name in names), dict.fromkeys(methods, NO_SCORE))
        of_dataset[row["method"]] = _cell(row)
    text = template("comparison.tex.j2").render(
        names=[_escaped(name.replace("_", " ")) for name in names],
        methods=[_escaped(method) for method in methods],
        rows=[[*map(_escaped, dataset), *cells.values()] for dataset, cells in datasets.items()],
        metric=_escaped(metric_in_words(rows[0]["metric"])),
        seeds=_seeds(rows, [method for method in methods if method not in published]),
        published=_escaped(", ".join(published)),
        reference=_escaped(rows[0]["reference"] or ""),
        partial=any(row["status"] == "partial" for row in rows),
    )
    write_text(path, text + "\n")


def _seeds(rows: Sequence[Row], methods: Sequence[str]) -> str:
    """Return over how many seeds means are, for the caption."""
    by_number: dict[int, list[str]] = {}
    for method in methods:
        by_number.setdefault(max(row["n_expected"] for row in rows if row["method"] == method), []).append(
            method
        )
    said = [f"{_escaped(', '.join(names))}: {number}" for number, names in by_number.items()]
    return "; ".join(said)


def _cell(row: Row) -> str:
    if row.get("test_mean") is None:
        return NO_SCORE
    mean = three_decimals(row["test_mean"])
    mean = rf"\textbf{{{mean}}}" if row.get("standing") == "best" else mean
    star = "$^*$" if row.get("verdict") in ("better", "worse") else ""
    dagger = r"$^\dagger$" if row["status"] == "partial" else ""
    if row.get("test_ci_low") is None:
        return f"{mean}{star}{dagger}"
    return (
        f"{mean}{star}{dagger} [{three_decimals(row['test_ci_low'])}, {three_decimals(row['test_ci_high'])}]"
    )


def _escaped(text: str) -> str:
    """Return text as LaTeX prints it."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)
