"""Errors that a user can fix, and helpers for their messages."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class UserError(Exception):
    """Mistakes in the input, the configuration or the environment, one line each.

    Commands print the lines as they are, without a traceback, and exit with 1.
    """

    failure_class = "input"  # polysharp.reporting.failures has a remedy for each class

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class OutOfMemory(UserError):
    """Even the smallest piece of the work does not fit into memory."""

    failure_class = "memory"


class NoGpu(UserError):
    """There is a GPU, but torch cannot use it."""

    failure_class = "gpu"


class NotFinite(UserError):
    """A loss, a gradient or a score is infinite or not a number."""

    failure_class = "nan"


class Interrupted(Exception):
    """The work was asked to stop and has saved its state: it is neither complete nor failed."""


def nearest(name: object, valid: Iterable[object]) -> str:
    """Return ``"; did you mean 'x'?"`` for the valid name closest to `name`, or nothing."""
    matches = get_close_matches(str(name), [str(candidate) for candidate in valid], n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that is not empty, or the name of its class."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def list_some(names: Sequence[str]) -> str:
    """Return the first twenty names, and how many more there are."""
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
