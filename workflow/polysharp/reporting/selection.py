"""The best classifier of a data set: chosen on validation, published, the losers removed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from polysharp.core.errors import UserError
from polysharp.core.files import write_json
from polysharp.core.paths import Paths
from polysharp.core.terms import Metric
from polysharp.data.prepared import read_prepared
from polysharp.reporting.model_card import write_card
from polysharp.results.completeness import read_report
from polysharp.results.status import best_on_validation, forget_cell

THRESHOLDS, CARD = "thresholds.json", "README.md"


def select_best(cells: Sequence[str], metric: Metric, bootstrap: int, paths: Paths, output: Path) -> str:
    """Publish in `output` the classifier that is best on validation, remove the others, return its cell.

    The winner stays in work/ too, as a hard link where the file system has them: it remains a
    candidate when a method is added later.

    Parameters
    ----------
    cells
        Paths of one data set's cells, ``task/language/label_type/method/seed-n``, in the configured
        order; of equally good ones the first is taken.
    bootstrap
        Number of resamples, for the intervals on the model card.

    Raises
    ------
    UserError
        When the winner's checkpoint is gone; its cell counts as not trained from then on.
    """
    reports = {cell: report for cell in cells if (report := read_report(paths.run(cell)))}
    best = best_on_validation(reports.items(), metric)
    assert best is not None  # a data set has cells
    source = paths.checkpoint(best)
    if not source.is_dir():
        forget_cell(best, paths)
        raise UserError(
            f"{source}: not found, though {best} is best on validation now; it was removed after an "
            "earlier selection. The same command, given again, trains it again"
        )
    shutil.rmtree(output, ignore_errors=True)  # files of an earlier winner
    output.mkdir(parents=True)
    for file in sorted(source.iterdir()):
        _link(file, output / file.name)
    data = read_prepared(paths.data(best.rsplit("/", 2)[0]))
    thresholds = reports[best]["thresholds"]
    per_label = dict(zip(data.labels, thresholds, strict=True)) if thresholds else None
    write_json(output / THRESHOLDS, {"cell": best, "labels": data.labels, "thresholds": per_label})
    write_card(best, reports[best], data, paths.run(best), metric, bootstrap, output / CARD)
    for cell in cells:
        if cell != best:
            shutil.rmtree(paths.checkpoint(cell), ignore_errors=True)
    return best


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)
