"""The report: the tables of a study as one HTML file, for eyes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from polysharp import VERSION
from polysharp.config.checking import publishable
from polysharp.config.settings import PRESETS, Configuration
from polysharp.config.slugs import slug
from polysharp.core import columns
from polysharp.core.files import write_text
from polysharp.core.paths import Paths
from polysharp.core.rendering import template
from polysharp.core.terms import PUBLISHED, counted, metric_in_words
from polysharp.core.tsv import read_table
from polysharp.reporting.first_screen import comparisons_in_words, draw, sentences
from polysharp.reporting.numbers import probability, short, signed
from polysharp.reporting.panels import Key, Panel, Row, make_panels, read_if_there, rows_by_dataset

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
    panels = list(make_panels(tables, configuration.selection_metric, publishable(configuration), paths))
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
        sentences=sentences(tables),
        in_words=comparisons_in_words(tables),
        picture=draw(tables),
        methods=methods,
        computed=list(dict.fromkeys(row["method"] for row in comparison if not row["source"])),
        meanings=list(_meanings(configuration, comparison)),
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
        doubts=[*_labels_without_test_texts(tables["report"]), *_near_copies(panels)],
        runs=len(tables["runs"]),
        failures=read_if_there(paths.results / columns.FAILURES.file),
        incomplete=[row for row in tables["runs"] if row["status"] != "complete"],
        passport=list(_passport(tables["runs"])),
        configuration=json.dumps(configuration.model_dump(), indent=1, ensure_ascii=False),
    )
    write_text(output, text)


def _hash(text: str) -> str:
    """Return how a content security policy names a script or a style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# --- In words -------------------------------------------------------------------------------------


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


def _near_copies(panels: Sequence[Panel]) -> Iterator[str]:
    """Yield the data sets whose test texts are partly known from training."""
    for panel in panels:
        for row in panel.findings:
            if row["check"] == "near_copy_of_test":
                texts = counted(int(row["count"]), "test text")
                yield (
                    f"{panel.task}, {panel.language}, {panel.label_type}: at least {texts} "
                    f"{'is' if row['count'] == '1' else 'are'} nearly the same as a training or validation "
                    "text, so scores may be too high; see “What was found in the data” of the data set"
                )


def _meanings(configuration: Configuration, comparison: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Yield every method with what it does, or where its scores are from."""
    for method, given in configuration.methods.items():
        base = given.get("base", method)
        if base == PUBLISHED:
            sources = dict.fromkeys(row["source"] for row in comparison if row["method"] == slug(method))
            yield method, f"{PRESETS[base].meaning}: {'; '.join(sources)}"
            continue
        changed = ", ".join(f"{name} {value}" for name, value in given.items() if name != "base")
        yield (
            method,
            PRESETS[base].meaning
            + (f"; a variant of {base}" if base != method else "")
            + (f", with {changed}" if changed else ""),
        )


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
