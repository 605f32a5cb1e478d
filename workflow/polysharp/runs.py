"""The results of one cell: report.json, predictions.parquet, history.jsonl, costs.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polysharp.data import PreparedData
from polysharp.files import read_json, replacing, sha256, write_json, write_text
from polysharp.labels import Indicators, decide, decode, encode
from polysharp.metrics import classification_report, scores
from polysharp.probe import Decision, probabilities

REPORT, PREDICTIONS, HISTORY, COSTS = "report.json", "predictions.parquet", "history.jsonl", "costs.json"
REPORTED = ("validation", "test")


def write_run(
    folder: Path,
    data: PreparedData,
    logits: Mapping[str, NDArray[np.float64]],
    decision: Decision,
    about: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    costs: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the four files of a cell, and return the content of report.json.

    Parameters
    ----------
    logits
        (texts, labels) of the validation and the test texts.
    about
        What else report.json says: settings, model, best epoch, determinism.
    """
    frames, reports, metrics = [], {}, {}
    for split in REPORTED:
        examples = data.split(split)
        truth = encode(examples["labels"].to_list(), data.labels)
        predicted_scores = probabilities(logits[split], data.label_type)
        predicted = decide(predicted_scores, decision.thresholds)
        rows = classification_report(truth, predicted, data.labels, data.label_type)
        reports[split] = [row.as_dict() for row in rows]
        metrics[split] = scores(truth, predicted)
        frames.append(
            pl.DataFrame(
                {
                    "id": examples["id"],
                    "split": examples["split"],
                    "y_true": decode(truth, data.labels),
                    "y_pred": decode(predicted, data.labels),
                    "scores": predicted_scores.tolist(),
                },
                schema_overrides={"y_true": pl.List(pl.String), "y_pred": pl.List(pl.String)},
            )
        )
    report = {
        "label_type": data.label_type,
        "labels": data.labels,
        "thresholds": decision.thresholds,
        "scores": metrics,
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


def code_sha256() -> str:
    """Return the SHA-256 of the library's source: the code that made a result."""
    return sha256(*sorted(Path(__file__).parent.glob("*.py")))


def read_report(folder: Path) -> dict[str, Any] | None:
    """Return the report of a cell, or None where there is none."""
    return read_json(folder / REPORT) if (folder / REPORT).is_file() else None


def read_predictions(folder: Path, split: str, names: Sequence[str]) -> tuple[Indicators, Indicators]:
    """Return true and predicted labels (texts, labels) of one split of a cell."""
    table = pl.read_parquet(folder / PREDICTIONS).filter(pl.col("split") == split)
    return encode(table["y_true"].to_list(), names), encode(table["y_pred"].to_list(), names)
