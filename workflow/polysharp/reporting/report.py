"""The report: the tables of a study as one HTML file, for eyes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup
from pyarrow import parquet

from polysharp import VERSION
from polysharp.config.settings import Configuration
from polysharp.core import columns
from polysharp.core.files import read_json, write_text
from polysharp.core.paths import EXAMPLES, REPORT, Paths
from polysharp.core.rendering import template
from polysharp.core.terms import SPLITS, Metric
from polysharp.core.tsv import read_table
from polysharp.data.overview import TABLE as FINDINGS
from polysharp.evaluation.averages import MEAN
from polysharp.reporting import exports
from polysharp.reporting.failures import TABLE as FAILURES
from polysharp.reporting.selection import THRESHOLDS
from polysharp.results.completeness import read_report
from polysharp.results.status import best_on_validation, left_at_the_start

TINTS = 10  # shades of the heat map
MAX_LABELS = 15  # that a confusion matrix can show legibly; of more, the most frequent confusions
MAX_CONFUSIONS = 15
COMPARED = ("comparison", "averages")  # tables that print p-values
Row = dict[str, str]
Key = tuple[str, ...]


@dataclass(frozen=True)
class Matrix:
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
    epochs: Mapping[str, list[str]]  # best epoch of every seed, by method
    labels: list[tuple[str, str, dict[str, Row]]]  # label, support, row of report.tsv by method
    confused: str | None  # the method whose confusions are shown
    matrix: Matrix | None
    confusions: list[Row]
    curves: list[Curve]
    best: Mapping[str, Any] | None
    findings: list[Row]


def write_report(configuration: Configuration, paths: Paths, output: Path) -> None:
    """Write the report of a study whose tables are written."""
    tables = {
        table.file.removesuffix(".tsv"): read_table(paths.results / table.file) for table in columns.TABLES
    }
    script = files("polysharp").joinpath("templates/report.js").read_text(encoding="utf-8")
    style = files("polysharp").joinpath("templates/report.css").read_text(encoding="utf-8")
    comparison = tables["comparison"]
    panels = list(_panels(tables, configuration.selection_metric, paths))
    published = [panel for panel in panels if panel.best]
    methods = list(dict.fromkeys(row["method"] for row in comparison))
    text = template(
        "report.html.j2", autoescape=True, short=short, signed=signed, probability=probability
    ).render(
        version=VERSION,
        script=Markup(script),
        style=Markup(style),
        script_hash=_hash(script),
        style_hash=_hash(style),
        headlines=list(_headlines(tables)),
        methods=methods,
        metric=comparison[0]["metric"].replace("_f1", " F1"),
        reference=comparison[0]["reference"],
        comparison=comparison,
        heat=list(_heat(comparison)),
        averages=tables["averages"],
        panels=panels,
        published=published,
        label_types=sorted({panel.label_type for panel in published}),
        folder="results/best/…",
        where="one of them",
        tests=[f"{_tests(tables[name])} in {name}.tsv" for name in COMPARED if _tests(tables[name])],
        at_the_start=left_at_the_start(
            (row["method"], int(row["best_epoch"])) for row in tables["runs"] if row["best_epoch"]
        ),
        runs=len(tables["runs"]),
        failures=_if_there(paths.results / FAILURES),
        incomplete=[row for row in tables["runs"] if row["status"] != "complete"],
        passport=list(_passport(tables["runs"])),
        configuration=json.dumps(configuration.model_dump(), indent=1, ensure_ascii=False),
    )
    write_text(output, text)


def _if_there(table: Path) -> list[Row]:
    return read_table(table) if table.is_file() else []


def short(value: str) -> str:
    """Return a number of a table with fewer digits, as papers write it; nothing where nothing is known."""
    return exports.short(float(value)) if value else ""


def probability(value: str) -> str:
    """Return a p-value: one that is nearly 0 is not 0."""
    return "" if not value else "<.001" if float(value) < 0.0005 else short(value)


def signed(value: str) -> str:
    """Return a difference with its sign; what is nearly 0 has none."""
    if not value:
        return ""
    size = exports.short(abs(float(value)))
    sign = "" if size == ".000" else "+" if float(value) > 0 else "−"
    return sign + size


def _hash(text: str) -> str:
    """Return how a content security policy names a script or a style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _by_dataset(rows: Sequence[Row]) -> dict[Key, list[Row]]:
    result: dict[Key, list[Row]] = {}
    for row in rows:
        result.setdefault(columns.dataset_of(row), []).append(row)
    return result


# --- In words -------------------------------------------------------------------------------------


def _headlines(tables: Mapping[str, list[Row]]) -> Iterator[tuple[str, list[str]]]:
    """Yield every task and label type with what is best where, and where it is a tie."""
    groups: dict[Key, list[Row]] = {}
    for row in tables["comparison"]:
        groups.setdefault((row["task"], row["label_type"]), []).append(row)
    for (task, label_type), rows in groups.items():
        of_dataset = _by_dataset(rows)
        best = Counter(row["method"] for row in rows if row["standing"] == "best")
        tied = sum(any(row["standing"] == "tie" for row in of_one) for of_one in of_dataset.values())
        unjudged = sum(any(row["status"] != "complete" for row in of_one) for of_one in of_dataset.values())
        lines = [
            f"{method} is best in {_number(number, 'language')}." for method, number in best.most_common()
        ]
        if tied:
            lines.append(f"In {_number(tied, 'language')} the highest methods cannot be told apart.")
        if unjudged:
            lines.append(f"{_number(unjudged, 'language')} cannot be judged, as cells are not there.")
        lines += [
            _compared(row)
            for row in tables["averages"]
            if (row["task"], row["label_type"], row["average"]) == (task, label_type, MEAN)
            and row["difference"]
        ]
        yield f"{task}, {label_type}: {_number(len(of_dataset), 'language')}", lines


