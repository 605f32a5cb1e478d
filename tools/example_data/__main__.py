"""Build the embedded example data: labelled package descriptions from the Debian archive."""

import argparse
import tempfile
from pathlib import Path

from polysharp.cli.options import command_parser
from polysharp.cli.running import run_command
from tools.example_data.debian import (
    LABEL_TYPES,
    LANGUAGES,
    SHARES,
    build,
    fetch_lists,
    find_lists,
    language_code,
)


def parser() -> argparse.ArgumentParser:
    """Return the options of the command."""
    options = command_parser("example-data", __doc__, f"Languages: {', '.join(LANGUAGES)}.")
    options.prog = "python -m tools.example_data"
    add = options.add_argument
    add("--output", type=Path, required=True, metavar="FOLDER", help="where <language>/<label type>/ go")
    add("--languages", nargs="+", default=["english", "german", "french"], metavar="NAME", help="see below")
    add("--label-types", nargs="+", choices=LABEL_TYPES, default=list(LABEL_TYPES))
    add("--sizes", nargs=3, type=_size, default=[200, 100, 150], metavar=("TRAIN", "VAL", "TEST"))
    add("--release", metavar="CODENAME", help="the Debian release, needed when apt has several")
    source = options.add_mutually_exclusive_group()
    source.add_argument(
        "--lists", type=Path, metavar="FOLDER", help="use apt's decompressed lists in this folder"
    )
    source.add_argument("--apt-folder", type=Path, metavar="FOLDER", help="download here and keep the lists")
    return options


def _size(text: str) -> int:
    size = int(text)
    if size < 1:
        raise argparse.ArgumentTypeError("at least 1 text")
    return size


def main(arguments: argparse.Namespace) -> None:
    """Find or fetch the lists, then build."""
    for language in arguments.languages:
        language_code(language)  # a wrong name is said before anything is downloaded
    if arguments.lists:
        _build(arguments, arguments.lists)
    elif arguments.apt_folder:
        _build(arguments, fetch_lists(arguments.apt_folder, arguments.languages))
    else:
        with tempfile.TemporaryDirectory(prefix="polysharp-apt-") as folder:
            Path(folder).chmod(0o755)  # apt downloads as a user of its own when root calls it
            _build(arguments, fetch_lists(Path(folder), arguments.languages))


def _build(arguments: argparse.Namespace, folder: Path) -> None:
    lists = find_lists(folder, arguments.languages, arguments.release)
    sizes = dict(zip(SHARES, arguments.sizes, strict=True))
    build(lists, arguments.output, arguments.languages, arguments.label_types, sizes)


if __name__ == "__main__":
    run_command(main, parser().parse_args(), "example data")
