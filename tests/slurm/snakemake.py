"""Snakemake as it is, but for how often its executor asks how jobs are.

The executor asks less and less often, ten seconds later each time, which most of a short run would wait for.
Here the intervals stay the same.
"""

import asyncio

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

SECONDS = 4  # between two questions


async def sleep(_executor: RemoteExecutor) -> None:
    await asyncio.sleep(SECONDS)


if __name__ == "__main__":
    RemoteExecutor.sleep = sleep
    main()