def _compared(row: Row) -> str:
    said = {
        "better": f"{row['method']} is better than {row['reference']}",
        "worse": f"{row['method']} is worse than {row['reference']}",
        "tie": f"{row['method']} and {row['reference']} cannot be told apart",
    }[row["verdict"]]
    interval = f"{signed(row['difference_ci_low'])} to {signed(row['difference_ci_high'])}"
    chance = probability(row["p_adjusted"]) or "none: one seed"
    return (
        f"On the mean of {_number(int(row['languages']), 'language')} {said}: {signed(row['difference'])} "
        f"(95 % interval {interval}; adjusted p {chance}). Language by "
        f"language: {row['wins']} wins, {row['ties']} ties, {row['losses']} losses."
    )


def _number(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


# --- Tables and drawings --------------------------------------------------------------------------


def _tests(rows: Sequence[Row]) -> int:
    return sum(bool(row["p_adjusted"]) for row in rows)


def _heat(comparison: Sequence[Row]) -> Iterator[tuple[Key, dict[str, tuple[Row, int]]]]:
    """Yield every data set with the row and the tint of every method; tints are of the whole study."""
    means = [float(row["test_mean"]) for row in comparison if row["test_mean"]]
    low, high = min(means, default=0.0), max(means, default=1.0)
    for dataset, rows in _by_dataset(comparison).items():
        yield dataset, {row["method"]: (row, _tint(row["test_mean"], low, high)) for row in rows}


def _tint(value: str, low: float, high: float) -> int:
    if not value:
        return 0
    return min(TINTS - 1, int((float(value) - low) / ((high - low) or 1) * TINTS))


def _panels(tables: Mapping[str, list[Row]], metric: Metric, paths: Paths) -> Iterator[Panel]:
    of_report, of_confusions, of_curves, of_runs = (
        _by_dataset(tables[name]) for name in ("report", "confusions", "curves", "runs")
    )
    findings = _by_dataset(_if_there(paths.results / FINDINGS))
    for dataset in _by_dataset(tables["comparison"]):
        task, language, label_type = dataset
        folder = paths.results / "best" / task / language / label_type
        confused = _shown(dataset, of_runs.get(dataset, []), folder / THRESHOLDS, metric, paths)
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
            curves=list(_curves(of_curves.get(dataset, []))),
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
        if row["best_epoch"]:
            result.setdefault(row["method"], []).append(row["best_epoch"])
    return result


def _shown(dataset: Key, runs: Sequence[Row], published: Path, metric: Metric, paths: Paths) -> str | None:
    """Return the method whose confusions are shown.

    It is that of the published classifier, as long as its cell has not been trained again; else the one
    that is best on validation, of those that leave a classifier where there are any.
    """
    complete = [row for row in runs if row["status"] == "complete"]
    methods = {
        f"{'/'.join(dataset)}/{row['method']}/seed-{row['seed']}": row["method"]
        for row in [row for row in complete if row["best_epoch"]] or complete
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


def _matrix(pairs: Sequence[Row]) -> Matrix | None:
    labels = sorted({row["true"] for row in pairs} | {row["predicted"] for row in pairs} - {""})
    if not labels or len(labels) > MAX_LABELS:
        return None
    predicted = labels + [""] * any(not row["predicted"] for row in pairs)
    texts = {(row["true"], row["predicted"]): float(row["texts_mean"]) for row in pairs}
    return Matrix(labels, predicted, [[texts.get((a, b), 0.0) for b in predicted] for a in labels])


def _frequent(pairs: Sequence[Row]) -> list[Row]:
    wrong = [row for row in pairs if row["true"] != row["predicted"]]
    return sorted(wrong, key=lambda row: -float(row["texts_mean"]))[:MAX_CONFUSIONS]


def _curves(rows: Sequence[Row]) -> Iterator[Curve]:
    """Yield loss and score of every method, each on one scale for all methods."""
    last = max((int(row["epoch"]) for row in rows), default=0) or 1
    for name in ("loss", "validation"):
        known = [row for row in rows if row[f"{name}_mean"]]
        ends = [end for row in known for end in _band(row, name)]
        for method in dict.fromkeys(row["method"] for row in known):
            epochs = [row for row in known if row["method"] == method]
            if len(epochs) > 1:  # of one there is no line
                yield _curve(name, epochs, last, (min(ends), max(ends)))


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


def _passport(runs: Sequence[Row]) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Yield what the cells depended on: every value with the number of cells that have it."""
    for name in ("model", "model_revision", "model_sha256", "data_sha256", "determinism", "code_sha256"):
        counts = Counter(row[name] for row in runs if row[name])
        if counts:
            yield name, counts.most_common()
