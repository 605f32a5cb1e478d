"""Prepared data sets, in the form that training reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from polysharp.core.errors import UserError
from polysharp.core.files import read_json, sha256
from polysharp.core.paths import EXAMPLES, LABELS, prepared_files
from polysharp.core.refusal import read_refusal
from polysharp.core.terms import LabelType


@dataclass(frozen=True)
class PreparedData:
    """A data set as training reads it. Columns of `examples`: id, split, text, labels."""

    examples: pl.DataFrame
    labels: list[str]
    label_type: LabelType
    sha256: str

    def split(self, name: str) -> pl.DataFrame:
        """Return the examples of one split, in the order of the source."""
        return self.examples.filter(pl.col("split") == name)


def read_labels(folder: Path) -> list[str]:
    """Return the labels of a prepared data set, in their order."""
    return list(read_json(folder / LABELS)["labels"])


def read_prepared(folder: Path) -> PreparedData:
    """Return the data set that :func:`prepare_data` stored in `folder`.

    Raises
    ------
    UserError
        When there is none, or the data were refused.
    """
    if lines := read_refusal(folder):
        raise UserError(*lines)
    if not (folder / LABELS).is_file() or not (folder / EXAMPLES).is_file():
        raise UserError(
            f"{folder}: no prepared data set; expected {EXAMPLES} and {LABELS} from `polysharp prepare-data`"
        )
    content: Mapping[str, Any] = read_json(folder / LABELS)
    return PreparedData(
        pl.read_parquet(folder / EXAMPLES),
        content["labels"],
        content["label_type"],
        sha256(*prepared_files(folder)),
    )


def training_rows(data: PreparedData, size: int | None, seed: int) -> pl.DataFrame:
    """Return `size` training examples drawn with `seed`, the same for every method; all if `size` is None.

    Texts are drawn for each label in turn, the rarest first, so that small samples still have every label.

    Raises
    ------
    UserError
        When there are fewer texts than `size`.
    """
    rows = data.split("train")
    if size is None:
        return rows
    if size > len(rows):
        raise UserError(f"train_size: {size}: expected at most {len(rows)}, the number of training texts")
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=seed).with_row_index("draw")
    counts = Counter(name for names in rows["labels"] for name in names)
    queues = [
        [draw for draw, names in shuffled.select("draw", "labels").iter_rows() if name in names]
        for name in sorted(counts, key=lambda name: (counts[name], name))
    ] + [shuffled.filter(pl.col("labels").list.len() == 0)["draw"].to_list()]
    chosen: dict[int, None] = {}
    while len(chosen) < size:
        for queue in queues:
            while queue and queue[0] in chosen:
                queue.pop(0)
            if queue and len(chosen) < size:
                chosen[queue.pop(0)] = None
    keep = shuffled.filter(pl.col("draw").is_in(list(chosen)))["id"]
    return rows.filter(pl.col("id").is_in(keep.to_list()))
