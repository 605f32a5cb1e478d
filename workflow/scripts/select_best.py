"""Publish the classifier of one data set that is best on validation, and remove the others."""

import argparse
import logging
from pathlib import Path

from polysharp.commands import add_metric_option, command_parser, run

log = logging.getLogger("polysharp.select_best")


def parser() -> argparse.ArgumentParser:
    result = command_parser(__doc__)
    result.add_argument(
        "--cells",
        nargs="+",
        required=True,
        metavar="PATH",
        help="the data set's cells that have a checkpoint, task/language/label_type/method/seed-n",
    )
    add_metric_option(result)
    result.add_argument(
        "--bootstrap",
        type=int,
        default=2000,
        metavar="N",
        help="resamples for the intervals on the model card (default: 2000)",
    )
    result.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    return result


def main(arguments: argparse.Namespace) -> None:
    from polysharp.paths import Paths
    from polysharp.selection import select_best

    best = select_best(arguments.cells, arguments.metric, arguments.bootstrap, Paths(), arguments.output)
    log.info("best on validation: %s, published in %s", best, arguments.output)


if __name__ == "__main__":
    arguments = parser().parse_args()
    run(main, arguments, "select_best")
