"""The classifier: pooling, head, and loading without remote code."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from polysharp.models.classifier import PooledClassifier, PooledClassifierConfig, mean_pool, set_head

TEXTS = ["the cat", "some old bread and cheese with soup and milk today", "a song"]
ARCHITECTURES = ["bert", "roberta", "camembert", "xlm-roberta"]


def make_classifier(folder: Path, labels: int = 3) -> PooledClassifier:
    encoder = AutoModel.from_pretrained(folder)
    torch.manual_seed(0)
    names = {number: f"label {number}" for number in range(labels)}
    config = PooledClassifierConfig(encoder=encoder.config, num_labels=labels, id2label=names)
    model = PooledClassifier(config)
    model.encoder = encoder
    return model.eval()


@torch.no_grad()
def logits_of(model: torch.nn.Module, folder: Path, texts: list[str]) -> torch.Tensor:
    return model(**AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")).logits


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_saved_classifier_loads_by_the_auto_classes(
    architecture: str, tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tiny_model(architecture)
    model = make_classifier(folder)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert type(loaded) is PooledClassifier and not loaded.training
    assert loaded.config.id2label == {0: "label 0", 1: "label 1", 2: "label 2"}
    assert AutoConfig.from_pretrained(tmp_path).encoder.model_type == architecture
    assert torch.equal(logits_of(loaded, folder, TEXTS), logits_of(model, folder, TEXTS))
    again = model.state_dict()
    assert all(torch.equal(again[name], weights) for name, weights in loaded.state_dict().items())
    assert not list(tmp_path.glob("*.bin")) and not list(tmp_path.glob("*.py"))


def test_a_fresh_process_needs_nothing_but_the_import(
    tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tiny_model("xlm-roberta")
    model = make_classifier(folder)
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    script = f"""
import json, polysharp.models.classifier, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
model = AutoModelForSequenceClassification.from_pretrained({str(tmp_path)!r}).eval()
batch = AutoTokenizer.from_pretrained({str(tmp_path)!r})({TEXTS!r}, padding=True, return_tensors="pt")
with torch.no_grad():
    print(json.dumps(model(**batch).logits.tolist()))
"""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", check=True)
    expected = logits_of(model, folder, TEXTS).numpy()
    np.testing.assert_allclose(np.array(json.loads(done.stdout.splitlines()[-1])), expected, atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_padding_changes_nothing(architecture: str, tiny_model: Callable[[str], Path]) -> None:
    folder = tiny_model(architecture)
    model = make_classifier(folder)
    together = logits_of(model, folder, TEXTS)
    for number, text in enumerate(TEXTS):
        torch.testing.assert_close(together[number], logits_of(model, folder, [text])[0], atol=1e-5, rtol=0)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(0, 100))
def test_mean_pooling_is_the_mean_of_the_tokens(lengths: list[int], seed: int) -> None:
    hidden = torch.randn(len(lengths), 6, 3, generator=torch.Generator().manual_seed(seed))
    mask = torch.tensor([[position < length for position in range(6)] for length in lengths]).long()
    pooled = mean_pool(hidden, mask)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(pooled[row], hidden[row, :length].mean(dim=0))


def test_mean_pooling_of_reduced_precision_sums_in_float32() -> None:
    hidden, mask = torch.full((1, 1000, 1), 1.001, dtype=torch.bfloat16), torch.ones(1, 1000)
    pooled = mean_pool(hidden, mask)
    assert pooled.dtype == torch.float32
    assert pooled.item() == pytest.approx(hidden[0, 0, 0].item(), abs=1e-5)
    assert mean_pool(hidden, torch.zeros(1, 1000)).item() == 0.0


def test_the_head_becomes_the_probe(tiny_model: Callable[[str], Path]) -> None:
    folder = tiny_model("bert")
    model = make_classifier(folder)
    weight, bias = torch.randn(3, 32, dtype=torch.float64), torch.tensor([0.5, -20.0, 3.0]).double()
    set_head(model, weight, bias)
    batch = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        features = mean_pool(model.encoder(**batch).last_hidden_state, batch["attention_mask"])
        expected = features.double() @ weight.T + bias
        torch.testing.assert_close(model(**batch).logits.double(), expected, atol=1e-4, rtol=1e-5)
    assert model.head.weight.requires_grad and model.head.weight.dtype == torch.float32
