"""Files that are written atomically: complete or not at all."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def expanded(name: str) -> Path:
    """Return the path of a name, with ``~`` replaced by the home folder."""
    try:
        return Path(name).expanduser()
    except RuntimeError:  # ~name of an unknown user: a name like any other
        return Path(name)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a staging path beside `path`; if the block succeeds, it replaces `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.name}.{os.getpid()}.staging")
    try:
        yield staging
        _keep(staging)
        os.replace(staging, path)
        _keep(path.parent)
    finally:
        staging.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty staging folder beside `path`; if the block succeeds, it replaces `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.name}.{os.getpid()}.staging")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        yield staging
        for file in staging.rglob("*"):
            if file.is_file():
                file.chmod(0o666 & ~_umask())  # safetensors writes 0600, which colleagues cannot read
            _keep(file)
        _keep(staging)
        if path.exists():
            shutil.rmtree(path)
        os.replace(staging, path)
        _keep(path.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def remove_staging(folder: Path) -> None:
    """Remove the staging files in `folder` that killed processes have left."""
    for left in folder.glob(".*.staging"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)


def _keep(path: Path) -> None:
    """Write a file, or the names in a folder, to the disk (fsync), so that they survive a crash."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # some file systems support it only for files
            raise
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8 with Unix line ends, atomically."""
    with replacing(path) as staging:
        staging.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: Any) -> None:
    """Write `content` to `path` as indented JSON, atomically. NaN is refused."""
    write_text(path, json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the content of the JSON file at `path`."""
    return json.loads(path.read_text(encoding="utf-8"))


def sha256(*paths: Path) -> str:
    """Return the SHA-256 of the files' contents, one after the other, as a hexadecimal string."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
