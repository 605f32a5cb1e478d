"""The best classifier of a data set: chosen on validation, published, the losers removed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from polysharp.configuration import Metric
from polysharp.data import read_prepared
from polysharp.errors import UserError
from polysharp.files import write_json, write_text
from polysharp.matrix import Cell
from polysharp.tables import Paths, Run, best_run, read_run

THRESHOLDS, CARD = "thresholds.json", "README.md"


def select_best(cells: Sequence[Cell], metric: Metric, paths: Paths, output: Path) -> Run:
    """Publish in `output` the classifier that is best on validation, and remove the others.

    The winner stays in work/ too, as a hard link where the file system has them: it remains a
    candidate when a method is added later.

    Raises
    ------
    UserError
        When no cell is complete, or the winner's checkpoint is gone.
    """
    best = best_run((read_run(cell, paths) for cell in cells), metric)
    if best is None:
        raise UserError(f"{output}: no cell with a checkpoint is complete; see results/runs.tsv")
    source = paths.checkpoint(best.cell)
    if not source.is_dir():
        raise UserError(
            f"{source}: not found, though {best.cell.path} is best on validation now; it was removed after "
            "an earlier selection. Train it again: add to the command "
            f"--forcerun {paths.run(best.cell) / 'report.json'}"
        )
    output.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.iterdir()):
        _link(file, output / file.name)
    data = read_prepared(paths.data(best.cell.dataset))
    thresholds = best.report["thresholds"]
    per_label = dict(zip(data.labels, thresholds, strict=True)) if thresholds else None
    write_json(output / THRESHOLDS, {"labels": data.labels, "thresholds": per_label})
    template = Environment(
        loader=PackageLoader("polysharp"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template("model_card.md.j2")
    sizes = {split: len(data.split(split)) for split in ("train", "validation", "test")}
    card = template.render(
        cell=best.cell, report=best.report, sizes=sizes, metric=metric, version=version("polysharp")
    )
    write_text(output / CARD, card)
    for cell in cells:
        if cell != best.cell:
            shutil.rmtree(paths.checkpoint(cell), ignore_errors=True)
    return best


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)
