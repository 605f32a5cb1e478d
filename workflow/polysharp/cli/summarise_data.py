"""Count and draw the texts, labels and tokens of a prepared data set."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from polysharp.cli.options import add_model_options, add_severity_option, command_parser
from polysharp.cli.running import log_findings, run_command


def parser() -> argparse.ArgumentParser:
    result = command_parser("summarise-data", __doc__)
    result.add_argument(
        "--data", type=Path, required=True, metavar="FOLDER", help="data set folder made by prepare-data"
    )
    add_model_options(result)
    add_severity_option(result)
    result.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    return result


def main(arguments: argparse.Namespace) -> None:
    from polysharp.data.prepared import read_prepared
    from polysharp.reporting.summary import summarise, write_summary

    data = read_prepared(arguments.data)
    summary = summarise(data, arguments.model, arguments.text_prefix, arguments.max_length)
    log_findings(write_summary(summary, dict(arguments.severities), arguments.output))


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    run_command(main, arguments, f"summary of {arguments.data}")
