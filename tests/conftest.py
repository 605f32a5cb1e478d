"""Tiny models and small data sets that many tests share, and how tests are run: docs/development.md."""

import fcntl
import json
import os
import random
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests import warm

if TYPE_CHECKING:
    from accelerate import Accelerator

    from polysharp.data.prepared import PreparedData

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Before numpy is imported: with a thread per core, workers that run at the same time slow each other down.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
pytest_plugins = ["tests.budget"]

ROOT = Path(__file__).parent.parent
WORDS = {
    "animals": "cat dog horse fish bird cow",
    "food": "bread cheese soup apple rice milk",
    "music": "song guitar drum opera melody choir",
}
FILLERS = ["the", "a", "very", "of", "and", "with", "some", "old", "new", "seen", "today", "here"]
SIZES = (("train", 40), ("val", 24), ("test", 30))


SERVER = pytest.StashKey[warm.Server]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # what tests start inherits nothing of a nohup before them
    handle, os.environ[warm.CPU] = tempfile.mkstemp(prefix="polysharp-cpu-")
    os.close(handle)
    if not hasattr(config, "workerinput") and warm.COLD not in os.environ:
        config.stash[SERVER] = warm.Server()  # which the workers of xdist call, too


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    Path(os.environ.pop(warm.CPU)).unlink(missing_ok=True)
    if SERVER in config.stash:
        config.stash[SERVER].stop()


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder; start with costly files, so that no worker waits for another at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def order(item: pytest.Item) -> tuple[bool, bool]:
        return item.path not in slow, item.path.parent.name == "unit"

    for item in items:
        if (folder := item.path.parent.name) in ("slurm", "browser"):
            item.add_marker(folder)
    items.sort(key=order)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder (with spaces in its path) that one worker of xdist makes and all of them read."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, done = root / "made once" / name, root / f"{name}.done"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            rmtree(folder, ignore_errors=True)
            make(folder)
            done.touch()
    return folder


def make_texts(label_type: str) -> dict[str, dict[str, list]]:
    """Return a small data set as the tutorial's JSON: words of every label among fillers."""
    draw = random.Random(f"texts {label_type}")
    splits: dict[str, dict[str, list]] = {}
    for split, size in SIZES:
        texts, labels = [], []
        for number in range(size):
            chosen = draw.sample(sorted(WORDS), 1 if label_type == "single" else draw.choice([0, 1, 1, 2]))
            words = [word for label in chosen for word in draw.sample(WORDS[label].split(), 2)]
            words += draw.choices(FILLERS, k=draw.randint(2, 9))
            draw.shuffle(words)
            texts.append(f"{' '.join(words)} {split} {number}")
            labels.append(chosen[0] if label_type == "single" else chosen)
        splits[split] = {"Text": texts, "Labels": labels}
    return splits


def write_source(folder: Path, splits: dict[str, dict[str, list]]) -> Path:
    """Write a data set as the tutorial's JSON files, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, content in splits.items():
        (folder / f"{split}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def write_command(folder: Path, name: str, script: str) -> None:
    """Write a shell script into a folder, in the place of a command."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


@pytest.fixture(scope="session")
def small_source(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a small data set's JSON files, by label type; not to be changed."""
    root = tmp_path_factory.mktemp("sources")

    def source(label_type: str) -> Path:
        if not (root / label_type).exists():
            write_source(root / label_type, make_texts(label_type))
        return root / label_type

    return source


@pytest.fixture(scope="session")
def prepared_folder(
    small_source: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Return the folder of a small prepared data set, by label type; not to be changed."""
    from polysharp.config.sources import Source
    from polysharp.data.preparation import prepare_data

    root = tmp_path_factory.mktemp("prepared")

    def folder(label_type: str) -> Path:
        if not (root / label_type).exists():
            prepare_data(Source(str(small_source(label_type))), label_type, {}, 0, root / label_type)
        return root / label_type

    return folder


@pytest.fixture(scope="session")
def small_data(prepared_folder: Callable[[str], Path]) -> "Callable[[str], PreparedData]":
    """Return a small prepared data set, by label type."""
    from polysharp.data.prepared import read_prepared

    return lambda label_type: read_prepared(prepared_folder(label_type))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a tiny encoder whose vocabulary knows the small data; not to be changed."""
    from tests.tiny_models import write_tiny_model

    root = tmp_path_factory.mktemp("tiny-models")
    texts = [text for kind in ("single", "multi") for text in make_texts(kind)["train"]["Text"]]

    def model(architecture: str) -> Path:
        if not (root / architecture).exists():
            write_tiny_model(root / architecture, architecture, texts)
        return root / architecture

    return model


@pytest.fixture(scope="session")
def device() -> "Accelerator":
    """Return the processor in float32, one thread, deterministic."""
    from polysharp.training.hardware import accelerator

    return accelerator("float32", threads=1)


# No deadline, as it measures what else the machine does. For more examples: --hypothesis-profile=long.
settings.register_profile("short", deadline=None, max_examples=25)
settings.register_profile("long", deadline=None, max_examples=500)
settings.load_profile("short")
