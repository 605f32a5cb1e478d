"""Average the weights of several seeds of one method into a single classifier, a soup.

Wortsman et al. 2022 (arXiv 2203.05482) average fine-tuned models that start from one pre-trained model. Here
the seeds also share the initial head, the probe, and the training texts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from polysharp.core.errors import UserError
from polysharp.core.files import replacing_folder, write_json
from polysharp.core.paths import ADDED, Paths
from polysharp.evaluation.decisions import judge
from polysharp.models.folder import quiet_transformers
from polysharp.results.completeness import averaged_reports
from polysharp.results.outcome import Outcome
from polysharp.results.soups import added_seeds
from polysharp.results.status import forget_cell
from polysharp.training.batches import infer
from polysharp.training.inputs import SharedTrainingInputs
from polysharp.training.randomness import seed_everything

log = logging.getLogger("polysharp.training.soup")
CHANGES = "changes.pt"
SCALE = 2.0**44  # of the whole numbers that are added: changes are rounded to 6e-14


class WeightSum:
    """The sum of what the seeds have changed in the pre-trained weights, in a folder.

    The changes are added as whole numbers, so that the sum does not depend on the order of the seeds, nor on
    how many of them are added at a time. Rows that no seed has trained take no space.

    Parameters
    ----------
    start
        The weights before training by name. Those that are not among them, the head's, start at 0.
    """

    def __init__(self, folder: Path, start: Mapping[str, Tensor]) -> None:
        self._folder, self._start = folder, start
        self.added = added_seeds(folder)
        self._changes: dict[str, Tensor] = {}
        if self.added:
            self._changes = torch.load(folder / CHANGES, weights_only=True)

    def keep(self, wanted: Mapping[str, str]) -> None:
        """Start anew if the sum has a seed that is not wanted, or one that was trained again since."""
        if not self.added.items() <= wanted.items():
            self.added, self._changes = {}, {}

    def add(self, seed: str, report_sha256: str, model: PreTrainedModel) -> None:
        """Add the weights of the classifier of a seed."""
        for name, weight in model.named_parameters():
            changes, before = self._changes_of(name, weight.detach()), self._changes.get(name)
            self._changes[name] = changes if before is None else (before + changes).coalesce()
        self.added[seed] = report_sha256

    def save(self) -> None:
        """Write the sum."""
        with replacing_folder(self._folder) as staging:
            torch.save(self._changes, staging / CHANGES)
            write_json(staging / ADDED, self.added)

    def mean(self) -> dict[str, Tensor]:
        """Return the mean of the weights by name, in float32."""
        means = {}
        for name, changes in self._changes.items():
            mean = changes.to_dense().double() / (SCALE * len(self.added))
            means[name] = (mean + self._start[name] if name in self._start else mean).float()
        return means

    def _changes_of(self, name: str, weight: Tensor) -> Tensor:
        """Return what has changed in a weight: its rows in whole numbers, without those that have not."""
        start = self._start.get(name, torch.zeros_like(weight))
        (rows,) = (weight != start).reshape(len(weight), -1).any(1).nonzero(as_tuple=True)
        values = ((weight[rows].double() - start[rows].double()) * SCALE).round().long()
        return torch.sparse_coo_tensor(rows[None], values, weight.shape, check_invariants=True).coalesce()


def average_seeds(
    inputs: SharedTrainingInputs, cells: Sequence[str], folder: Path, paths: Paths
) -> PreTrainedModel:
    """Return a classifier with the mean of the weights of the cells, which are seeds of one method.

    Parameters
    ----------
    folder
        Of the sum. Seeds that are in it are not read again, so their classifiers may have been removed.

    Raises
    ------
    UserError
        When the classifier of a cell is gone; the cell counts as not trained from then on.
    """
    seed_everything(0)  # weights that the pre-trained model lacks are random
    model = inputs.model()
    inside = f"{model.base_model_prefix}."
    start = {
        name: weight.detach().clone() for name, weight in model.named_parameters() if name.startswith(inside)
    }
    total = WeightSum(folder, start)
    wanted = averaged_reports(cells, paths)
    total.keep(wanted)
    left = {seed: cell for seed, cell in zip(wanted, cells, strict=True) if seed not in total.added}
    gone = [cell for cell in left.values() if not paths.checkpoint(cell).is_dir()]
    if gone:
        for cell in gone:
            forget_cell(cell, paths)
        raise UserError(
            f"{paths.checkpoint(gone[0])}: not found; it was removed after an earlier selection. The same "
            "command, given again, trains it again"
        )
    for seed, cell in left.items():
        with quiet_transformers():
            one = AutoModelForSequenceClassification.from_pretrained(paths.checkpoint(cell))
        total.add(seed, wanted[seed], one)
    total.save()
    model.load_state_dict(total.mean(), strict=False)
    log.info("averaging the weights of %s", ", ".join(wanted))
    return model


def evaluate(model: PreTrainedModel, inputs: SharedTrainingInputs, averaged: int) -> Outcome:
    """Return the logits of a classifier, and the thresholds chosen on validation."""
    model.to(inputs.device.device).eval()
    splits = inputs.splits(0)
    logits = {
        split: infer(
            lambda batch: model(**batch).logits, splits[split], inputs.tokenizer, inputs.device.device
        )
        for split in ("validation", "test")
    }
    decision = judge(logits["validation"], splits["validation"].truth, inputs.data.label_type, inputs.metric)
    log.info("%d seeds averaged: validation %s %.3f", averaged, inputs.metric, decision.value)
    history = [{"averaged": averaged, f"validation_{inputs.metric}": decision.value}]
    return Outcome(logits, decision, None, history)
