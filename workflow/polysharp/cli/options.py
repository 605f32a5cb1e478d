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
    """Return a parser of the command `name` with the options that every command has."""
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
        help="JSON file that receives the reason when the command fails, and is removed when it starts",
    )
    return parser


def cell_parser(name: str, description: str | None, kind: Kind) -> argparse.ArgumentParser:
    """Return a parser with the options of every command that makes the results of a cell."""
    parser = command_parser(name, description, f"settings for --set key=value:\n{explain_settings(kind)}")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FOLDER", help="data set as prepare-data left it"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where the results go")
    parser.add_argument("--seed", type=int, default=0, help="seed of all that is random (default: 0)")
    parser.add_argument("--threads", type=int, default=1, help="processor threads on CPU (default: 1)")
    add_metric_option(parser)
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", dest="settings", help="settings, listed below"
    )
    return parser


def add_metric_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of commands that choose by validation."""
    parser.add_argument(
        "--metric",
        choices=get_args(Metric),
        default="macro_f1",
        help="score on validation that decides (default: macro_f1)",
    )


def add_study_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that look at the whole study."""
    parser.add_argument(
        "--config", required=True, metavar="JSON", help="the configuration, as one line of JSON or YAML"
    )
    parser.add_argument(
        "--base",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="folder in which relative paths of the configuration are looked for; may be repeated",
    )


def read_study(arguments: argparse.Namespace) -> tuple[Configuration, Matrix]:
    """Return configuration and matrix of the options of :func:`add_study_options`."""
    return load_study(yaml.safe_load(arguments.config), arguments.base or [Path()])


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that compute with a pre-trained model."""
    parser.add_argument(
        "--model", type=Path, required=True, metavar="FOLDER", help="model as prepare-model left it"
    )
    parser.add_argument("--text-prefix", default="", metavar="TEXT", help="put before every text")
    parser.add_argument("--max-length", type=int, default=128, metavar="TOKENS", help="default: 128")


def add_severity_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of commands that check data."""
    parser.add_argument(
        "--severity",
        action="append",
        default=[],
        dest="severities",
        type=_severity,
        metavar="CHECK=SEVERITY",
        help="error, warning or ignore, in place of a check's own; may be repeated",
    )


def _severity(entry: str) -> tuple[str, str]:
    check, _, severity = entry.partition("=")
    if check not in CHECK_NAMES:
        raise argparse.ArgumentTypeError(f"{check!r}: no such check{nearest(check, CHECK_NAMES)}")
    if severity not in get_args(Severity):
        raise argparse.ArgumentTypeError(f"{entry!r}: expected error, warning or ignore")
    return check, severity
