"""The results of one cell: report.json, predictions.parquet, history.jsonl, costs.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pyarrow import parquet

from polysharp.core.files import replacing, sha256, write_json, write_text
from polysharp.core.labels import Indicators, Mask, Predicted, Scores, decide, decode, encode
from polysharp.core.paths import COSTS, HISTORY, PREDICTIONS, REPORT
from polysharp.core.terms import REPORTED
from polysharp.data.prepared import PreparedData
from polysharp.evaluation.decisions import probabilities
from polysharp.evaluation.metrics import classification_report, expected_calibration_error, scores
from polysharp.results.outcome import Outcome
from polysharp.results.source_code import code_sha256


def write_run(
    folder: Path,
    data: PreparedData,
    outcome: Outcome,
    about: Mapping[str, Any],
    costs: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the four files of a cell, and return the content of report.json.

    Parameters
    ----------
    about
        Further content of report.json: settings, model, determinism.
    """
    probable = {split: probabilities(outcome.logits[split], data.label_type) for split in REPORTED}
    predicted = {split: decide(of_split, outcome.decision.thresholds) for split, of_split in probable.items()}
    about = {"thresholds": outcome.decision.thresholds, "epochs": outcome.epochs, **about}
    return write_predictions(folder, data, predicted, probable, about, outcome.history, costs)


def write_predictions(
    folder: Path,
    data: PreparedData,
    predicted: Mapping[str, Indicators],
    probable: Mapping[str, Scores],
    about: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    costs: Mapping[str, Any],
    unmapped: Mapping[str, Mask] | None = None,
) -> dict[str, Any]:
    """Write the four files of a cell whose predicted labels are known, and return the content of report.json.

    Parameters
    ----------
    predicted, probable
        Labels, and their probabilities where there are any, (texts, labels) by split.
    unmapped
        Texts whose answer is not mapped to labels, (texts,) by split; their `predicted` is empty.
    """
    frames, reports, metrics, calibration = [], {}, {}, {}
    for split, labels in predicted.items():
        examples = data.split(split)
        truth = encode(examples["labels"].to_list(), data.labels)
        missing = unmapped[split] if unmapped else None
        rows = classification_report(truth, labels, data.labels, data.label_type, missing)
        reports[split] = [row.as_dict() for row in rows]
        metrics[split] = scores(truth, labels, missing)
        said = probable.get(split)
        if said is not None:
            calibration[split] = expected_calibration_error(truth, said, data.label_type)
        frames.append(
            pl.DataFrame(
                {
                    "id": examples["id"],
                    "split": examples["split"],
                    "y_true": decode(truth, data.labels),
                    "y_pred": _without(missing, decode(labels, data.labels)),
                    "scores": [None] * len(examples) if said is None else said.tolist(),
                },
                schema_overrides={
                    "y_true": pl.List(pl.String),
                    "y_pred": pl.List(pl.String),
                    "scores": pl.List(pl.Float64),
                },
            )
        )
    report = {
        "label_type": data.label_type,
        "labels": data.labels,
        "scores": metrics,
        "ece": calibration,
        "report": reports,
        "data_sha256": data.sha256,
        "code_sha256": code_sha256(),
        **about,
    }
    with replacing(folder / PREDICTIONS) as staging:
        pl.concat(frames).write_parquet(staging, statistics=False)
    write_text(folder / HISTORY, "".join(json.dumps(entry) + "\n" for entry in history))
    write_json(folder / COSTS, costs)
    write_json(folder / REPORT, report)
    return report


def write_receipt(path: Path, runs: Mapping[str, Path]) -> None:
    """Write which cells one job has completed, with the SHA-256 of the report in each one's folder."""
    write_json(path, {"sha256": {cell: sha256(folder / REPORT) for cell, folder in runs.items()}})


def read_predictions(folder: Path, names: Sequence[str]) -> dict[str, Predicted]:
    """Return true and predicted labels of a cell, by the splits that it has."""
    # read_table would also import pyarrow.dataset, which takes 15 MB more.
    with parquet.ParquetFile(folder / PREDICTIONS) as file:
        table = file.read(columns=["split", "y_true", "y_pred"])
    of_split = np.array(table["split"].to_pylist())
    stored = table["y_pred"].to_pylist()
    truth = encode(table["y_true"].to_pylist(), names)
    predicted = encode([labels or [] for labels in stored], names)
    unmapped = np.array([labels is None for labels in stored], dtype=bool)
    return {
        split: Predicted(truth[rows], predicted[rows], unmapped[rows])
        for split in REPORTED
        if (rows := of_split == split).any()
    }


def _without(unmapped: Mask | None, labels: Sequence[list[str]]) -> list[list[str] | None]:
    """Return the predicted labels of every text, with None for unmapped answers."""
    if unmapped is None:
        return list(labels)
    return [None if missing else names for names, missing in zip(labels, unmapped, strict=True)]


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Return the entries of a cell's history: one per epoch, or the chosen candidate of a baseline."""
    return [json.loads(line) for line in (folder / HISTORY).read_text().splitlines()]
