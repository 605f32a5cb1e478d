"""The report: the tables of a study as one HTML file, for eyes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from polysharp import VERSION
from polysharp.config.settings import Configuration
from polysharp.core import columns
from polysharp.core.files import write_text
from polysharp.core.paths import Paths
from polysharp.core.rendering import template
from polysharp.core.terms import metric_in_words
from polysharp.core.tsv import read_table
from polysharp.evaluation.averages import MEAN
from polysharp.reporting import exports
from polysharp.reporting.panels import Key, Row, make_panels, read_if_there, rows_by_dataset
from polysharp.results.status import lines_about_untrained_cells

TINTS = 10  # shades of the heat map
COMPARED = ("comparison", "averages")  # tables that print p-values


def write_report(configuration: Configuration, paths: Paths, output: Path) -> None:
    """Write the report of a study whose tables are written."""
    tables = {
        table.file.removesuffix(".tsv"): read_table(paths.results / table.file) for table in columns.TABLES
    }
    script = files("polysharp").joinpath("templates/report.js").read_text(encoding="utf-8")
    style = files("polysharp").joinpath("templates/report.css").read_text(encoding="utf-8")
    comparison = tables["comparison"]
    panels = list(make_panels(tables, configuration.selection_metric, paths))
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
        metric=metric_in_words(comparison[0]["metric"]),
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
        without_test_texts=list(_labels_without_test_texts(tables["report"])),
        at_the_start=lines_about_untrained_cells(
            (row["method"], int(row["best_epoch"])) for row in tables["runs"] if row["best_epoch"]
        ),
        runs=len(tables["runs"]),
        failures=read_if_there(paths.results / columns.FAILURES.file),
        incomplete=[row for row in tables["runs"] if row["status"] != "complete"],
        passport=list(_passport(tables["runs"])),
        configuration=json.dumps(configuration.model_dump(), indent=1, ensure_ascii=False),
    )
    write_text(output, text)


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


# --- In words -------------------------------------------------------------------------------------


def _headlines(tables: Mapping[str, list[Row]]) -> Iterator[tuple[str, list[str]]]:
    """Yield every task and label type with what is best where, and where it is a tie."""
    groups: dict[Key, list[Row]] = {}
    for row in tables["comparison"]:
        groups.setdefault((row["task"], row["label_type"]), []).append(row)
    for (task, label_type), rows in groups.items():
        of_dataset = rows_by_dataset(rows)
        best = Counter(row["method"] for row in rows if row["standing"] == "best")
        tied = sum(any(row["standing"] == "tie" for row in of_one) for of_one in of_dataset.values())
        unjudged = sum(any(row["status"] != "complete" for row in of_one) for of_one in of_dataset.values())
        lines = [
            f"{method} is best in {_number(number, 'language')}." for method, number in best.most_common()
        ]
        if tied:
            lines.append(f"In {_number(tied, 'language')} the highest methods cannot be distinguished.")
        if unjudged:
            lines.append(f"{_number(unjudged, 'language')} cannot be judged, as cells are missing.")
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
        "tie": f"{row['method']} and {row['reference']} cannot be distinguished",
    }[row["verdict"]]
    low, high = (signed(row[f"difference_ci_{end}"]) for end in ("low", "high"))
    interval = f"95 % interval {low} to {high}" if low else "no interval, as no resample of the texts differs"
    chance = probability(row["p_adjusted"]) or "none: one seed"
    return (
        f"On the mean of {_number(int(row['languages']), 'language')} {said}: {signed(row['difference'])} "
        f"({interval}; adjusted p {chance}). Language by "
        f"language: {row['wins']} wins, {row['ties']} ties, {row['losses']} losses."
    )


def _labels_without_test_texts(report: Sequence[Row]) -> Iterator[str]:
    """Yield the data sets whose macro averages have labels that no test text has."""
    of_labels = [row for row in report if (row["split"], row["row_type"]) == ("test", "label")]
    for dataset, rows in rows_by_dataset(of_labels).items():
        support = {row["row"]: row["support"] for row in rows if row["support"]}
        absent = [label for label, texts in support.items() if texts == "0"]
        if absent:
            yield (
                f"{', '.join(dataset)}: {len(absent)} of {len(support)} labels "
                f"{'has' if len(absent) == 1 else 'have'} no test text and "
                f"{'counts' if len(absent) == 1 else 'count'} as 0 in macro averages: {', '.join(absent)}"
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
    for dataset, rows in rows_by_dataset(comparison).items():
        yield dataset, {row["method"]: (row, _tint(row["test_mean"], low, high)) for row in rows}


def _tint(value: str, low: float, high: float) -> int:
    if not value:
        return 0
    return min(TINTS - 1, int((float(value) - low) / ((high - low) or 1) * TINTS))


def _passport(runs: Sequence[Row]) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Yield what the cells depended on: every value with the number of cells that have it."""
    for name in ("model", "model_revision", "model_sha256", "data_sha256", "determinism", "code_sha256"):
        counts = Counter(row[name] for row in runs if row[name])
        if counts:
            yield name, counts.most_common()
