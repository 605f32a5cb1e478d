"""Figures: what stands in the tables, and nothing else; the same bytes for the same table."""

from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.collections import PolyCollection
from PIL import Image

from polysharp.core.columns import COMPARISON, CURVES, Table
from polysharp.core.tsv import write_table
from polysharp.reporting.figures import (
    COLOURS,
    MAX_CURVES,
    _read,
    comparison_figure,
    curves_figure,
    draw_comparison,
    draw_curves,
)

NUMBERS = {"test_mean": 0.7, "test_ci_low": 0.6, "test_ci_high": 0.85, "metric": "macro_f1"}
COMPLETE = {"status": "complete", "n_seeds": 3, "n_expected": 3}


def rows(languages: int = 2) -> list[dict[str, object]]:
    return [
        {"task": "main", "language": f"l{number}", "label_type": "single", "method": method, **COMPLETE}
        for number in range(languages)
        for method in ("sam", "adamw")
    ]


def table(definition: Table, content: list[dict[str, object]], folder: Path) -> Path:
    path = folder / definition.file
    write_table(content, definition.names, path)
    return path


def test_the_names_of_many_methods_fit_the_figure(tmp_path: Path) -> None:
    names = [f"deepseek-r1-70b-{number}" for number in range(8)]
    content = [row | NUMBERS | {"method": name} for row in rows()[:1] for name in names]
    figure = comparison_figure(_read(table(COMPARISON, content, tmp_path)))
    (legend,) = figure.legends
    figure.draw_without_rendering()
    extent = legend.get_window_extent()
    assert extent.x0 >= 0 and extent.x1 <= figure.bbox.width
    assert [text.get_text() for text in legend.get_texts()] == names


