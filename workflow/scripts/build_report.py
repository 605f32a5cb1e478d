"""Build report.html from the tables of a study: one file, for eyes, that works offline and from a mail."""

import argparse
from pathlib import Path

from polysharp.commands import add_study_options, command_parser, read_study, run


def parser() -> argparse.ArgumentParser:
    result = command_parser(__doc__)
    add_study_options(result)
    result.add_argument("--output", type=Path, required=True, metavar="FILE")
    return result


def main(arguments: argparse.Namespace) -> None:
    from polysharp.paths import Paths
    from polysharp.report import write_report

    configuration, _ = read_study(arguments)
    write_report(configuration, Paths(), arguments.output)


if __name__ == "__main__":
    arguments = parser().parse_args()
    run(main, arguments, "build_report")
