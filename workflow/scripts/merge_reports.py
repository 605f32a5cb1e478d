"""Merge the reports of all cells into report.tsv, comparison.tsv, runs.tsv and costs.tsv.

Cells that are failed or missing are shown as such; nothing is averaged over them.
"""

import argparse
import logging

from polysharp.commands import add_study_options, command_parser, read_study, run

log = logging.getLogger("polysharp.merge_reports")


def parser() -> argparse.ArgumentParser:
    result = command_parser(__doc__)
    add_study_options(result)
    return result


def main(arguments: argparse.Namespace) -> None:
    from polysharp.runs import Paths
    from polysharp.tables import write_tables

    configuration, matrix = read_study(arguments)
    runs = write_tables(matrix, configuration, Paths())
    incomplete = [run for run in runs if run.status != "complete"]
    for cell in incomplete[:20]:
        log.warning("%s %s: %s", cell.status, cell.cell.path, cell.reason)
    log.info("%d of %d cells are complete; see results/report.tsv", len(runs) - len(incomplete), len(runs))


if __name__ == "__main__":
    arguments = parser().parse_args()
    run(main, arguments, "merge_reports")
