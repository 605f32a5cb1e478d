"""Say what a study will take before it is started: cells, jobs, hours, disk.

Hours are estimated from cells that have run in this folder before. If there are none, run one cell first:
snakemake -c1 results/runs/<task>/<language>/<label_type>/<method>/seed-<n>/job.json
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import yaml

from polysharp.cli.options import command_parser
from polysharp.cli.running import run_command
from polysharp.config.study import load_study
from polysharp.core.errors import UserError

ROOT = Path(__file__).resolve().parents[3]


def parser() -> argparse.ArgumentParser:
    result = command_parser("plan", __doc__)
    result.add_argument(
        "--configfile",
        type=Path,
        default=Path("config/config.yaml"),
        metavar="FILE",
        help="the study (default: config/config.yaml)",
    )
    result.add_argument(
        "--directory",
        type=Path,
        default=Path(),
        metavar="FOLDER",
        help="where the study runs, as given to snakemake (default: here)",
    )
    return result


def main(arguments: argparse.Namespace) -> None:
    from polysharp.core.paths import Paths
    from polysharp.results.packing import arrange_jobs
    from polysharp.results.plan import lines, make_plan

    try:
        content = yaml.safe_load(arguments.configfile.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise UserError(f"{arguments.configfile}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{arguments.configfile}: cannot be read: {' '.join(str(error).split())}") from None
    if not arguments.directory.is_dir():
        raise UserError(f"--directory {arguments.directory}: no such folder")
    configfile = str(arguments.configfile.absolute())
    os.chdir(arguments.directory)
    configuration, matrix = load_study(content, [Path(), ROOT], [configfile])
    matrix = arrange_jobs(matrix, configuration, Paths(), new_run=True)
    plan = make_plan(matrix, configuration.selection_metric, Paths())
    print("\n".join(lines(plan, configuration.in_one_job)))


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    run_command(main, arguments, "plan")
