"""Errors that a user can mend, and the help that goes with them."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class UserError(Exception):
    """Mistakes in the input, the configuration or the surroundings, one line each.

    Commands print the lines as they are, without a traceback, and exit with 1.
    """

    failure_class = "input"  # as polysharp.reporting.failures has remedies for

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class OutOfMemory(UserError):
    """Not even the smallest piece of the work fits the memory."""

    failure_class = "memory"


class NoGpu(UserError):
    """A GPU was given that torch cannot use."""

    failure_class = "gpu"


class NotFinite(UserError):
    """A loss, a gradient or a score is infinite or not a number."""

    failure_class = "nan"


class Interrupted(Exception):
    """Work that was asked to stop, and has saved where it was: it is not complete, and it did not fail."""


def nearest(name: object, valid: Iterable[object]) -> str:
    """Return ``"; did you mean 'x'?"`` for the valid name closest to `name`, or nothing."""
    matches = get_close_matches(str(name), [str(candidate) for candidate in valid], n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says that says anything, or the error's name."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def list_some(names: Sequence[str]) -> str:
    """Return the first twenty names, and how many more there are."""
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
