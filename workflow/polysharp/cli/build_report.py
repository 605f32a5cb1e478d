"""Build report.html from the tables of a study: one file that works offline and as an attachment."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from polysharp.cli.options import add_study_options, command_parser, read_study
from polysharp.cli.running import run_command


def parser() -> argparse.ArgumentParser:
    result = command_parser("build-report", __doc__)
    add_study_options(result)
    result.add_argument("--output", type=Path, required=True, metavar="FILE")
    return result


def main(arguments: argparse.Namespace) -> None:
    from polysharp.core.paths import Paths
    from polysharp.reporting.report import write_report

    configuration, _ = read_study(arguments)
    write_report(configuration, Paths(), arguments.output)


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    run_command(main, arguments, "build_report")
