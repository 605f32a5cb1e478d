"""Draw comparison.tsv: a point with its interval for every data set and method."""

import argparse
from pathlib import Path

from polysharp.commands import command_parser, run


def parser() -> argparse.ArgumentParser:
    result = command_parser(__doc__)
    result.add_argument("--table", type=Path, required=True, metavar="FILE", help="comparison.tsv")
    result.add_argument("--output", type=Path, required=True, metavar="FILE", help="PNG file")
    return result


def main(arguments: argparse.Namespace) -> None:
    from polysharp.figures import draw_comparison

    draw_comparison(arguments.table, arguments.output)


if __name__ == "__main__":
    arguments = parser().parse_args()
    run(main, arguments, "plot_comparison")
