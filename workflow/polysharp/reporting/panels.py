"""What the report shows of one data set: labels, confusions, curves, findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow import parquet

from polysharp.core import columns
from polysharp.core.files import read_json
from polysharp.core.labels import in_order
from polysharp.core.paths import EXAMPLES, REPORT, Paths
from polysharp.core.terms import SPLITS, Metric
from polysharp.core.tsv import read_table
from polysharp.reporting.selection import THRESHOLDS
from polysharp.results.completeness import read_report
from polysharp.results.status import best_on_validation

MAX_LABELS = 15  # that a confusion matrix can show legibly; of more, the most frequent confusions
MAX_CONFUSIONS = 15
Row = dict[str, str]
Key = tuple[str, ...]


@dataclass(frozen=True)
class ConfusionMatrix:
    """A confusion matrix: true labels in rows, predicted ones in columns, texts (mean over seeds)."""

    labels: list[str]
    predicted: list[str]
    texts: list[list[float]]


@dataclass(frozen=True)
class Curve:
    """Loss or score by epoch, as points of a drawing of 100 by 40, with their band over seeds."""

    method: str
    name: str  # loss | validation
    line: str
    band: str
    first: str
    last: str


@dataclass(frozen=True)
class Panel:
    """What is shown of one data set."""

    anchor: str
    task: str
    language: str
    label_type: str
    sizes: Mapping[str, int | str]  # texts of every split
    model: str
    epochs: Mapping[str, list[str]]  # kept epochs of every seed, by method
    labels: list[tuple[str, str, dict[str, Row]]]  # label, support, row of report.tsv by method
    confused: str | None  # the method whose confusions are shown
    matrix: ConfusionMatrix | None
    confusions: list[Row]
    curves: list[Curve]
    best: Mapping[str, Any] | None
    findings: list[Row]


def read_if_there(table: Path) -> list[Row]:
    """Return the rows of a table; none where there is no table."""
    return read_table(table) if table.is_file() else []


def rows_by_dataset(rows: Sequence[Row]) -> dict[Key, list[Row]]:
    """Return the rows of every data set."""
    result: dict[Key, list[Row]] = {}
    for row in rows:
        result.setdefault(columns.dataset_of(row), []).append(row)
    return result


def make_panels(
    tables: Mapping[str, list[Row]], metric: Metric, publishable: Collection[str], paths: Paths
) -> Iterator[Panel]:
    """Yield the panel of every data set.

    Parameters
    ----------
    publishable
        Methods that leave a classifier.
    """
    of_report, of_confusions, of_curves, of_runs = (
        rows_by_dataset(tables[name]) for name in ("report", "confusions", "curves", "runs")
    )
    findings = rows_by_dataset(read_if_there(paths.results / columns.CHECK.file))
    scales = _scales(tables["curves"])
    for dataset in rows_by_dataset(tables["comparison"]):
        task, language, label_type = dataset
        folder = paths.results / "best" / task / language / label_type
        confused = _shown(dataset, of_runs.get(dataset, []), folder / THRESHOLDS, metric, publishable, paths)
        pairs = [
            row for row in of_confusions.get(dataset, [])
            if row["method"] == confused and row["split"] == "test"
        ]  # fmt: skip
        matrix = _matrix(pairs) if label_type == "single" else None
        yield Panel(
            anchor="/".join(dataset),
            task=task,
            language=language,
            label_type=label_type,
            sizes=_sizes(paths.data("/".join(dataset))),
            model=next((row["model"] for row in of_runs.get(dataset, []) if row["model"]), ""),
            epochs=_epochs(of_runs.get(dataset, [])),
            labels=_labels(of_report.get(dataset, [])),
            confused=confused if pairs else None,
            matrix=matrix,
            confusions=[] if matrix else _frequent(pairs),
            curves=list(_curves(of_curves.get(dataset, []), scales)),
            best=read_json(folder / THRESHOLDS) if (folder / THRESHOLDS).is_file() else None,
            findings=findings.get(dataset, []),
        )


def _sizes(folder: Path) -> dict[str, int | str]:
    """Return the number of texts of every split, or why it is not known."""
    if not (folder / EXAMPLES).is_file():
        return dict.fromkeys(SPLITS, "no")
    counts = Counter(parquet.read_table(folder / EXAMPLES, columns=["split"])["split"].to_pylist())
    return {split: counts[split] for split in SPLITS}


def _epochs(runs: Sequence[Row]) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {}
    for row in runs:
        if row["epochs"]:
            result.setdefault(row["method"], []).append(row["epochs"])
    return result


def _shown(
    dataset: Key,
    runs: Sequence[Row],
    published: Path,
    metric: Metric,
    publishable: Collection[str],
    paths: Paths,
) -> str | None:
    """Return the method whose confusions are shown.

    It is that of the published classifier, as long as its cell has not been trained again; else the one
    that is best on validation, of those that leave a classifier where there are any.
    """
    complete = [row for row in runs if row["status"] == "complete"]
    methods = {
        f"{'/'.join(dataset)}/{row['method']}/seed-{row['seed']}": row["method"]
        for row in [row for row in complete if row["method"] in publishable] or complete
    }
    if published.is_file():
        cell = read_json(published)["cell"]
        trained = paths.run(cell) / REPORT
        if cell in methods and trained.stat().st_mtime_ns <= published.stat().st_mtime_ns:
            return methods[cell]
    reports = ((cell, report) for cell in methods if (report := read_report(paths.run(cell))))
    best = best_on_validation(reports, metric)
    return None if best is None else methods[best]


def _labels(report: Sequence[Row]) -> list[tuple[str, str, dict[str, Row]]]:
    """Return the rows of the test report, with every method's: labels first, then averages."""
    rows: dict[tuple[str, str], tuple[str, dict[str, Row]]] = {}
    for row in report:
        if row["split"] == "test" and row["f1_mean"]:
            key = row["row_type"], row["row"]
            rows.setdefault(key, (row["support"], {}))[1][row["method"]] = row
    return [(name, support, by_method) for (_, name), (support, by_method) in rows.items()]


