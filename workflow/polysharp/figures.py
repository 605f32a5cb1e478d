"""The comparison table for eyes."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import polars as pl

from polysharp.files import replacing

# Okabe and Ito's colours, told apart by nearly everyone, in print too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
MARKERS = "osD^vPX*"
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
                axes.text(row["test_ci_high"] or 0, height, note, fontsize=7, va="center", color=colour)
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
