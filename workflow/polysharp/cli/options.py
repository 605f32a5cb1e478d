"""Options that several commands share."""

import argparse
from pathlib import Path
from typing import get_args

import yaml

from polysharp.config.checks import CHECK_NAMES, Severity
from polysharp.config.defaults import explain_settings
from polysharp.config.settings import Configuration
from polysharp.config.study import Matrix, load_study
from polysharp.core.errors import nearest
from polysharp.core.terms import Kind, Metric


def command_parser(name: str, description: str | None, epilog: str | None = None) -> argparse.ArgumentParser:
    """Return a parser for the command `name`, with the options of every command."""
    parser = argparse.ArgumentParser(
        prog=f"polysharp {name}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--log", type=Path, metavar="FILE", help="also write the log to this file")
    parser.add_argument(
        "--failure",
        type=Path,
        metavar="FILE",
        help="JSON file for the reason if the command fails; removed when it starts",
    )
    return parser


def cell_parser(name: str, description: str | None, kind: Kind) -> argparse.ArgumentParser:
    """Return a parser with the options of all commands that make the results of a cell."""
    parser = command_parser(name, description, f"settings for --set key=value:\n{explain_settings(kind)}")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FOLDER", help="data set folder made by prepare-data"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder for the results")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("--threads", type=int, default=1, help="processor threads on CPU (default: 1)")
    add_metric_option(parser)
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", dest="settings", help="settings, listed below"
    )
    return parser


def add_metric_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of commands that choose by a validation score."""
    parser.add_argument(
        "--metric",
        choices=get_args(Metric),
        default="macro_f1",
        help="validation score used for choices (default: macro_f1)",
    )


def add_study_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that read the whole study."""
    parser.add_argument(
        "--config", required=True, metavar="JSON", help="the configuration, as one line of JSON or YAML"
    )
    parser.add_argument(
        "--base",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="folder to search for relative paths of the configuration; may be repeated",
    )


def read_study(arguments: argparse.Namespace) -> tuple[Configuration, Matrix]:
    """Return the configuration and matrix given by the options of :func:`add_study_options`."""
    return load_study(yaml.safe_load(arguments.config), arguments.base or [Path()])


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that use a pre-trained model."""
    parser.add_argument(
        "--model", type=Path, required=True, metavar="FOLDER", help="model folder made by prepare-model"
    )
    parser.add_argument("--text-prefix", default="", metavar="TEXT", help="put before every text")
    parser.add_argument(
        "--max-length",
        type=int,
        default=128,
        metavar="TOKENS",
        help="maximum length of texts; default: 128",
    )


def add_severity_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of commands that check data."""
    parser.add_argument(
        "--severity",
        action="append",
        default=[],
        dest="severities",
        type=_severity,
        metavar="CHECK=SEVERITY",
        help="error, warning or ignore instead of the check's own severity; may be repeated",
    )


def _severity(entry: str) -> tuple[str, str]:
    check, _, severity = entry.partition("=")
    if check not in CHECK_NAMES:
        raise argparse.ArgumentTypeError(f"{check!r}: unknown check{nearest(check, CHECK_NAMES)}")
    if severity not in get_args(Severity):
        raise argparse.ArgumentTypeError(f"{entry!r}: expected error, warning or ignore")
    return check, severity
