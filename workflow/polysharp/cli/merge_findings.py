"""Merge the findings of all data sets into check.tsv, and print them."""

import argparse
import logging
from collections.abc import Sequence

from polysharp.cli.options import command_parser
from polysharp.cli.running import run_command
from polysharp.core.errors import UserError

log = logging.getLogger("polysharp.merge_findings")


def parser() -> argparse.ArgumentParser:
    result = command_parser("merge-findings", __doc__)
    result.add_argument(
        "--datasets",
        nargs="+",
        required=True,
        metavar="TASK/LANGUAGE/LABEL_TYPE[=FOLDER,...]",
        help="all data sets of the study, each with the folders in work/ that it needs",
    )
    return result


def main(arguments: argparse.Namespace) -> None:
    from polysharp.core.columns import CHECK
    from polysharp.core.paths import Paths
    from polysharp.data.overview import write_overview

    parts = [dataset.partition("=") for dataset in arguments.datasets]
    needed = {path: folders.split(",") if folders else [] for path, _, folders in parts}
    found = write_overview(needed, Paths())
    for line in found.lines():
        log.warning("%s", line)
    log.info("%s: %s", Paths().results / CHECK.file, found)
    if found.refused:
        raise UserError(f"refused: {', '.join(found.refused)}; {Paths().results / CHECK.file} says why")


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    run_command(main, arguments, "merge_findings")
