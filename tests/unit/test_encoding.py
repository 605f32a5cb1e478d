"""Batches of token ids."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModel, AutoTokenizer

from polysharp.config.settings import ModelSettings
from polysharp.training.batches import (
    INFERENCE_BATCH,
    TextTokenizer,
    inference_batches,
    restore_order,
    training_batches,
)
from tests.tiny_models import MAXIMUM_LENGTH

TOKEN_IDS = st.lists(st.lists(st.just(5), min_size=1, max_size=30), min_size=1, max_size=150)


def ids_of(texts: int) -> list[list[int]]:
    return [[5] * (1 + row % 7) for row in range(texts)]


@given(TOKEN_IDS, st.integers(1, 20), st.integers(0, 2**31 - 1), st.integers(1, 50))
def test_an_epoch_has_every_text_once(ids: list[list[int]], size: int, seed: int, epoch: int) -> None:
    batches = training_batches(ids, size, seed, epoch)
    assert sorted(row for batch in batches for row in batch) == list(range(len(ids)))
    sizes = Counter(map(len, batches))
    assert len(batches) == -(-len(ids) // size)
    assert sizes[size] >= len(batches) - 1 and max(sizes) <= size
    assert batches == training_batches(ids, size, seed, epoch)


def test_batches_differ_by_epoch_and_by_seed() -> None:
    ids = ids_of(40)
    drawn = {str(training_batches(ids, 4, seed, epoch)) for seed in range(5) for epoch in range(1, 6)}
    assert len(drawn) == 25
    large = {str(training_batches(ids, 4, seed, 1)) for seed in (1, 2, 2**30, 2**31 - 1)}
    assert len(large) == 4


def test_texts_of_like_length_come_together() -> None:
    ids = ids_of(160)

    def padding(batches: list[list[int]]) -> int:
        return sum(max(len(ids[row]) for row in batch) * len(batch) for batch in batches)

    plain = [list(range(start, start + 4)) for start in range(0, 160, 4)]
    assert padding(training_batches(ids, 4, 1, 1)) < 0.8 * padding(plain)


@given(TOKEN_IDS)
def test_outputs_come_back_in_the_order_of_the_texts(ids: list[list[int]]) -> None:
    batches = list(inference_batches(ids))
    assert all(len(batch) <= INFERENCE_BATCH for batch in batches)
    lengths = [len(ids[row]) for batch in batches for row in batch]
    assert lengths == sorted(lengths, reverse=True)
    outputs = [torch.tensor([[float(row), float(len(ids[row]))] for row in batch]) for batch in batches]
    expected = [[float(row), float(len(row_ids))] for row, row_ids in enumerate(ids)]
    assert restore_order(batches, outputs).tolist() == expected


@pytest.mark.parametrize("architecture", ["bert", "roberta", "camembert", "xlm-roberta"])
def test_texts_get_their_prefix_and_their_limit(architecture: str, tiny_model: Callable[[str], Path]) -> None:
    folder = tiny_model(architecture)
    tokenizer = TextTokenizer(folder, ModelSettings(name="x", text_prefix="the cat: ", max_length=7))
    plain = AutoTokenizer.from_pretrained(folder)
    short, long = tokenizer.encode(["", "some old bread and cheese with soup and milk"])
    assert short == plain("the cat: ")["input_ids"][:7]
    assert len(long) == 7 and long[-1] == short[-1]  # cut, but closed by the end token
    assert long[1:3] == short[1:3]


@pytest.mark.parametrize("architecture", ["bert", "roberta", "camembert", "xlm-roberta"])
def test_no_text_is_longer_than_the_model_has_positions(
    architecture: str, tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    """Whatever the settings and the tokenizer say, which often does not know."""
    folder = tiny_model(architecture)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.model_max_length = int(1e30)
    tokenizer.save_pretrained(tmp_path)
    model = AutoModel.from_pretrained(folder).eval()
    model.save_pretrained(tmp_path)
    tokenizer = TextTokenizer(tmp_path, ModelSettings(name="x", max_length=5000))
    assert tokenizer.max_length == MAXIMUM_LENGTH
    (ids,) = tokenizer.encode(["cat " * 400])
    assert len(ids) == MAXIMUM_LENGTH
    with torch.no_grad():
        assert model(**tokenizer.batch([ids])).last_hidden_state.isfinite().all()


def test_a_batch_is_padded_to_its_own_longest(tiny_model: Callable[[str], Path]) -> None:
    tokenizer = TextTokenizer(tiny_model("xlm-roberta"), ModelSettings(name="x"))
    batch: dict[str, Any] = dict(tokenizer.batch([[0, 9, 2], [0, 9, 9, 9, 2]]))
    padding = tokenizer.pretrained.pad_token_id
    assert batch["input_ids"].tolist() == [[0, 9, 2, padding, padding], [0, 9, 9, 9, 2]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
