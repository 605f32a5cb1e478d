"""Tables for eyes."""

from __future__ import annotations

import logging
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from polysharp.core.columns import CELL, COMPARISON, CURVES
from polysharp.core.files import replacing
from polysharp.core.terms import PUBLISHED, metric_in_words
from polysharp.reporting.fonts import letter, shortened

log = logging.getLogger("polysharp.reporting.figures")

# Okabe and Ito's colours, told apart by nearly everyone, in print too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
MARKERS = "osD^vPX*"
MAX_LABELS = 60  # that one figure can show legibly
MAX_CHARACTERS = 40  # of a label
MAX_ROWS = 200  # data sets that one figure can show legibly; the table has them all
MAX_POINTS = 1000  # and how many points and gaps: no page of a PDF is higher
MAX_CURVES = 40
FORMATS: Mapping[str, dict[str, Any]] = {
    "png": {"dpi": 300, "metadata": {"Software": None}},
    "pdf": {"metadata": {"Creator": None, "Producer": None, "CreationDate": None}},
}  # without versions and times: the same table gives the same bytes
plt.rcParams["pdf.fonttype"] = 42  # text stays text, as many journals ask for
COLUMN, PAGE = 3.3, 6.3  # inches: a column of a page with two, and the text of a page
SIZES: Any = {"font.size": 7, "axes.titlesize": 7, "legend.handletextpad": 0.2, "lines.linewidth": 1.0}
Dataset = tuple[str, str, str]  # task, language, label type
Style = dict[str, Any]  # colour and marker of a method


def draw_comparison(results: Path) -> None:
    """Draw comparison.tsv, beside it, as PNG and PDF."""
    with plt.rc_context(SIZES):
        _save(comparison_figure(_read(results / COMPARISON.file)), results / "comparison")


def draw_curves(results: Path) -> None:
    """Draw curves.tsv, beside it, as PNG and PDF; methods look as in the figure of comparison.tsv."""
    methods = _methods(_read(results / COMPARISON.file))
    with plt.rc_context(SIZES):
        _save(curves_figure(_read(results / CURVES.file), methods), results / "curves")


