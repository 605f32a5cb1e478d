"""Read, check and store one data set."""

import argparse
import logging
from pathlib import Path

from polysharp.commands import command_parser, run
from polysharp.configuration import LABEL_TYPES
from polysharp.data import prepare_data

log = logging.getLogger("polysharp.prepare_data")


def parser() -> argparse.ArgumentParser:
    result = command_parser(__doc__)
    result.add_argument(
        "--source", type=Path, required=True, metavar="FOLDER", help="folder of the three JSON files"
    )
    result.add_argument("--label-type", choices=LABEL_TYPES, required=True)
    result.add_argument(
        "--columns", nargs=2, default=["Text", "Labels"], metavar=("TEXT", "LABELS"), help="keys in the files"
    )
    result.add_argument(
        "--splits",
        nargs=3,
        default=["train", "val", "test"],
        metavar=("TRAIN", "VALIDATION", "TEST"),
        help="names of the files, without .json",
    )
    result.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    return result


def main(arguments: argparse.Namespace) -> None:
    findings = prepare_data(
        arguments.source,
        arguments.label_type,
        tuple(arguments.columns),
        tuple(arguments.splits),
        arguments.output,
    )
    for finding in findings[:10]:
        log.warning("%s row %d: %s", finding.split, finding.row, finding.finding)
    log.info("%d findings in %s", len(findings), arguments.output / "findings.tsv")


if __name__ == "__main__":
    arguments = parser().parse_args()
    run(main, arguments, f"data {arguments.output}")
