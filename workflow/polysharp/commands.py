"""What every script in workflow/scripts shares: options, logging, and an honest end."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from polysharp.errors import UserError
from polysharp.files import write_text

log = logging.getLogger("polysharp")


def command_parser(description: str, **options) -> argparse.ArgumentParser:
    """Return a parser with the options that every command has: ``--log`` and ``--failure``."""
    parser = argparse.ArgumentParser(description=description, **options)
    parser.add_argument("--log", type=Path, metavar="FILE", help="also write the log to this file")
    parser.add_argument(
        "--failure",
        type=Path,
        metavar="FILE",
        help="JSON file that receives the reason when the command fails, and is removed when it starts",
    )
    return parser


def run(main: Callable[[argparse.Namespace], None], arguments: argparse.Namespace, name: str) -> None:
    """Run `main` and exit: 0 when it is done, 1 with the reason in one line when it is not.

    A :class:`UserError` is shown as its lines; anything else is a bug, whose traceback goes to the
    log. `name` stands before every line on the terminal, where several commands write at once.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    handlers[0].setFormatter(logging.Formatter(f"%(asctime)s [{name}] %(message)s", "%H:%M:%S"))
    if arguments.log:
        arguments.log.parent.mkdir(parents=True, exist_ok=True)
        file_handler = logging.FileHandler(arguments.log, mode="w", encoding="utf-8")
        file_handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        handlers.append(file_handler)
    log.handlers, log.propagate = handlers, False
    log.setLevel(logging.INFO)
    if arguments.failure:
        arguments.failure.unlink(missing_ok=True)
    try:
        main(arguments)
    except UserError as error:
        for line in error.lines:
            log.error("error: %s", line)
        reason = "; ".join(error.lines)
    except BrokenPipeError:
        # The reader of a pipe (`... | head`) has gone: nothing to report, nobody to report it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        log.exception("this is a bug in polysharp, or something that it did not foresee:")
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
    else:
        return
    if arguments.failure:
        write_text(arguments.failure, json.dumps({"reason": reason}, ensure_ascii=False) + "\n")
    sys.exit(1)
