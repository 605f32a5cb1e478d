"""Cancel the Slurm jobs that an earlier run in this folder left behind when it was killed.

The workflow calls it when a run starts. Where another run is still at work, its jobs are its own, and
all are left alone. Trainings that are cancelled save where they are, and the run that starts goes on
from there.
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
        help="how the names of our jobs begin: slurm-jobname-prefix of the profile (default: polysharp)",
    )
    result.add_argument(
        "--local", action="store_true", help="this run needs no Slurm: say nothing where it does not answer"
    )
    return result


def main(arguments: argparse.Namespace) -> None:
    if not slurm.available():
        return
    this = driver.own_driver() or driver.process_here(os.getppid())
    other = driver.at_work(this)
    if not driver.is_noted(this):  # the workflow's own hook has done it, and knows its locks
        driver.start(this)
    if other:
        log.warning("another run, %s, is at work in this folder; its jobs are left alone", other)
        return
    try:
        orphans = slurm.queued_jobs(arguments.prefix, Path.cwd())
    except UserError as error:
        if not arguments.local:
            log.warning("Slurm does not say whether an earlier run left jobs: %s", error)
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
