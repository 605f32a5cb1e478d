"""Parts of rows: means, intervals, what names a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from polysharp.config.published import PublishedScore
from polysharp.config.sample_sheet import Dataset
from polysharp.config.settings import Configuration
from polysharp.config.slugs import slug
from polysharp.config.study import Cell
from polysharp.core.terms import PUBLISHED, Metric
from polysharp.evaluation.statistics import Estimate
from polysharp.results.status import Run

Row = dict[str, Any]


def reference_slug(configuration: Configuration) -> str | None:
    """Return the reference as the cells' paths and the tables name it."""
    name = configuration.report.reference
    return None if name is None else slug(name)


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are known, or None where none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def mean_and_sd(name: str, values: Sequence[float | None]) -> Row:
    """Return mean and standard deviation (n - 1) of the values that are known, as columns."""
    known = [value for value in values if value is not None]
    return {
        f"{name}_mean": mean(known),
        f"{name}_sd": float(np.std(known, ddof=1)) if len(known) > 1 else None,
    }


def score_columns(name: str, estimate: Estimate) -> Row:
    """Return mean, standard deviation and interval of a score, as columns."""
    return {**mean_and_sd(name, estimate.observed.tolist()), **interval_columns(name, *estimate.interval())}


def interval_columns(name: str, low: float, high: float) -> Row:
    """Return an interval as columns; none where no resample differs, as where every text is right.

    That includes two methods that predict the same for every text: few texts do not show them equal.
    """
    ends = (float(low), float(high)) if low < high else (None, None)
    return dict(zip((f"{name}_ci_low", f"{name}_ci_high"), ends, strict=True))


def environment_of(run: Run) -> tuple[str, ...]:
    """Return the parts of a run's fingerprint but for the arithmetic, which is a setting of its method."""
    return tuple((run.report.get("determinism") or "").split(", ")[:-1])


def epochs_in_words(epochs: Sequence[int] | None) -> str | None:
    """Return the epochs that a training has kept, as ``3`` or ``2-4``; None for a method without epochs."""
    if not epochs:
        return None
    return str(epochs[0]) if len(epochs) == 1 else f"{epochs[0]}-{epochs[-1]}"


def published_row(score: PublishedScore, metric: Metric) -> Row:
    """Return the row of comparison.tsv of a published score, which is compared with none."""
    return {
        **dataset_columns(score.dataset),
        "method": score.method,
        "status": PUBLISHED,
        "metric": metric,
        "test_mean": score.score,
        "source": score.source,
    }


def cell_columns(cell: Cell) -> Row:
    """Return the columns that say which cell a row is of."""
    return {**dataset_columns(cell.dataset), "method": cell.method, "seed": cell.seed}


def dataset_columns(dataset: Dataset) -> Row:
    """Return the columns that say which data set a row is of."""
    return {"task": dataset.task, "language": dataset.language, "label_type": dataset.label_type}
