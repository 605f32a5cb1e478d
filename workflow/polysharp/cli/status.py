"""Say how far a study is: what is complete, running, waiting and failed, and the time left.

It can be called at any time, also from another login node. Nothing is changed.
"""

import argparse
import time
from collections.abc import Iterator, Sequence

from polysharp.cli.options import add_configfile_options, command_parser, open_study
from polysharp.cli.running import run_command
from polysharp.core.terms import counted
from polysharp.results.forecast import in_words
from polysharp.results.progress import GROUPS, Progress, read_progress

COLUMNS = ("cells", "complete", "running", "waiting", "failed", "left")
SHOWN = 12  # running trainings, and reasons of failures


def parser() -> argparse.ArgumentParser:
    result = command_parser("status", __doc__)
    add_configfile_options(result)
    result.add_argument(
        "--by",
        choices=GROUPS,
        default="method",
        help="what the rows of the table stand for (default: method)",
    )
    result.add_argument(
        "--watch",
        type=float,
        nargs="?",
        const=30,
        metavar="SECONDS",
        help="say it again every so many seconds (default: 30), until the study is complete",
    )
    return result


def main(arguments: argparse.Namespace) -> None:
    from polysharp.cluster import driver
    from polysharp.core.paths import Paths
    from polysharp.results.packing import arrange_jobs

    configuration, matrix = open_study(arguments)
    while True:
        paths = Paths()
        arranged = arrange_jobs(matrix, configuration, paths)
        progress = read_progress(arranged, configuration.selection_metric, paths)
        text = "\n".join(lines(progress, arguments.by, driver.may_be_running()))
        print(f"\033[2J\033[H{text}" if arguments.watch else text, flush=True)
        if not arguments.watch or all(run.status == "complete" for run in progress.runs):
            return
        time.sleep(arguments.watch)


def lines(progress: Progress, group: str, is_running: bool) -> Iterator[str]:
    """Yield what is said about a study."""
    table = [[group.replace("_", " "), *COLUMNS]]
    for name, of_name in progress.by(group).items():
        numbers = [of_name.counts.total(), *(of_name.counts[status] for status in COLUMNS[1:-1])]
        takes = "?" if of_name.seconds_left is None else in_words(of_name.seconds_left)
        table.append([name, *map(str, numbers), takes])
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for first, *others in table:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells])
    if progress.trainings:
        yield "\nrunning:"
        for training in progress.trainings[:SHOWN]:
            yield f"  {training.cell.path} on {training.where}: {training.says}"
        if len(progress.trainings) > SHOWN:
            yield f"  and {len(progress.trainings) - SHOWN} more"
    failed: dict[str, list[str]] = {}
    for run in progress.runs:
        if run.status == "failed":
            failed.setdefault(run.reason, []).append(run.cell.path)
    if failed:
        yield "\nfailed:"
        for reason, cells in list(failed.items())[:SHOWN]:
            yield f"  {cells[0] if len(cells) == 1 else counted(len(cells), 'cell')}: {reason}"
        if len(failed) > SHOWN:
            yield f"  and {len(failed) - SHOWN} more reasons"
    left = progress.all.seconds_left
    if left is None:
        yield "\ntime left: not known yet, as nothing of some method has run"
    elif left:
        at_once = max(1, len(progress.trainings))
        yield f"\ntime left: about {in_words(left / at_once)}, with {counted(at_once, 'training')} at a time"
    else:
        yield "\nall cells are complete"
    if left != 0 and not is_running:
        yield "no run is active in this folder"


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    run_command(main, arguments, "status")