def comparison_figure(frame: pl.DataFrame) -> Figure:
    """Return a figure of comparison.tsv: a row per data set, a point with its 95 % interval per method.

    Methods that are missing or partial are drawn hollow, with their number of seeds beside them. Published
    scores are hollow, too.
    """
    datasets = _datasets(frame)
    styles = _styles(_methods(frame))
    published = set(frame.filter(status=PUBLISHED)["method"])
    shown = datasets[: min(MAX_ROWS, MAX_POINTS // (len(styles) + 1))]
    height = 0.7 + 0.11 * len(shown) * (len(styles) + 1)
    figure, axes = plt.subplots(figsize=(COLUMN, height), layout="constrained")
    for index, (method, style) in enumerate(styles.items()):
        label = f"{method} (published)" if method in published else method
        axes.plot([], [], linestyle="", label=label, **style)
        for position, dataset in enumerate(shown):
            height = position + (index + 1) / (len(styles) + 1) - 0.5
            for row in _of(frame, dataset).filter(method=method).iter_rows(named=True):
                _draw_point(axes, height, row, style)
    axes.set_yticks(range(len(shown)), _names(shown, datasets))
    axes.set_ylim(len(shown) - 0.5, -0.5)
    low, high = axes.get_xlim()
    axes.set_xlim(max(low, 0), min(high, 1))
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel(f"{_metric(frame)} on test: mean over seeds,\n95 % interval over seeds and texts")
    if len(datasets) > len(shown):
        axes.set_title(f"the first {len(shown)} of {len(datasets)} data sets")
    _add_legend(figure, "outside upper center", min(len(styles), 4))
    return figure


def _add_legend(
    figure: Figure, place: Literal["outside upper center", "outside lower center"], columns: int
) -> None:
    """Add a legend with so many columns, or with fewer if the figure is too narrow; rows make it higher."""
    for ncols in range(columns, 0, -1):
        legend = figure.legend(loc=place, ncols=ncols, frameon=False)
        extent = legend.get_window_extent()
        if ncols == 1 or extent.width <= figure.bbox.width:
            figure.set_figheight(figure.get_figheight() + extent.height / figure.dpi)
            return
        legend.remove()


def _draw_point(axes: Axes, height: float, row: Mapping[str, Any], style: Style) -> None:
    complete = row["status"] == "complete"
    if row["test_ci_low"] is not None:
        axes.plot([row["test_ci_low"], row["test_ci_high"]], [height] * 2, color=style["color"])
    if row["test_mean"] is not None:
        face = style["color"] if complete else "white"
        axes.plot(row["test_mean"], height, **style, markerfacecolor=face, markersize=3.5, clip_on=False)
    if row["status"] not in ("complete", PUBLISHED):
        note = f" {row['method']}: {row['n_seeds']} of {row['n_expected']} seeds"
        end = row["test_ci_high"] or row["test_mean"]
        # Without a score it begins where the axis does.
        place = axes.transData if end is not None else axes.get_yaxis_transform()
        axes.text(end or 0, height, note, fontsize=5, va="center", color=style["color"], transform=place)


def curves_figure(frame: pl.DataFrame, methods: Sequence[str]) -> Figure:
    """Return a figure of curves.tsv: a row per data set, loss and score by epoch.

    Lines are means over seeds, bands a standard deviation to either side. `methods` are all of the study:
    of those that have no curves the colours stay free.
    """
    datasets = _datasets(frame)
    shown = datasets[:MAX_CURVES]
    drawn = _methods(frame)
    styles = {method: style for method, style in _styles(methods).items() if method in drawn}
    figure, grid = plt.subplots(
        max(len(shown), 1), 2, figsize=(PAGE, 0.8 + 1.1 * len(shown)), layout="constrained", squeeze=False
    )
    compared: dict[tuple[str, str], list[Axes]] = {}  # by label type and column: they get one scale
    for dataset, row in zip(shown, grid, strict=False):
        for column, axes in zip(("loss", "validation"), row, strict=True):
            for method, style in styles.items():
                _draw_curve(axes, _of(frame, dataset).filter(method=method), column, style)
            compared.setdefault((dataset[2], column), []).append(axes)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.spines[["top", "right"]].set_visible(False)
        row[0].set_ylabel("\n".join(_names([dataset], datasets)[0].split(", ")))
    for of_one_kind in compared.values():
        ends = np.array([axes.get_ylim() for axes in of_one_kind])
        plt.setp(of_one_kind, ylim=(ends[:, 0].min(), ends[:, 1].max()))
    for axes, title in zip(grid[0], ("loss on training", f"{_metric(frame)} on validation"), strict=True):
        axes.set_title(f"{title} texts")
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    for method, style in styles.items():
        grid[0, 0].plot([], [], label=method, markersize=2.5, **style)
    if len(datasets) > MAX_CURVES:
        figure.suptitle(f"the first {MAX_CURVES} of {len(datasets)} data sets")
    if styles:
        _add_legend(figure, "outside lower center", min(len(styles), 6))
    return figure


def _draw_curve(axes: Axes, curve: pl.DataFrame, column: str, style: Style) -> None:
    curve = curve.filter(pl.col(f"{column}_mean").is_not_null())
    epochs, mean, sd = (
        curve[name].cast(pl.Float64).fill_null(0).to_numpy()  # an empty column has no type of its own
        for name in ("epoch", f"{column}_mean", f"{column}_sd")
    )
    axes.plot(epochs, mean, markersize=2.5, **style)
    axes.fill_between(epochs, mean - sd, mean + sd, color=style["color"], alpha=0.2, linewidth=0)


def _read(table: Path) -> pl.DataFrame:
    names = dict.fromkeys(CELL, pl.String)  # text, also where they look like numbers
    return pl.read_csv(table, separator="\t", infer_schema_length=None, schema_overrides=names)


def _datasets(frame: pl.DataFrame) -> list[Dataset]:
    return list(frame.select("task", "language", "label_type").unique(maintain_order=True).iter_rows())


def _of(frame: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
    task, language, label_type = dataset
    return frame.filter(task=task, language=language, label_type=label_type)


def _methods(frame: pl.DataFrame) -> list[str]:
    return list(frame["method"].unique(maintain_order=True))


def _styles(methods: Sequence[str]) -> dict[str, Style]:
    return {
        method: {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}
        for index, method in enumerate(methods)
    }


def _metric(frame: pl.DataFrame) -> str:
    return metric_in_words((frame["metric"].drop_nulls().to_list() or ["score"])[0])


def _names(shown: Sequence[Dataset], datasets: Sequence[Dataset]) -> list[str]:
    """Return what data sets are called in a figure: without a task that all of them have."""
    with_task = len({task for task, _, _ in datasets}) > 1
    return [f"{f'{task}, ' if with_task else ''}{language}, {kind}" for task, language, kind in shown]


def _save(figure: Figure, output: Path) -> None:
    for name, settings in FORMATS.items():
        with replacing(output.with_suffix(f".{name}")) as staging:
            figure.savefig(staging, format=name, **settings)
    plt.close(figure)


def draw_summary(
    table: pl.DataFrame, tokens: Mapping[str, NDArray[np.int64]], max_length: int, output: Path
) -> None:
    """Draw a data set as a PNG: texts per label and split, and how long they are.

    Parameters
    ----------
    table
        As :meth:`polysharp.reporting.summary.Summary.table` gives it.
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
    # A label may be anything: in any script, in one line, and no dollar sign of it starts a formula.
    lettering = letter(shortened(name, MAX_CHARACTERS) for name in names)
    texts = [shortened(text, MAX_CHARACTERS) for text in lettering.texts]  # words for emoji are longer
    left.set_yticks(range(len(names)), texts, parse_math=False, fontfamily=lettering.families)
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
    with replacing(output) as staging, warnings.catch_warnings():
        if lettering.note:
            log.warning(
                "%s: %s Then add --forcerun summarise_data to the command once.", output, lettering.note
            )
            figure.supxlabel(textwrap.fill(lettering.note, 120), fontsize=9, color=COLOURS[5])
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(staging, dpi=120, format="png", metadata={"Software": None})
    plt.close(figure)
