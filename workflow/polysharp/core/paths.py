"""The folders of a study, and the names of files that several modules read or write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CHECKPOINT = "checkpoint"  # folder of a trained classifier
LEASE = "lease.json"  # of a cell: the process that trains it
TOKENIZER, WEIGHTS = "tokenizer.json", "model.safetensors"  # of a prepared model or a classifier
EXAMPLES, LABELS = "examples.parquet", "labels.json"  # of a prepared data set
PREPARED = "prepared.json"  # its checksum, or why the data are refused
IDENTITY = "polysharp.json"  # of a prepared model: its name, revision and checksums
REPORT, PREDICTIONS, HISTORY, COSTS = "report.json", "predictions.parquet", "history.jsonl", "costs.json"
INNER = "0_Transformer"  # where older versions of sentence-transformers put the encoder
ADDED = "added.json"  # which seeds are in the sum of weights behind a soup
MANIFEST = "manifest.json"  # only there if all cells are complete
CHECKED = "check.json"  # only there if no data are refused
RECEIPT = "job.json"  # the declared output of a job of several cells


@dataclass(frozen=True)
class Paths:
    """The folders of a study, relative to its working directory; cells and data sets are given as paths."""

    results: Path = Path("results")
    work: Path = Path("work")

    @property
    def models(self) -> Path:
        """The folder of the prepared models, next to `work`."""
        return self.work.parent / "models"

    def run(self, cell: str) -> Path:
        """Return the folder of a cell's results."""
        return self.results / "runs" / cell

    def data(self, dataset: str) -> Path:
        """Return the folder of a prepared data set."""
        return self.results / "data" / dataset

    def weight_sum(self, cell: str) -> Path:
        """Return the folder of the sum of weights behind a soup."""
        return self.work / "runs" / cell / "sum"

    def checkpoint(self, cell: str) -> Path:
        """Return the folder of a cell's trained classifier."""
        return self.work / "runs" / cell / CHECKPOINT


def prepared_files(folder: Path) -> tuple[Path, Path]:
    """Return the two files of the prepared data set in `folder`: its examples and its labels."""
    return folder / EXAMPLES, folder / LABELS
