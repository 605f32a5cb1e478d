"""Where the parts of a study lie, and the names of the files that more than one module reads or writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CHECKPOINT = "checkpoint"  # folder of a trained classifier
LEASE = "lease.json"  # of a cell in training: which process trains it
TOKENIZER, WEIGHTS = "tokenizer.json", "model.safetensors"  # of a prepared model or a classifier
EXAMPLES, LABELS = "examples.parquet", "labels.json"  # of a prepared data set
IDENTITY = "polysharp.json"  # of a prepared model: which one it is
REPORT, PREDICTIONS, HISTORY, COSTS = "report.json", "predictions.parquet", "history.jsonl", "costs.json"
INNER = "0_Transformer"  # of a model by sentence-transformers: where it used to put the encoder
RECEIPT = "job.json"  # what a job of several cells declares to have made


@dataclass(frozen=True)
class Paths:
    """The folders of a study, relative to where it runs; cells and data sets are named by their paths."""

    results: Path = Path("results")
    work: Path = Path("work")

    @property
    def models(self) -> Path:
        """The folder of the prepared models, which lies beside `work`."""
        return self.work.parent / "models"

    def run(self, cell: str) -> Path:
        """Return the folder of a cell's results."""
        return self.results / "runs" / cell

    def data(self, dataset: str) -> Path:
        """Return the folder of a prepared data set."""
        return self.results / "data" / dataset

    def checkpoint(self, cell: str) -> Path:
        """Return the folder of a cell's trained classifier."""
        return self.work / "runs" / cell / CHECKPOINT


def prepared_files(folder: Path) -> tuple[Path, Path]:
    """Return the two files of the prepared data set in `folder`: its examples and its labels."""
    return folder / EXAMPLES, folder / LABELS