def _matrix(pairs: Sequence[Row]) -> ConfusionMatrix | None:
    labels = in_order({row["true"] for row in pairs} | {row["predicted"] for row in pairs} - {""})
    if not labels or len(labels) > MAX_LABELS:
        return None
    predicted = labels + [""] * any(not row["predicted"] for row in pairs)
    texts = {(row["true"], row["predicted"]): float(row["texts_mean"]) for row in pairs}
    return ConfusionMatrix(labels, predicted, [[texts.get((a, b), 0.0) for b in predicted] for a in labels])


def _frequent(pairs: Sequence[Row]) -> list[Row]:
    wrong = [row for row in pairs if row["true"] != row["predicted"]]
    return sorted(wrong, key=lambda row: -float(row["texts_mean"]))[:MAX_CONFUSIONS]


def _scales(rows: Sequence[Row]) -> dict[tuple[str, str], tuple[float, float]]:
    """Return the lowest and the highest value of losses and of scores, by label type, over all data sets."""
    ends: dict[tuple[str, str], list[float]] = {}
    for name in ("loss", "validation"):
        for row in rows:
            if row[f"{name}_mean"]:
                ends.setdefault((row["label_type"], name), []).extend(_band(row, name))
    return {key: (min(values), max(values)) for key, values in ends.items()}


def _curves(rows: Sequence[Row], scales: Mapping[tuple[str, str], tuple[float, float]]) -> Iterator[Curve]:
    """Yield loss and score of every method, on the scales of :func:`_scales`."""
    last = max((int(row["epoch"]) for row in rows), default=0) or 1
    for name in ("loss", "validation"):
        known = [row for row in rows if row[f"{name}_mean"]]
        for method in dict.fromkeys(row["method"] for row in known):
            epochs = [row for row in known if row["method"] == method]
            if len(epochs) > 1:  # of one there is no line
                yield _curve(name, epochs, last, scales[epochs[0]["label_type"], name])


def _curve(name: str, epochs: Sequence[Row], last: int, scale: tuple[float, float]) -> Curve:
    low, high = scale

    def points(values: Iterable[float]) -> list[str]:
        return [
            f"{100 * int(row['epoch']) / last:.1f},{40 - 40 * (value - low) / ((high - low) or 1):.1f}"
            for row, value in zip(epochs, values, strict=True)
        ]

    below, above = zip(*(_band(row, name) for row in epochs), strict=True)
    return Curve(
        epochs[0]["method"],
        name,
        " ".join(points(float(row[f"{name}_mean"]) for row in epochs)),
        " ".join([*points(above), *reversed(points(below))]),
        epochs[0][f"{name}_mean"],
        epochs[-1][f"{name}_mean"],
    )


def _band(row: Row, name: str) -> tuple[float, float]:
    mean, sd = float(row[f"{name}_mean"]), float(row[f"{name}_sd"] or 0)
    return mean - sd, mean + sd
