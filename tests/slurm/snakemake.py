"""Snakemake as it is, but for two things that most of a short run would wait for.

Its executor asks less and less often how jobs are, ten seconds later each time: here the intervals stay the
same. The commands of local rules are forked from the server of tests.warm; those of Slurm jobs are not.
"""

import asyncio
import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

from tests import warm

SECONDS = 4  # between two questions


async def sleep(_executor: RemoteExecutor) -> None:
    await asyncio.sleep(SECONDS)


if __name__ == "__main__":
    RemoteExecutor.sleep = sleep
    sys.executable = warm.python()  # whose folder the workflow puts first in the PATH
    main()
