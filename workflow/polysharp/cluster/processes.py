"""Whether a recorded process is still alive, as far as this machine can know."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def describe(number: int) -> dict[str, Any]:
    """Return what identifies a process on this machine uniquely, at any time.

    Process numbers are reused, every machine and every container has its own, and host names are not
    unique. So the result has host and number, the machine's id, the boot, the process namespace, and the
    start of the process in ticks since the boot. What the system does not provide is empty.
    """
    return {
        "host": platform.node(),
        "process": number,
        "machine": _first_line(Path("/etc/machine-id")),
        "boot": _first_line(Path("/proc/sys/kernel/random/boot_id")),
        "namespace": _namespace(),
        "started": _state(number)[1],
    }


def lives(described: Mapping[str, Any]) -> bool | None:
    """Return whether a process that :func:`describe` described is alive; None if that is not known.

    It is not known for processes on other machines and in other containers.
    """
    number = described["process"]
    here = describe(number)
    if described["host"] != here["host"] or not described.get("boot"):
        return None
    if described["boot"] != here["boot"]:  # restarted since, if it is the same machine
        return False if here["machine"] and described["machine"] == here["machine"] else None
    if not here["namespace"] or described["namespace"] != here["namespace"]:
        return None
    if not here["started"] and exists(number):
        return None  # hidden, as processes of other users can be
    return bool(here["started"] == described["started"] and _state(number)[0] not in ("Z", "X", ""))


def exists(number: int) -> bool:
    """Whether a process with this number exists on this machine, whichever user owns it."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _state(number: int) -> tuple[str, str]:
    """Return the state of a process, and when it started; empty if there is none, or it is hidden."""
    try:
        # The name before the state, in brackets, may contain anything.
        fields = Path(f"/proc/{number}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return "", ""
    return fields[0], fields[19]


def _first_line(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
