"""Damaged files for every reader: each ends in data, or in one clear error.

    python -m tests.fuzz --number 20000

Every case is decided by its number, so that one that fails can be looked at: ``--first 4711 --number 1``.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import io
import json
import lzma
import random
import signal
import sys
import tempfile
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import polars as pl

from polysharp.config.sample_sheet import read_datasets
from polysharp.config.settings import Configuration
from polysharp.config.sources import Source
from polysharp.core.errors import UserError
from polysharp.data.examples import read_examples

SECONDS = 20  # after which a reader is said to hang
TEXTS = ["a cat, a dog", 'läs "den" här', "学校 и дом", "=1+1", "line\nbreak", "x" * 200]
LABELS = ["left", "right", "left", "", "ünten", "right"]
SHEET = "task\tlanguage\tlabel_type\tsource\nmain\tgerman\tsingle\tdata.csv\n"
TOKENS = [
    *(b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b'"', b"'", b"\\", b"\n", b"\r\n", b"\t", b",", b";"),
    *(b"[", b"]", b"{", b"}", b"null", b"NaN", b"1e999", b"-1", b"\\ud800", b"=1+1", b"Text", b"Labels"),
    *(b"[" * 3000, b"9" * 5000),
]


@cache
def good_files() -> dict[str, bytes]:
    """Return a good file of every format, by its ending."""
    table = {"Text": TEXTS, "Labels": LABELS}
    frame = pl.DataFrame(table)
    records = [dict(zip(table, row, strict=True)) for row in zip(TEXTS, LABELS, strict=True)]
    workbook, parquet, packed = io.BytesIO(), io.BytesIO(), io.BytesIO()
    frame.write_excel(workbook)
    frame.write_parquet(parquet)
    csv = frame.write_csv().encode()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.csv", csv)
    return {
        ".json": json.dumps(table, ensure_ascii=False).encode(),
        ".list.json": json.dumps(records).encode(),
        ".jsonl": "\n".join(map(json.dumps, records)).encode(),
        ".csv": csv,
        ".tsv": frame.write_csv(separator="\t").encode(),
        ".xlsx": workbook.getvalue(),
        ".parquet": parquet.getvalue(),
        ".csv.gz": gzip.compress(csv, mtime=0),
        ".csv.bz2": bz2.compress(csv),
        ".csv.xz": lzma.compress(csv),
        ".csv.zip": packed.getvalue(),
        ".sheet.tsv": SHEET.encode(),
    }


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Return a file with up to eight kinds of damage in it."""
    result = bytearray(content)
    for _ in range(draw.choice([1, 1, 1, 2, 3, 8])):
        at = draw.randint(0, len(result))
        length = draw.choice([1, 1, 2, 8, 64])
        kind = draw.choice(["flip", "cut", "drop", "repeat", "token", "noise"])
        if kind == "flip" and at < len(result):
            result[at] ^= 1 << draw.randrange(8)
        elif kind == "cut":
            del result[at:]
        elif kind == "drop":
            del result[at : at + length]
        elif kind == "repeat":
            result[at:at] = result[at : at + length] * draw.choice([1, 2, 50])
        elif kind == "token":
            result[at:at] = draw.choice(TOKENS)
        else:
            result[at : at + length] = draw.randbytes(length)
    return bytes(result)


def outcome(number: int, folder: Path) -> tuple[str, str]:
    """Return the format of a case, and whether it ended as ``data`` or as ``error``.

    Raises whatever is neither.
    """
    draw = random.Random(number)
    ending = draw.choice(sorted(good_files()))
    file = folder / f"data{ending}"
    file.write_bytes(damaged(good_files()[ending], draw))
    label_type: Any = draw.choice(["single", "multi"])
    read: Callable[[], object]
    if ending == ".sheet.tsv":
        (folder / "data.csv").write_bytes(good_files()[".csv"])
        read = lambda: read_datasets(file, Configuration(), [folder])  # noqa: E731
    else:
        source = Source(str(file), splits=("80%", "10%", "10%"))
        read = lambda: read_examples(source, label_type)  # noqa: E731
    try:
        with no_hang(number):
            read()
    except UserError as error:
        assert error.lines and all(line.strip() and "\n" not in line for line in error.lines), error.lines
        assert all(str(file) in line or line.startswith("and ") for line in error.lines), error.lines
        return ending, "error"
    return ending, "data"


@contextmanager
def no_hang(number: int):
    """Raise in a case that takes too long."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"case {number} takes more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def main(outcome: Callable[[int, Path], tuple[str, str]], description: str | None, case_name: str) -> int:
    """Go through the cases that the command line asks for, and say what became of them.

    Parameters
    ----------
    outcome
        Returns of a case, by its number and in a folder, its kind and how it ended; raises where the case
        ended as none may.

    Returns
    -------
    int
        The exit status: 0 when none raised.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--number", type=int, default=1000, help="of cases; default: 1000")
    parser.add_argument("--first", type=int, default=0, help="number of the first case; default: 0")
    arguments = parser.parse_args()
    started = time.monotonic()
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for case in range(arguments.first, arguments.first + arguments.number):
            try:
                kind, end = outcome(case, Path(folder))
                counts[kind][end] += 1
            except Exception as error:
                failed.append(case)
                print(f"{case_name} {case}: {type(error).__name__}: {error}", file=sys.stderr)
            if sys.stderr.isatty() and case % 100 == 0:
                print(f"{case - arguments.first} of {arguments.number}", end="\r", file=sys.stderr)
    for kind, ends in sorted(counts.items()):
        print(f"{kind}: {', '.join(f'{count} {end}' for end, count in sorted(ends.items()))}")
    took = time.monotonic() - started
    print(f"{arguments.number} {case_name}s, {len(failed)} of them neither, {took:.0f} s")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(outcome, __doc__, "case"))
