"""Every family of encoders the whole way: from a published checkpoint to a published classifier."""

import sys
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import numpy as np
import polars as pl
import pytest
import sentencepiece
import torch
from accelerate import Accelerator
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import polysharp.classifier  # noqa: F401 -- what the model card says to import, for mean pooling
from polysharp.config.settings import ModelSettings, TrainingSettings
from polysharp.config.sources import Source
from polysharp.core.errors import Interrupted, UserError
from polysharp.core.files import read_json, write_json
from polysharp.core.paths import Paths
from polysharp.data.preparation import prepare_data
from polysharp.data.prepared import PreparedData, read_prepared
from polysharp.models.folder import read_identity, read_positions
from polysharp.models.prepare import prepare_model
from polysharp.reporting.selection import select_best
from polysharp.training.cells import train_cell
from polysharp.training.inputs import PretrainedModel, SharedTrainingInputs
from polysharp.training.snapshots import StopRequest
from tests import warm
from tests.conftest import ROOT, make_texts, write_source
from tests.families import FAMILIES, POSITIONS, write_published

SETTINGS = TrainingSettings(
    epochs=1, batch_size=8, learning_rate=1e-3, dropout=0.1, inverse_regularisation=[0.1]
)
CELL = "main/english/single/sam/seed-1"
CASES = [(name, pooling) for name, family in FAMILIES.items() for pooling in ("mean", "cls")]
LONG = " ".join(["the cat and some old bread with soup"] * 12)  # more tokens than absolute positions


class StopInBetween(StopRequest):
    """Asks for the end after two steps of five, when it has been looked at so often."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 3

    @property
    def made(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small prepared data set, of which a text in every split is longer than a model can read."""
    texts = make_texts("single")
    for content in texts.values():
        content["Text"][0] += f" {LONG}"
    folder = tmp_path_factory.mktemp("families")
    prepare_data(Source(str(write_source(folder / "source", texts))), "single", {}, 0, folder / "data")
    return folder / "data"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the prepared model of a family."""
    root = tmp_path_factory.mktemp("published")
    texts = [text for content in make_texts("single").values() for text in content["Text"]]

    def folder(name: str) -> Path:
        prepared = root / name / "prepared"
        if not prepared.exists():
            source = write_published(root / name / "source", name, texts)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "executable", warm.python())  # which unpickles
                prepare_model(str(source), None, prepared)
        return prepared

    return folder


@pytest.mark.parametrize(("name", "pooling"), CASES)
def test_a_family_goes_the_whole_way(
    name: str,
    pooling: str,
    prepared: Callable[[str], Path],
    data: Path,
    device: Accelerator,
    tmp_path: Path,
) -> None:
    family, model = FAMILIES[name], prepared(name)
    identity = read_identity(model)
    assert "reads_padding" not in identity
    assert read_positions(model) >= POSITIONS
    reading = ModelSettings(name="tiny", pooling=pooling, max_length=100)

    def train(folder: Path, stop: StopRequest) -> Paths:
        paths = Paths(folder / "results", folder / "work")
        inputs = SharedTrainingInputs(
            PretrainedModel(model, reading), read_prepared(data), SETTINGS, "macro_f1", device
        )
        work = paths.checkpoint(CELL).parent
        train_cell(inputs, identity, 1, paths.run(CELL), work, stop, 0.0)
        return paths

    if pooling == "cls" and not family.own_classifier:
        with pytest.raises(UserError, match="expected pooling: mean"):
            train(tmp_path, StopRequest())
        return
    with pytest.raises(Interrupted, match="stopped after step 2;"):
        train(tmp_path / "resumed", StopInBetween())
    resumed, whole = train(tmp_path / "resumed", StopRequest()), train(tmp_path / "whole", StopRequest())
    for file in ("report.json", "predictions.parquet", "history.jsonl"):
        assert (resumed.run(CELL) / file).read_bytes() == (whole.run(CELL) / file).read_bytes()
    weights = [paths.checkpoint(CELL) / "model.safetensors" for paths in (resumed, whole)]
    assert weights[0].read_bytes() == weights[1].read_bytes()

    whole.data("main/english/single").parent.mkdir(parents=True)
    whole.data("main/english/single").symlink_to(data)
    best = tmp_path / "best"
    select_best([CELL], "macro_f1", 10, whole, best)
    published = AutoModelForSequenceClassification.from_pretrained(best)
    own = type(published).__module__.startswith("transformers.")
    assert own == (pooling == "cls")
    assert (published.config if own else published.config.encoder).model_type == family.model_type
    expected = pl.read_parquet(whole.run(CELL) / "predictions.parquet").filter(split="test")
    np.testing.assert_allclose(
        probabilities(published, best, read_prepared(data)), np.array(expected["scores"].to_list()), atol=1e-4
    )


def probabilities(model: torch.nn.Module, folder: Path, data: PreparedData) -> np.ndarray:
    """Return what a published classifier says of the test texts, one by one, as its card says to ask it."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    limit = read_json(folder / "config.json")["polysharp"]["max_length"]
    rows = []
    for text in data.split("test")["text"]:
        batch = tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")
        with torch.no_grad():
            rows.append(model.eval()(**batch).logits.double().softmax(dim=-1)[0].numpy())
    return np.array(rows)


@pytest.mark.parametrize(
    "name", [name for name, family in FAMILIES.items() if family.vocabulary.endswith(".model")]
)
def test_a_vocabulary_of_sentencepiece_is_read_as_sentencepiece_reads_it(
    name: str, prepared: Callable[[str], Path]
) -> None:
    folder = prepared(name)
    vocabulary = folder.parent / "source" / FAMILIES[name].vocabulary
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(vocabulary))
    ours = AutoTokenizer.from_pretrained(folder)
    texts = [*make_texts("single")["test"]["Text"], "the  cat", "old cheese\nand a dog", "milk"]
    texts += ["ｃat", "ﬁsh", "½ milk", "the … cat", "the\u00a0cat", "the\u200bcat", "the cat\t dog"]
    for text in texts:
        assert ours.tokenize(text) == theirs.encode(text, out_type=str)


def test_the_normalisation_of_a_tokenizer_json_is_kept(
    prepared: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = prepared("deberta-v3")
    source = tmp_path / "source"
    copytree(folder, source)  # as a fine-tuned DeBERTa of transformers 4: tokenizer.json, and its own class
    config = read_json(source / "tokenizer_config.json") | {"tokenizer_class": "DebertaV2Tokenizer"}
    write_json(source / "tokenizer_config.json", config)
    texts = ["ｃat", "the\u00a0cat"]
    expected = AutoTokenizer.from_pretrained(folder)(texts)["input_ids"]
    assert AutoTokenizer.from_pretrained(source)(texts)["input_ids"] != expected
    prepare_model(str(source), None, tmp_path / "prepared")
    assert AutoTokenizer.from_pretrained(tmp_path / "prepared")(texts)["input_ids"] == expected


def test_the_documentation_names_every_family() -> None:
    text = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    for family in FAMILIES.values():
        weights = "pickled" if family.pickled else "safetensors"
        cls = "yes" if family.own_classifier else "no"
        row = next(line for line in text.splitlines() if f"| `{family.like}` |" in line)
        assert f"| {weights} |" in row and row.endswith(f"| yes | {cls} |")
        assert (f"`{family.vocabulary}`" in row) == bool(family.vocabulary)
        assert ("`tokenizer.json`" in row) == family.tokenizer_json
