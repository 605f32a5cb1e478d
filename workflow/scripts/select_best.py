"""Publish the classifier of one data set that is best on validation, and remove the others."""

import argparse
import logging
from pathlib import Path

from polysharp.commands import add_study_options, command_parser, read_study, run

log = logging.getLogger("polysharp.select_best")


def parser() -> argparse.ArgumentParser:
    result = command_parser(__doc__)
    add_study_options(result)
    result.add_argument(
        "--dataset", required=True, metavar="PATH", help="task/language/label_type of the data set"
    )
    result.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    return result


def main(arguments: argparse.Namespace) -> None:
    from polysharp.selection import select_best
    from polysharp.tables import Paths

    configuration, matrix = read_study(arguments)
    cells = [cell for cell in matrix.cells if cell.dataset.path == arguments.dataset and cell.has_checkpoint]
    best = select_best(cells, configuration.selection_metric, Paths(), arguments.output)
    log.info("best on validation: %s, published in %s", best.cell.path, arguments.output)


if __name__ == "__main__":
    arguments = parser().parse_args()
    run(main, arguments, "select_best")
