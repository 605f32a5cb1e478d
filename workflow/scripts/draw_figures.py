"""Draw tables of a study for eyes, as PNG and, for papers, as PDF."""

import argparse
from pathlib import Path

from polysharp.commands import command_parser, run

FIGURES = ("comparison", "curves")


def parser() -> argparse.ArgumentParser:
    result = command_parser(__doc__)
    result.add_argument("--figures", nargs="+", required=True, choices=FIGURES, help="tables to draw")
    result.add_argument(
        "--results", type=Path, required=True, metavar="FOLDER", help="where tables are, and figures go"
    )
    return result


def main(arguments: argparse.Namespace) -> None:
    from polysharp.figures import draw_comparison, draw_curves

    for name in arguments.figures:
        {"comparison": draw_comparison, "curves": draw_curves}[name](arguments.results)


if __name__ == "__main__":
    arguments = parser().parse_args()
    run(main, arguments, "draw_figures")
