"""Cancel the Slurm jobs that an earlier run in this folder left behind when it was killed.

The workflow calls this when a run starts. Jobs of an active run are not cancelled. Trainings that are
cancelled save their state, and the new run resumes them.
"""

import argparse
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from polysharp.cli.options import command_parser
from polysharp.cli.running import run_command
from polysharp.cluster import driver, slurm
from polysharp.core.errors import UserError

log = logging.getLogger("polysharp.cancel_orphans")


def parser() -> argparse.ArgumentParser:
    result = command_parser("cancel-orphans", __doc__)
    result.add_argument(
        "--prefix",
        default="polysharp",
        help="prefix of our jobs' names: slurm-jobname-prefix of the profile (default: polysharp)",
    )
    result.add_argument(
        "--local", action="store_true", help="this run needs no Slurm: say nothing if it does not answer"
    )
    return result


def main(arguments: argparse.Namespace) -> None:
    if not slurm.available():
        return
    this = driver.own_driver() or driver.process_here(os.getppid())
    other = driver.at_work(this)
    if not driver.is_noted(this):  # the workflow's hook does this first, with its locks
        driver.start(this)
    if other:
        log.warning("another run, %s, is active in this folder; its jobs are not cancelled", other)
        return
    try:
        orphans = slurm.queued_jobs(arguments.prefix, Path.cwd())
    except UserError as error:
        if not arguments.local:
            log.warning("it is not known whether an earlier run left Slurm jobs: %s", error)
        orphans = []
    if orphans:
        slurm.cancel(orphans)
        log.warning(
            "an earlier run was killed and left %d Slurm jobs, which are cancelled: %s",
            len(orphans),
            " ".join(orphans),
        )


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    run_command(main, arguments, "cancel_orphans")
