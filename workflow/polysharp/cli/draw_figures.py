"""Draw tables of a study as figures: PNG, and PDF for papers."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from polysharp.cli.options import command_parser
from polysharp.cli.running import run_command

FIGURES = ("comparison", "curves")


def parser() -> argparse.ArgumentParser:
    result = command_parser("draw-figures", __doc__)
    result.add_argument("--figures", nargs="+", required=True, choices=FIGURES, help="tables to draw")
    result.add_argument(
        "--results", type=Path, required=True, metavar="FOLDER", help="folder of tables and figures"
    )
    return result


def main(arguments: argparse.Namespace) -> None:
    from polysharp.reporting.figures import draw_comparison, draw_curves

    for name in arguments.figures:
        {"comparison": draw_comparison, "curves": draw_curves}[name](arguments.results)


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    run_command(main, arguments, "draw_figures")
