"""Merge the reports of all cells into report.tsv, comparison.tsv, runs.tsv and costs.tsv.

Cells that are failed or missing are shown as such; nothing is averaged over them.
"""

import argparse
import logging

from polysharp.commands import add_study_options, command_parser, read_study, run

log = logging.getLogger("polysharp.merge_reports")
MAX_LINES = 20  # failed cells that are named; runs.tsv has them all


def parser() -> argparse.ArgumentParser:
    result = command_parser(__doc__)
    add_study_options(result)
    return result


def main(arguments: argparse.Namespace) -> None:
    from polysharp.runs import Paths
    from polysharp.tables import write_tables

    configuration, matrix = read_study(arguments)
    runs = write_tables(matrix, configuration, Paths())
    failed = [run for run in runs if run.status == "failed"]
    for one in failed[:MAX_LINES]:
        log.warning("failed: %s: %s", one.cell.path, one.reason)
    complete = sum(run.status == "complete" for run in runs)
    missing = len(runs) - complete - len(failed)
    log.info("cells: %d complete, %d failed, %d missing", complete, len(failed), missing)


if __name__ == "__main__":
    arguments = parser().parse_args()
    run(main, arguments, "merge_reports")
