"""Say what a study will take before it is started: cells, jobs, hours, disk.

Hours are estimated from cells that have run in this folder before. If there are none, run one cell first:
snakemake -c1 results/runs/<task>/<language>/<label_type>/<method>/seed-<n>/job.json
"""

import argparse
from collections.abc import Sequence

from polysharp.cli.options import add_configfile_options, command_parser, open_study
from polysharp.cli.running import run_command


def parser() -> argparse.ArgumentParser:
    result = command_parser("plan", __doc__)
    add_configfile_options(result)
    return result


def main(arguments: argparse.Namespace) -> None:
    from polysharp.core.paths import Paths
    from polysharp.results.packing import arrange_jobs
    from polysharp.results.plan import lines, make_plan

    configuration, matrix = open_study(arguments)
    matrix = arrange_jobs(matrix, configuration, Paths(), new_run=True)
    plan = make_plan(matrix, configuration.selection_metric, Paths())
    print("\n".join(lines(plan, configuration.in_one_job)))


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    run_command(main, arguments, "plan")