def test_the_comparison_has_every_score_and_interval(tmp_path: Path) -> None:
    content = [row | NUMBERS for row in rows()]
    content[1] |= {"status": "partial", "n_seeds": 2, "test_mean": 0.5, "test_ci_low": 0.4}
    content[2] |= {"status": "missing", "n_seeds": 0, **dict.fromkeys(NUMBERS)}
    content[3] |= {"test_ci_low": None, "test_ci_high": None}
    (axes,) = comparison_figure(_read(table(COMPARISON, content, tmp_path))).axes
    points = {
        (round(float(line.get_ydata()[0]), 3), float(line.get_xdata()[0])): line
        for line in axes.lines if len(line.get_xdata()) == 1
    }  # fmt: skip
    # In a row of its own in the band of the data set, in the order of the methods.
    assert set(points) == {(-0.167, 0.7), (0.167, 0.5), (1.167, 0.7)}
    hollow = {place for place, line in points.items() if line.get_markerfacecolor() == "white"}
    assert hollow == {(0.167, 0.5)}
    intervals = [list(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
    assert intervals == [[0.6, 0.85], [0.4, 0.85]]
    assert {text.get_text() for text in axes.texts} == {
        " adamw: 2 of 3 seeds", " sam: 0 of 3 seeds",
    }  # fmt: skip
    left, _ = axes.get_xlim()
    assert left > 0.3  # the axis follows the scores, and no note begins beside it
    for text in axes.texts:
        x, _ = axes.transData.inverted().transform(text.get_transform().transform(text.get_position()))
        assert x >= left - 1e-9
    assert [label.get_text() for label in axes.get_yticklabels()] == ["l0, single", "l1, single"]
    plt.close("all")


def test_many_methods_and_data_sets_fit_a_page(tmp_path: Path) -> None:
    content = [
        {"task": "main", "language": f"{number:03}", "label_type": "single", "method": f"{method}e-3"}
        | COMPLETE | NUMBERS
        for number in range(200) for method in range(12)
    ]  # fmt: skip
    path = table(COMPARISON, content, tmp_path)
    figure = comparison_figure(_read(path))
    assert figure.get_figheight() < 200  # inches: a PDF has no higher page
    (axes,) = figure.axes
    assert "of 200 data sets" in axes.get_title()
    # Names that look like numbers are names.
    assert axes.get_yticklabels()[7].get_text() == "007, single"
    assert figure.legends[0].get_texts()[3].get_text() == "3e-3"
    plt.close("all")


def test_curves_have_every_epoch_and_its_band(tmp_path: Path) -> None:
    content = [
        row | {"metric": "macro_f1", "epoch": epoch, "validation_mean": 0.2 * (epoch + 1)}
        | {"validation_sd": 0.05, "loss_mean": 1 / epoch if epoch else None, "loss_sd": 0.1}
        for row in rows() for epoch in range(3)
    ]  # fmt: skip
    figure = curves_figure(_read(table(CURVES, content, tmp_path)), ["tfidf", "sam", "adamw"])
    loss, score, *others = figure.axes
    assert len(others) == 2
    for axes, epochs, values, deviation in (
        (loss, [1, 2], [1.0, 0.5], 0.1), (score, [0, 1, 2], [0.2, 0.4, 0.6], 0.05),
    ):  # fmt: skip
        lines = [line for line in axes.lines if len(line.get_xdata())]
        assert [line.get_color() for line in lines] == list(COLOURS[1:3])  # the first is that of tfidf
        assert all(list(line.get_xdata()) == epochs for line in lines)
        assert all(list(line.get_ydata()) == pytest.approx(values) for line in lines)
        bands = [band for band in axes.collections if isinstance(band, PolyCollection)]
        heights = {round(float(y), 6) for band in bands for _, y in band.get_paths()[0].vertices}
        assert heights == {round(value + side * deviation, 6) for value in values for side in (-1, 1)}
    plt.close("all")


def test_what_is_compared_has_one_scale(tmp_path: Path) -> None:
    content = [
        row | {"metric": "macro_f1", "epoch": epoch, "validation_mean": 0.1 * (number + epoch)}
        | {"loss_mean": 5.0 * number + epoch, "label_type": ("single", "multi")[number % 2]}
        for number, row in enumerate(rows(4)[::2]) for epoch in range(3)
    ]  # fmt: skip
    figure = curves_figure(_read(table(CURVES, content, tmp_path)), ["sam"])
    limits = [axes.get_ylim() for axes in figure.axes]
    for column in (0, 1):
        first, second, third, fourth = limits[column::2]
        assert first == third and second == fourth and first != second
        drawn = [line.get_ydata() for axes in figure.axes[column::4] for line in axes.lines]
        values = [float(value) for line in drawn for value in line]
        assert first[0] < min(values) and first[1] > max(values)
    plt.close("all")


@pytest.mark.parametrize(
    ("languages", "times"),
    [(0, 2), (1, 2), pytest.param(MAX_CURVES + 1, 1, marks=pytest.mark.slow)],
)
def test_figures_are_the_same_bytes_when_drawn_again(languages: int, times: int, tmp_path: Path) -> None:
    curve = {"metric": "macro_f1", "epoch": 0, "validation_mean": 0.5}
    table(COMPARISON, [row | NUMBERS for row in rows(max(languages, 1))], tmp_path)
    curves = table(CURVES, [row | curve for row in rows(languages)], tmp_path)
    for draw, name, inches in ((draw_comparison, "comparison", 3.3), (draw_curves, "curves", 6.3)):
        drawn = []
        for _ in range(times):
            draw(tmp_path)
            drawn.append([(tmp_path / f"{name}.{kind}").read_bytes() for kind in ("png", "pdf")])
        assert drawn[0] == drawn[-1]
        assert drawn[0][1].startswith(b"%PDF")
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.width == 300 * inches  # a column of a paper, or its page
    assert len(curves_figure(_read(curves), ["sam"]).axes) == 2 * min(max(languages, 1), MAX_CURVES)
    plt.close("all")
