"""The rows of single cells: runs.tsv."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from polysharp.core.terms import REPORTED
from polysharp.reporting.rows import (
    Row,
    cell_columns,
    environment_of,
    epochs_in_words,
)
from polysharp.results.status import Run


def runs_rows(runs: Sequence[Run]) -> list[Row]:
    """Return the rows of runs.tsv."""
    environments = Counter(environment for run in runs if (environment := environment_of(run)))
    usual = environments.most_common(1)[0][0] if environments else ()
    return [_runs_row(run, usual) for run in runs]


def _runs_row(run: Run, usual: Sequence[str]) -> Row:
    report = run.report
    row = {**cell_columns(run.cell), "status": run.status, "reason": run.reason}
    if not report:
        return row
    model = report.get("model") or {}
    return row | {
        **{
            f"{split}_{metric}": value
            for split, scores in report["scores"].items()
            for metric, value in scores.items()
        },
        **{f"{split}_ece": report.get("ece", {}).get(split) for split in REPORTED},
        "unmapped": report.get("unmapped", {}).get("test"),
        "epochs": epochs_in_words(report.get("epochs")),
        "thresholds": _thresholds(report["labels"], report["thresholds"]),
        "model": model.get("name"),
        "model_revision": model.get("revision"),
        "model_sha256": model.get("sha256"),
        "data_sha256": report["data_sha256"],
        "determinism": report.get("determinism"),
        "differs": ", ".join(part for part in environment_of(run) if part not in usual),
        "code_sha256": report["code_sha256"],
    }


def _thresholds(labels: Sequence[str], thresholds: Sequence[float] | None) -> str | None:
    if thresholds is None:
        return None
    rounded = {label: round(value, 6) for label, value in zip(labels, thresholds, strict=True)}
    return json.dumps(rounded, ensure_ascii=False)
