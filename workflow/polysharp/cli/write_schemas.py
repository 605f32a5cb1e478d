"""Generate the schema and defaults of the configuration, the Slurm profile, and docs/tables.md."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from polysharp.cli.options import command_parser
from polysharp.cli.running import run_command
from polysharp.cluster.profile import PUBLISHED, render_profile
from polysharp.config.defaults import commented_defaults
from polysharp.config.settings import Configuration
from polysharp.core.columns import data_dictionary
from polysharp.core.files import write_text


def parser() -> argparse.ArgumentParser:
    result = command_parser("write-schemas", __doc__)
    result.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    result.add_argument("--profile", type=Path, required=True, metavar="FOLDER")
    result.add_argument("--tables", type=Path, required=True, metavar="FILE")
    return result


def main(arguments: argparse.Namespace) -> None:
    schema = json.dumps(Configuration.model_json_schema(), indent=2) + "\n"
    write_text(arguments.output / "config.schema.json", schema)
    write_text(arguments.output / "defaults.yaml", commented_defaults())
    write_text(arguments.profile / "config.yaml", render_profile(PUBLISHED))
    write_text(arguments.tables, data_dictionary())


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    run_command(main, arguments, "write_schemas")
