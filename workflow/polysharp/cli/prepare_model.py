"""Convert a model from the hub, a folder or a package into a local Hugging Face folder."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from polysharp.cli.options import command_parser
from polysharp.cli.running import run_command


def parser() -> argparse.ArgumentParser:
    options = command_parser("prepare-model", __doc__)
    options.add_argument(
        "--name",
        required=True,
        metavar="MODEL",
        help="package:<package with weights>, a local folder, or a hub id (org/name)",
    )
    options.add_argument(
        "--revision",
        metavar="REVISION",
        help="hub branch, tag or commit, or the required version of the package; default: the current one",
    )
    options.add_argument("--output", required=True, type=Path, metavar="FOLDER", help="the folder to write")
    return options


def main(arguments: argparse.Namespace) -> None:
    # huggingface_hub, which is imported below, reads these variables.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from polysharp.models.prepare import prepare_model

    prepare_model(arguments.name, arguments.revision, arguments.output)


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    run_command(main, arguments, "prepare_model")
