"""Examine this Slurm cluster, say what does not fit and how to fix it, and write a profile for it.

Run this on the login node, in the folder where the study will run. Nothing is submitted: Slurm is only
asked whether it would accept the jobs. The profile is written to profiles/here, unless --output says
otherwise. Use it with: snakemake --profile profiles/here
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import yaml

from polysharp.cli.options import command_parser
from polysharp.cli.running import run_command
from polysharp.cluster.doctor import Choice, examine
from polysharp.cluster.examination import Observation, examine_models
from polysharp.cluster.profile import render_profile
from polysharp.core.errors import UserError
from polysharp.core.files import write_text

log = logging.getLogger("polysharp.cluster.doctor")
PROFILE = "config.yaml"


def parser() -> argparse.ArgumentParser:
    result = command_parser("doctor", __doc__)
    add = result.add_argument
    add("--gpu-partition", metavar="NAME", help="default: the one with the most GPUs")
    add("--cpu-partition", metavar="NAME", help="default: the default one, if it has no GPUs")
    add("--gpu-kind", metavar="KIND", help="such as a100; default: the most common one")
    add("--account", metavar="NAME", help="default: your default account")
    add("--qos", metavar="NAME", help="quality of service, if your cluster requires one")
    add("--constraint", metavar="FEATURE", help="feature that a node must have")
    add(
        "--configfile",
        type=Path,
        default=Path("config/config.yaml"),
        metavar="FILE",
        help="the study whose models are checked (default: config/config.yaml)",
    )
    add(
        "--output",
        type=Path,
        default=Path("profiles/here"),
        metavar="FOLDER",
        help="where the profile goes; an existing one is replaced (default: profiles/here)",
    )
    return result


def main(arguments: argparse.Namespace) -> None:
    choice = Choice(**{one.name: getattr(arguments, one.name) for one in fields(Choice)})
    result = examine(choice, Path.cwd())
    found = [*result.findings, *_models(arguments.configfile)]
    for finding in found:
        print(f"{finding.level:5}  {finding.text}")
    if result.settings:
        write_text(arguments.output / PROFILE, render_profile(result.settings))
        print(
            f"\nThe profile is written: snakemake --profile {arguments.output} -n shows what it would submit."
        )
    wrong = [finding for finding in found if finding.level == "wrong"]
    if wrong:
        print(f"{len(wrong)} of the findings above are wrong and have to be fixed first.")
        sys.exit(1)


def _models(configfile: Path) -> list[Observation]:
    try:
        return examine_models(yaml.safe_load(configfile.read_text(encoding="utf-8")) or {}, Path("models"))
    except (OSError, UserError, yaml.YAMLError) as error:
        return [Observation("look", f"{configfile}: its models could not be checked: {error}")]


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    run_command(main, arguments, "doctor")
