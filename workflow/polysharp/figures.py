"""Tables for eyes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from numpy.typing import NDArray

from polysharp.files import replacing

# Okabe and Ito's colours, told apart by nearly everyone, in print too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
MARKERS = "osD^vPX*"
MAX_LABELS = 60  # that one figure can show legibly
MAX_ROWS = 200  # data sets that one figure can show legibly; the table has them all


def draw_comparison(table: Path, output: Path) -> None:
    """Draw comparison.tsv as a PNG: a row per data set, a point with its 95 % interval per method.

    Methods that are missing or partial are drawn hollow, with their number of seeds beside them.
    """
    frame = pl.read_csv(table, separator="\t", infer_schema_length=None)
    datasets = list(frame.select("task", "language", "label_type").unique(maintain_order=True).iter_rows())
    methods = frame["method"].unique(maintain_order=True).to_list()
    shown = datasets[:MAX_ROWS]
    figure, axes = plt.subplots(
        figsize=(8, 1.4 + 0.18 * len(shown) * (len(methods) + 1)), layout="constrained"
    )
    for index, method in enumerate(methods):
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        axes.plot([], [], color=colour, marker=marker, linestyle="", label=method)
        for position, dataset in enumerate(shown):
            row = frame.row(
                by_predicate=(pl.col("method") == method)
                & (pl.col("task") == dataset[0])
                & (pl.col("language") == dataset[1])
                & (pl.col("label_type") == dataset[2]),
                named=True,
            )
            height = position + (index + 0.5) / (len(methods) + 1) - 0.5 + 0.5 / (len(methods) + 1)
            complete = row["status"] == "complete"
            if row["test_mean"] is not None:
                if row["test_ci_low"] is not None:
                    axes.plot(
                        [row["test_ci_low"], row["test_ci_high"]], [height] * 2, color=colour, linewidth=1.2
                    )
                face = colour if complete else "white"
                axes.plot(
                    row["test_mean"],
                    height,
                    marker,
                    color=colour,
                    markerfacecolor=face,
                    markersize=5,
                    clip_on=False,
                )
            if not complete:
                note = f" {method}: {row['status']}, {row['n_seeds']} of {row['n_expected']} seeds"
                end = row["test_ci_high"] or row["test_mean"] or 0
                axes.text(end, height, note, fontsize=7, va="center", color=colour)
    with_task = len({task for task, _, _ in datasets}) > 1
    names = [f"{f'{task}, ' if with_task else ''}{language}, {kind}" for task, language, kind in shown]
    axes.set_yticks(range(len(shown)), names)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    metric = frame["metric"].drop_nulls().to_list()[:1] or ["score"]
    axes.set_xlabel(f"{metric[0]} on test: mean over seeds, 95 % interval over seeds and texts")
    if len(datasets) > MAX_ROWS:
        axes.set_title(f"the first {MAX_ROWS} of {len(datasets)} data sets", fontsize=9)
    figure.legend(loc="outside upper center", ncols=min(len(methods), 6), frameon=False)
    with replacing(output) as staging:
        figure.savefig(staging, dpi=150, format="png", metadata={"Software": None})
    plt.close(figure)


def draw_summary(
    table: pl.DataFrame, tokens: Mapping[str, NDArray[np.int64]], max_length: int, output: Path
) -> None:
    """Draw a data set as a PNG: texts per label and split, and how long they are.

    Parameters
    ----------
    table
        As :meth:`polysharp.summary.Summary.table` gives it.
    tokens
        Number of tokens of every text, by split.
    max_length
        How many of them the model reads.
    """
    labels = table.filter(pl.col("measure") == "label")
    totals = labels.group_by("name", maintain_order=True).agg(pl.col("value").sum())
    names = totals.sort("value", descending=True, maintain_order=True)["name"].to_list()[:MAX_LABELS]
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10, max(2.8, 0.9 + 0.22 * len(names))), layout="constrained"
    )
    height = 0.8 / len(tokens)
    for index, split in enumerate(tokens):
        counts = dict(labels.filter(pl.col("split") == split).select("name", "value").iter_rows())
        places = np.arange(len(names)) + (index - (len(tokens) - 1) / 2) * height
        left.barh(places, [counts[name] for name in names], height, color=COLOURS[index], label=split)
    # A label may be anything: no dollar sign of it starts a formula, and it has one line.
    left.set_yticks(range(len(names)), [" ".join(name[:40].split()) for name in names], parse_math=False)
    left.set_ylim(len(names) - 0.5, -0.5)
    left.set_xlabel("texts")
    if len(names) < len(totals):
        left.set_title(f"the {len(names)} most frequent of {len(totals)} labels", fontsize=9)
    longest = max(int(of_split.max()) for of_split in tokens.values())
    edges = np.linspace(0, longest, min(40, longest) + 1)
    right.hist(list(tokens.values()), edges, stacked=True, color=COLOURS[: len(tokens)], label=list(tokens))
    right.axvline(max_length, color=COLOURS[5], linestyle="--", linewidth=1.2)
    right.annotate(
        f"read: {max_length}", (max_length, 1), xycoords=("data", "axes fraction"), fontsize=8,
        xytext=(3, -10), textcoords="offset points", annotation_clip=True,
    )  # fmt: skip
    right.set_xlim(0, max(longest, 1) * 1.02)
    right.set_xlabel("tokens of a text")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    with replacing(output) as staging:
        figure.savefig(staging, dpi=120, format="png", metadata={"Software": None})
    plt.close(figure)
