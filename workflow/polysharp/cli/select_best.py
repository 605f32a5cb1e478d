"""Publish the classifier of one data set that is best on validation, and remove the others."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from polysharp.cli.options import add_metric_option, command_parser
from polysharp.cli.running import run_command

log = logging.getLogger("polysharp.select_best")


def parser() -> argparse.ArgumentParser:
    result = command_parser("select-best", __doc__)
    result.add_argument(
        "--cells",
        nargs="+",
        required=True,
        metavar="PATH",
        help="the data set's cells that have a checkpoint, as task/language/label_type/method/seed-n",
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
    from polysharp.core.paths import Paths
    from polysharp.reporting.selection import select_best

    best = select_best(arguments.cells, arguments.metric, arguments.bootstrap, Paths(), arguments.output)
    log.info("best on validation: %s, published in %s", best, arguments.output)


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    run_command(main, arguments, "select_best")
