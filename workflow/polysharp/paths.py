"""Where the parts of a study lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CHECKPOINT = "checkpoint"  # folder of a trained classifier


@dataclass(frozen=True)
class Paths:
    """The folders of a study, relative to where it runs; cells and data sets are named by their paths."""

    results: Path = Path("results")
    work: Path = Path("work")

    def run(self, cell: str) -> Path:
        """Return the folder of a cell's results."""
        return self.results / "runs" / cell

    def data(self, dataset: str) -> Path:
        """Return the folder of a prepared data set."""
        return self.results / "data" / dataset

    def checkpoint(self, cell: str) -> Path:
        """Return the folder of a cell's trained classifier."""
        return self.work / "runs" / cell / CHECKPOINT
