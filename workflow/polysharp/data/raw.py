"""The bytes of a file: decompressed and decoded, with messages about errors."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

MAX_BYTES = 2 << 30  # of a file, decompressed; labelled texts are smaller


class Unreadable(Exception):
    """Messages about a file, without its name; each may begin with a place in the file."""

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)
        self.lines = lines


def _open_zip(path: Path) -> IO[bytes]:
    archive = zipfile.ZipFile(path)
    names = [
        name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")
    ]
    if len(names) != 1:
        raise Unreadable(f"contains {len(names)} files; expected one")
    return archive.open(names[0])


OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zip": _open_zip,
}


def unpacked(path: Path) -> bytes:
    """Return the content of a file, decompressed according to its ending."""
    opener: Callable[[Path], Any] = OPENERS.get(path.suffix.lower(), lambda path: path.open("rb"))
    try:
        with opener(path) as stream:
            content: bytes = stream.read(MAX_BYTES + 1)
    except (
        OSError,
        EOFError,
        RuntimeError,
        NotImplementedError,
        zipfile.BadZipFile,
        lzma.LZMAError,
        zlib.error,
    ) as error:
        raise Unreadable(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_BYTES:
        raise Unreadable(f"more than {MAX_BYTES >> 30} GB; expected less, as labelled texts are small")
    return content


def decoded(content: bytes) -> str:
    """Return UTF-8 as text; every invalid byte becomes a lone surrogate (PEP 383)."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or 0 in content[:2]:  # also without a byte order mark
        raise Unreadable("is UTF-16; save the file as UTF-8")
    return content.decode("utf-8-sig", errors="surrogateescape")


def decoding_error(value: str) -> str | None:
    """Return a message about a text that was not UTF-8; None if it was."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        wrong = ord(value[error.start])
        if not 0xDC80 <= wrong <= 0xDCFF:
            return f"half a character (U+{wrong:04X}); expected Unicode text"
        around = value[max(0, error.start - 12) : error.start + 12]
        shown = around.encode("utf-8", errors="surrogateescape").decode(errors="replace")
        return (
            f"byte 0x{wrong - 0xDC00:02X} is not UTF-8, in {shown!r}; save the file as UTF-8 "
            "(from Excel: as 'CSV UTF-8')"
        )
    return None
