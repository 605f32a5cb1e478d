"""A tiny model that the tests of preparing models share."""

from pathlib import Path
from shutil import copytree

import pytest

from tests.tiny_models import write_tiny_model

TEXTS = [
    "a library for reading images and sounds",
    "ein kleines Programm für Bilder und Töne",
    "un programme pour lire des images",
]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT without head and pooler that knows TEXTS, not to be changed."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny-bert", "bert", TEXTS)


@pytest.fixture
def source(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the tiny BERT, to be changed."""
    return Path(copytree(tiny, tmp_path / "source"))
