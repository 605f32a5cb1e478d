"""Whether a cell is complete: whether its report matches the study.

Training, tables, plan and selection all use this module, so that they agree. It is light to import.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from operator import eq
from pathlib import Path
from typing import Any

from polysharp.config.packages import PACKAGE
from polysharp.config.settings import ModelSettings
from polysharp.config.slugs import model_slug
from polysharp.config.study import Cell, from_arguments, predictions_of
from polysharp.core.files import expanded, read_json, sha256
from polysharp.core.paths import IDENTITY, PREDICTIONS, REPORT, Paths, prepared_files
from polysharp.core.terms import Kind, Metric

# The keys of a report that must match the study, and the reason that is given if one does not.
REASONS = {
    "selection_metric": "trained with another selection metric; not retrained yet",
    "model": "trained with another model; not retrained yet",
    "reading": "trained with another text_prefix, pooling or max_length; not retrained yet",
    "settings": "trained with other settings; not retrained yet",
    "seed": "trained with another seed; not retrained yet",
    "data_sha256": "trained on other data; not retrained yet",
    "averaged": "averaged from other trainings; not averaged again yet",
    "predictions_sha256": "read from a file that has changed; not read again yet",
}
NOT_PREPARED = "its data are not prepared yet"
# Older reports of baselines and of predictions lack these keys. Snakemake reruns such a cell when one
# changes.
SAID_LATER = ("reading", "seed", "predictions_sha256")
MODEL_SAID_LATER = ("config_sha256", "reads_padding")
# Trainings without this setting ended with their best epoch.
KEEP_BEFORE = "best"
COMMIT = re.compile(r"[0-9a-f]{40}")


def read_report(folder: Path) -> dict[str, Any] | None:
    """Return the report of the cell whose results are in `folder`, or None if it cannot be read.

    Reports of before `keep` was a setting have ``best_epoch`` in place of ``epochs``.
    """
    try:
        report = dict(read_json(folder / REPORT))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    if "best_epoch" in report:
        best = report.pop("best_epoch")
        report["epochs"] = None if best is None else [best]
    return report


def damage(folder: Path) -> str | None:
    """Return in words what is wrong with the results in `folder`; None if they are intact or absent."""
    if not (folder / REPORT).exists():
        return None
    for name in (REPORT, PREDICTIONS):
        if not (folder / name).is_file() or (name == REPORT and read_report(folder) is None):
            return f"{folder / name} is damaged or missing; remove {folder}, and run the same command again"
    return None


def difference(report: Mapping[str, Any], wanted: Mapping[str, Any], kind: Kind) -> str | None:
    """Return in words the first way in which a report is not as wanted; None if the cell is complete.

    Results of other code or hardware still count.

    Parameters
    ----------
    wanted
        The wanted values, by the keys of :data:`REASONS`. A key that is missing is not compared.
    """
    for key, reason in REASONS.items():
        if key not in wanted or (kind != "finetune" and key in SAID_LATER and key not in report):
            continue
        same = {"model": _is_model, "settings": same_settings}.get(key, eq)
        if not same(report.get(key), wanted[key]):
            return reason
    return None


def is_complete(folder: Path, wanted: Mapping[str, Any], kind: Kind) -> bool:
    """Whether the results in `folder` are intact and as wanted, by the keys of :data:`REASONS`."""
    report = read_report(folder)
    return report is not None and not damage(folder) and difference(report, wanted, kind) is None


class Wanted:
    """What a study requires of its cells. Every model and data set is read only once."""

    def __init__(self, metric: Metric, paths: Paths) -> None:
        self._metric, self._paths = metric, paths
        self._model, self._data, self._file = cache(_prepared_model), cache(_prepared_data), cache(sha256)

    def of(self, cell: Cell) -> dict[str, Any]:
        """Return what the report of a cell must contain; `data_sha256` is None if data are not prepared."""
        model = cell.dataset.model
        wanted: dict[str, Any] = {
            "selection_metric": self._metric,
            "settings": from_arguments(cell.settings),
            "data_sha256": self._data(self._paths.data(cell.dataset.path)),
        }
        if (predictions := predictions_of(cell)) is None:
            wanted["seed"] = cell.seed
        else:
            wanted["predictions_sha256"] = self._file(Path(predictions))
        if cell.averaged:
            wanted["averaged"] = averaged_reports(cell.averaged, self._paths)
        if cell.has_model:
            wanted["model"] = self._model(self._paths.models / model_slug(model)) or model
            reading = model.model_dump(exclude={"name", "revision"})
            wanted["reading"] = reading | ({"pooling": "mean"} if cell.kind == "probe" else {})
        return wanted

    def difference(self, report: Mapping[str, Any], cell: Cell) -> str | None:
        """Return in words why a cell with this report is not complete; None if it is."""
        wanted = self.of(cell)
        if wanted["data_sha256"] is None:
            del wanted["data_sha256"]
            return difference(report, wanted, cell.kind) or NOT_PREPARED
        return difference(report, wanted, cell.kind)


def same_settings(found: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    """Whether a report's settings are the wanted ones; older reports lack what is kept of the epochs."""
    if found is not None and "keep" in wanted and "keep" not in found:
        found = {**found, "keep": KEEP_BEFORE, "averaged_epochs": wanted["averaged_epochs"]}
    return found == wanted


def averaged_reports(cells: Iterable[str], paths: Paths) -> dict[str, str]:
    """Return the SHA-256 of the reports of cells that are averaged, by the names of their folders."""
    return {
        folder.name: sha256(folder / REPORT)
        for cell in cells
        if ((folder := paths.run(cell)) / REPORT).is_file()
    }


def _is_model(found: Mapping[str, Any] | None, wanted: Mapping[str, Any] | ModelSettings) -> bool:
    """Whether a report's model is the prepared one or, if none is prepared, may be the configured one."""
    if found is None:
        return False
    if not isinstance(wanted, ModelSettings):
        # Older reports lack these keys: only name, weights and tokenizer are compared.
        found = {key: wanted.get(key) for key in MODEL_SAID_LATER} | dict(found)
        return all(found.get(key) == value for key, value in wanted.items())
    names = (wanted.name, expanded(wanted.name).resolve().name)  # a report has only a folder's name
    # A branch or a tag on the hub may have moved to another commit; a report has the commit.
    is_fixed = wanted.name.startswith(PACKAGE) or COMMIT.fullmatch(wanted.revision or "")
    revisions = (None, found.get("revision")) if is_fixed else (wanted.revision,)
    return found.get("name") in names and wanted.revision in revisions


def _prepared_model(folder: Path) -> dict[str, Any] | None:
    """Return the identity of the model in a folder; None if none is prepared, as after deleting models/."""
    try:
        return dict(read_json(folder / IDENTITY))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def _prepared_data(folder: Path) -> str | None:
    """Return the SHA-256 of a prepared data set, or None if it is not prepared."""
    try:
        return sha256(*prepared_files(folder))
    except (FileNotFoundError, NotADirectoryError):
        return None
