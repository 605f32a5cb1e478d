"""Download a data set from the hub, with one Parquet file per split."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from polysharp.cli.options import command_parser
from polysharp.cli.running import run_command
from polysharp.config.sources import HubSource, parse_hub
from polysharp.core.errors import UserError


def parser() -> argparse.ArgumentParser:
    result = command_parser("fetch-data", __doc__)
    result.add_argument(
        "--source",
        required=True,
        type=_source,
        metavar="HUB",
        help="hub:org/name, hub:org/name@revision, or hub:org/name@revision#configuration",
    )
    result.add_argument("--output", required=True, type=Path, metavar="FOLDER", help="the folder to write")
    return result


def _source(text: str) -> HubSource:
    try:
        return parse_hub(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main(arguments: argparse.Namespace) -> None:
    # huggingface_hub and datasets, which are imported below, read these variables.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    from polysharp.data.hub_data import fetch_data

    fetch_data(arguments.source, arguments.output)


def run(argv: Sequence[str]) -> None:
    arguments = parser().parse_args(argv)
    run_command(main, arguments, "fetch_data")
