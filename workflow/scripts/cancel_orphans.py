"""Cancel the Slurm jobs that an earlier run in this folder left behind when it was killed.

Snakemake calls it when a run starts, and holds the lock of the folder then, so no other run can own them.
Trainings that are cancelled save where they are, and the run that starts goes on from there.
"""

import argparse
import logging
from pathlib import Path

from polysharp import slurm
from polysharp.commands import command_parser, run
from polysharp.errors import UserError

log = logging.getLogger("polysharp.cancel_orphans")


def parser() -> argparse.ArgumentParser:
    result = command_parser(__doc__)
    result.add_argument(
        "--prefix",
        default="polysharp",
        help="how the names of our jobs begin: slurm-jobname-prefix of the profile (default: polysharp)",
    )
    return result


def main(arguments: argparse.Namespace) -> None:
    if not slurm.available():
        return
    try:
        orphans = slurm.queued(arguments.prefix, Path.cwd())
    except UserError as error:  # a run on this machine alone needs no Slurm
        log.warning("Slurm does not say whether an earlier run left jobs: %s", error)
        return
    if orphans:
        slurm.cancel(orphans)
        log.warning(
            "an earlier run was killed and left %d Slurm jobs, which are cancelled: %s",
            len(orphans),
            " ".join(orphans),
        )


if __name__ == "__main__":
    arguments = parser().parse_args()
    run(main, arguments, "cancel_orphans")
