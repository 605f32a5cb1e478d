"""Merge the reports of all cells into the tables of the study, from report.tsv to costs.tsv.

Failed and missing cells are shown as such and left out of averages. Failures are reported with their cause
and what to do, and listed in failures.tsv. If cells are failed or missing, the command exits with 1, unless
--partial is given.
"""

import argparse
import logging
from collections.abc import Sequence

from polysharp.cli.options import add_study_options, command_parser, read_study
from polysharp.cli.running import limit_threads, run_command
from polysharp.core.errors import UserError

log = logging.getLogger("polysharp.merge_reports")
MAX_LINES = 16  # about failures, so that they stay among the last twenty lines of a run


def parser() -> argparse.ArgumentParser:
    result = command_parser("merge-reports", __doc__)
    add_study_options(result)
    result.add_argument(
        "--partial", action="store_true", help="exit with 0 even if cells are failed or missing"
    )
    result.add_argument(
        "--at-work",
        action="store_true",
        help="while a run is active, treat cells that have neither results nor a reason as being trained",
    )
    return result


def main(arguments: argparse.Namespace) -> None:
    limit_threads(1)  # so that sums do not depend on the number of cores; small products are also faster
    from polysharp.cluster import driver
    from polysharp.core.paths import Paths
    from polysharp.reporting.costs import compared_with_forecast
    from polysharp.reporting.failures import find_failures, summary, write_failures
    from polysharp.reporting.tables import write_tables
    from polysharp.results.status import lines_about_untrained_cells

    configuration, matrix = read_study(arguments)
    runs = write_tables(matrix, configuration, Paths())
    failures = find_failures(runs, matrix, Paths(), arguments.at_work and driver.may_be_running())
    write_failures(failures, Paths())
    for line in summary(failures, MAX_LINES):
        log.warning("%s", line)
    for line in lines_about_untrained_cells(runs):
        log.warning("%s", line)
    for line in compared_with_forecast(runs, Paths()):
        log.info("%s", line)
    failed = [run for run in runs if run.status == "failed"]
    complete = sum(run.status == "complete" for run in runs)
    missing = len(runs) - complete - len(failed)
    log.info("cells: %d complete, %d failed, %d missing", complete, len(failed), missing)
    if complete < len(runs) and not arguments.partial:
        lines = [f"{run.cell.path}: {run.reason}" for run in runs if run.status != "complete"]
        raise UserError(*lines[:MAX_LINES])


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    run_command(main, arguments, "merge_reports")
