"""Options that several commands share."""

import argparse
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import yaml

from polysharp.config.checks import CHECK_NAMES, Severity
from polysharp.config.defaults import explain_settings
from polysharp.config.jobs import PACKED
from polysharp.config.settings import Configuration
from polysharp.config.study import Matrix, load_study
from polysharp.core.errors import UserError, nearest
from polysharp.core.terms import Kind, Metric

ROOT = Path(__file__).resolve().parents[3]  # of the repository


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
    if kind in PACKED:
        _add_cells_options(parser)
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("--threads", type=int, default=1, help="processor threads on CPU (default: 1)")
    add_metric_option(parser)
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", dest="settings", help="settings, listed below"
    )
    return parser


def _add_cells_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that can make the results of several cells."""
    parser.add_argument(
        "--cells",
        nargs="+",
        metavar="PATH",
        help="several cells, as task/language/label_type/method/seed-n, not --seed: in folders, {cell} "
        "stands for this path, and {dataset} for task/language/label_type. If a cell fails, the others are "
        "still made",
    )
    parser.add_argument(
        "--receipt",
        type=Path,
        metavar="FILE",
        help="file to write when all cells are complete, with the SHA-256 of their reports",
    )


@dataclass(frozen=True)
class Place:
    """A cell that a command makes: its name in messages, its seed, and the options with their folders."""

    name: str
    seed: int
    _cell: str | None

    def folder(self, given: Path) -> Path:
        """Return the folder of this cell that an option gives."""
        if self._cell is None:
            return given
        dataset = self._cell.rsplit("/", 2)[0]
        return Path(str(given).replace("{cell}", self._cell).replace("{dataset}", dataset))


def places(arguments: argparse.Namespace) -> list[Place]:
    """Return the cells that a command is to make.

    Raises
    ------
    UserError
        When several cells would share a folder, or a path is not that of a cell.
    """
    if not arguments.cells:
        return [Place(str(arguments.output), arguments.seed, None)]
    found = []
    for cell in arguments.cells:
        match = re.fullmatch(r"(?:[\w-]+/){4}seed-(\d+)", cell)
        if match is None:
            raise UserError(f"--cells {cell}: expected task/language/label_type/method/seed-n")
        found.append(Place(cell, int(match[1]), cell))
    for name in ("output", "work"):
        given = str(getattr(arguments, name, "{cell}"))
        if len(found) > 1 and "{cell}" not in given:
            raise UserError(f"--{name} {given}: expected {{cell}} in it, with several cells")
    return found


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
    from polysharp.core.paths import Paths
    from polysharp.results.packing import arrange_jobs

    configuration, matrix = load_study(yaml.safe_load(arguments.config), arguments.base or [Path()])
    return configuration, arrange_jobs(matrix, configuration, Paths())


def add_configfile_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that a user gives for a study, as to snakemake."""
    parser.add_argument(
        "--configfile",
        type=Path,
        default=Path("config/config.yaml"),
        metavar="FILE",
        help="the study (default: config/config.yaml)",
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path(),
        metavar="FOLDER",
        help="where the study runs, as given to snakemake (default: here)",
    )


def open_study(arguments: argparse.Namespace) -> tuple[Configuration, Matrix]:
    """Change to the folder of a study, and return its configuration and matrix.

    Raises
    ------
    UserError
        When the configuration or the folder cannot be read.
    """
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
    return load_study(content, [Path(), ROOT], [configfile])


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
