"""The model card of a published classifier: what it is, how good, for what, and how to use it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polysharp import VERSION
from polysharp.core.files import read_json, write_text
from polysharp.core.rendering import template
from polysharp.core.terms import METRICS, SPLITS, Metric
from polysharp.data.prepared import PreparedData
from polysharp.evaluation.estimates import Tally
from polysharp.results.runs import read_predictions

FEW = 10  # test texts of a label: its score says little


def write_card(
    cell: str,
    report: Mapping[str, Any],
    data: PreparedData,
    run: Path,
    metric: Metric,
    bootstrap: int,
    output: Path,
) -> None:
    """Write the model card of a cell's classifier.

    Parameters
    ----------
    report
        The cell's report.json.
    run
        Where its predictions lie: intervals are made from them, over test texts, as it is this one
        classifier that is published, and not its seeds.
    bootstrap
        Number of resamples.
    output
        The card, beside the classifier's config.json.
    """
    task, language, label_type, method, seed = cell.split("/")
    rows = Tally.of([read_predictions(run, data.labels)["test"]], bootstrap, compared=False).rows
    revision = report["model"]["revision"] or ""
    card = template("model_card.md.j2").render(
        task=task,
        language=language,
        label_type=label_type,
        method=method,
        seed=seed.removeprefix("seed-"),
        report=report,
        on_hub=re.fullmatch(r"[0-9a-f]{40}", revision) is not None,
        sizes={split: len(data.split(split)) for split in SPLITS},
        intervals={name: rows[row].interval().tolist() for name, row in METRICS.items()},
        of_labels=rows["(labels)"].interval().T.tolist(),
        trained=[
            sum(label in labels for labels in data.split("train")["labels"].to_list())
            for label in data.labels
        ],
        few=FEW,
        max_length=read_json(output.parent / "config.json")["polysharp"]["max_length"],
        folder=".",
        where="the folder of this card",
        label_types=[label_type],
        metric=metric,
        version=VERSION,
    )
    write_text(output, card + "\n")
