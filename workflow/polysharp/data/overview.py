"""The findings in all data sets of a study, as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polysharp.config.checks import COLUMNS, PLACES, SUMMARY, as_row
from polysharp.core.columns import CHECK
from polysharp.core.failure_file import failure_file, read_failure
from polysharp.core.files import read_json, write_json
from polysharp.core.paths import CHECKED, Paths
from polysharp.core.refusal import read_refusal
from polysharp.core.terms import counted
from polysharp.core.tsv import write_table

NAMES = ["task", "language", "label_type"]
REFUSED = {
    "check": "refused",
    "severity": "error",
    "count": 1,
    "finding": "data sets that cannot be read, or whose model is not available",
    "remedy": "fix the listed mistakes",
}


@dataclass(frozen=True)
class Overview:
    """The rows of the table, and the number of data sets."""

    rows: list[dict[str, Any]]
    datasets: int
    unchecked: list[str]

    @property
    def refused(self) -> list[str]:
        """Return the data sets that cannot be used."""
        errors = [row for row in self.rows if row["severity"] == "error"]
        return list(dict.fromkeys("/".join(row[name] for name in NAMES) for row in errors))

    def lines(self) -> list[str]:
        """Return a line per check and severity, errors first: count, first place, remedy."""
        groups: dict[tuple[str, str, str, str], list[dict[str, Any]]] = {}
        for row in sorted(self.rows, key=lambda row: row["severity"] != "error"):
            key = (row["severity"], row["check"], row["finding"], row["remedy"])
            groups.setdefault(key, []).append(row)
        lines = []
        for (severity, check, finding, remedy), rows in groups.items():
            count = sum(row["count"] for row in rows)
            named = ", ".join(rows[0][name] for name in NAMES)
            where = f"{count} in {len(rows)} data sets" if len(rows) > 1 else str(count)
            first = f"{'first: ' if count > 1 else ''}{named}: {rows[0]['places'][0]}"
            lines.append(f"{severity} ({check}): {finding}: {where}; {first}; what to do: {remedy}")
        return lines

    def __str__(self) -> str:
        """Return how many data sets have findings."""
        names = {tuple(row[name] for name in NAMES) for row in self.rows}
        text = f"{counted(self.datasets, 'data set')}, {len(names)} of them with findings"
        return text + (f"; not checked yet: {', '.join(self.unchecked)}" if self.unchecked else "")


def write_overview(datasets: Mapping[str, Sequence[str]], paths: Paths) -> Overview:
    """Write check.tsv, with the findings so far; also check.json once all data sets have been checked.

    Parameters
    ----------
    datasets
        Their paths (task/language/label_type), and for each the folders in work/ of its model and its source
        on the hub. If one could not be prepared, the reason is in its folder.
    """
    found = {dataset: _found(dataset, needed, paths) for dataset, needed in datasets.items()}
    rows = [
        dict(zip(NAMES, dataset.split("/"), strict=True)) | entry
        for dataset, entries in found.items()
        for entry in entries or []
    ]
    write_table([as_row(row) for row in rows], [*NAMES, *COLUMNS], paths.results / CHECK.file)
    unchecked = [dataset for dataset, entries in found.items() if entries is None]
    if unchecked or _is_refused(rows):
        (paths.results / CHECKED).unlink(missing_ok=True)
    else:
        write_json(paths.results / CHECKED, found)
    return Overview(rows, len(datasets), unchecked)


def _found(dataset: str, needed: Sequence[str], paths: Paths) -> list[dict[str, Any]] | None:
    """Return the findings of a data set; None if it was not checked yet."""
    folder = paths.data(dataset)
    findings: list[dict[str, Any]] = read_json(folder / PLACES) if (folder / PLACES).is_file() else []
    if lines := read_refusal(folder):
        return findings if _is_refused(findings) else [{**REFUSED, "places": ["; ".join(lines)]}, *findings]
    for step in [f"data/{dataset}", *needed]:
        if note := read_failure(failure_file(step, paths.work)):
            return [{**REFUSED, "places": [note.reason]}]
    if not (folder / PLACES).is_file():
        return None
    return findings + (read_json(folder / SUMMARY)["findings"] if (folder / SUMMARY).is_file() else [])


def _is_refused(findings: Sequence[Mapping[str, Any]]) -> bool:
    return any(finding["severity"] == "error" for finding in findings)
