"""Fine-tuning of one cell, from its lease to its results."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any

from polysharp.core.errors import Interrupted
from polysharp.core.files import remove_staging
from polysharp.core.paths import CHECKPOINT
from polysharp.core.terms import Metric
from polysharp.results.completeness import REASONS, difference, is_complete, read_report
from polysharp.results.runs import write_run
from polysharp.results.soups import in_all_sums
from polysharp.results.source_code import training_sha256
from polysharp.results.status import best_on_validation, validation_score
from polysharp.training.costs import Costs
from polysharp.training.finetuning import FineTuning
from polysharp.training.hardware import fingerprint
from polysharp.training.inputs import SharedTrainingInputs
from polysharp.training.lease import Lease
from polysharp.training.snapshots import Snapshots, StopRequest

log = logging.getLogger("polysharp.training.cells")


def train_cell(
    inputs: SharedTrainingInputs,
    model: Mapping[str, Any],
    seed: int,
    output: Path,
    work: Path,
    stop: StopRequest,
    snapshot_seconds: float,
    soups: Sequence[Path] = (),
) -> None:
    """Train the cell of `seed`, or resume its training; do nothing if it is complete.

    Parameters
    ----------
    model
        The model's identity, as returned by :func:`polysharp.models.folder.read_identity`.
    output
        Folder for report, predictions, history and costs.
    work
        Folder for the classifier (``checkpoint``), the lease and the snapshots.
    soups
        Folders of the sums that need the weights of this cell. If they lack them and the classifier is gone,
        a complete cell is trained again.

    Raises
    ------
    UserError
        When the training fails for a reason that the user can fix.
    Interrupted
        When `stop` requests it, or another process has taken over this cell.
    """
    device, costs = inputs.device, Costs()
    lease = Lease(work) if device.is_main_process else None
    about = {
        "seed": seed,
        "selection_metric": inputs.metric,
        "model": model,
        "reading": inputs.pretrained.settings.model_dump(exclude={"name", "revision"}),
        "settings": inputs.settings.model_dump(),
        "determinism": fingerprint(device),
    }
    if is_complete(output, {**about, "data_sha256": inputs.data.sha256}, "finetune") and (
        (work / CHECKPOINT).is_dir() or in_all_sums(output, soups)
    ):
        log.info("seed %d is complete; remove %s to train it again", seed, output)
        if lease:  # remove what a process left that was killed at the very end
            rmtree(work / "snapshots", ignore_errors=True)
            lease.release()
            remove_staging(output)
        return
    if stop.made:
        raise Interrupted(f"stopped before seed {seed}")
    if lease:
        lease.take()
        for folder in (work, output):
            remove_staging(folder)
    identity = {**about, "data": inputs.data.sha256, "code": training_sha256()}
    snapshots = Snapshots(work / "snapshots", identity, snapshot_seconds, stop, lease)
    try:
        log.info("seed %d", seed)
        training = FineTuning(inputs, seed)
        outcome = training.run(snapshots)
        if lease:
            lease.check()
            training.save(work / CHECKPOINT, outcome.decision.thresholds)
            costs.earlier, costs.slurm_jobs = training.earlier_seconds, lease.slurm_jobs
            write_run(output, inputs.data, outcome, about, costs.as_dict())
    except Exception as error:
        if lease:
            lease.check()  # an error caused by a process that took over is not a failure
            if isinstance(error, Interrupted):
                lease.rest()
        raise
    if lease and lease.held:  # a process that has taken over needs the snapshots
        snapshots.clear()
        lease.release()


def keep_best_checkpoints(
    output: Path, work: Path, among: Collection[int], metric: Metric, soups: Sequence[Path] = ()
) -> None:
    """Remove the classifiers of all seeds but the best on validation.

    Only the best seed of a method can be selected. If several are equally good, all are kept. So are those
    that have not been added to the sums in `soups` yet.

    Parameters
    ----------
    output, work
        Folders of the results and work files of a complete cell; those of the other seeds are beside them.
        Seeds whose report has other settings, data or model are left alone.
    among
        The study's seeds. Seeds that are no longer in the study are ignored.
    """
    mine = read_report(output)
    assert mine is not None
    wanted = {key: mine[key] for key in REASONS if key in mine and key != "seed"}
    reports = {
        other: report
        for other in among
        if (report := read_report(_of_seed(output, other))) and not difference(report, wanted, "finetune")
    }
    best = best_on_validation(reports.items(), metric)
    for other, report in reports.items():
        if not in_all_sums(_of_seed(output, other), soups):
            continue
        if best is not None and validation_score(report, metric) != validation_score(reports[best], metric):
            rmtree(_of_seed(work, other) / CHECKPOINT, ignore_errors=True)


def _of_seed(folder: Path, seed: int) -> Path:
    return folder.with_name(f"seed-{seed}")
