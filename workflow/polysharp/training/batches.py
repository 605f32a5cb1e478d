"""Batches of token ids, each padded to its longest text."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoTokenizer, BatchEncoding, DataCollatorWithPadding, PreTrainedTokenizerBase

from polysharp.config.settings import ModelSettings
from polysharp.core.labels import Indicators, encode
from polysharp.data.prepared import PreparedData, training_rows
from polysharp.models.folder import read_positions

log = logging.getLogger("polysharp.training.batches")

INFERENCE_BATCH = 32  # texts per forward pass without gradients; fixed, as it affects the last digits


class TextTokenizer:
    """A tokenizer with the model's prefix and length limit."""

    def __init__(self, folder: Path, settings: ModelSettings) -> None:
        self.pretrained: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
        self.prefix = settings.text_prefix
        self.max_length = min(settings.max_length, read_positions(folder))
        self._collate = DataCollatorWithPadding(self.pretrained)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of every text."""
        prefixed = [self.prefix + text for text in texts]
        encoded = self.pretrained(prefixed, truncation=True, max_length=self.max_length)
        return list(encoded["input_ids"])

    def batch(self, ids: Sequence[Sequence[int]]) -> BatchEncoding[Any]:
        """Return input_ids and attention_mask (texts, tokens), padded to the longest of these texts."""
        return BatchEncoding(self._collate([{"input_ids": list(row)} for row in ids]))


@dataclass
class Split:
    """One split as training uses it: the token ids of its texts, and the indicators of their labels."""

    token_ids: list[list[int]]
    truth: Indicators


def tokenize_splits(
    data: PreparedData, tokenizer: TextTokenizer, train_size: int | None, seed: int
) -> dict[str, Split]:
    """Return training (or the texts drawn from it), validation and test, tokenized."""
    frames = {
        "train": training_rows(data, train_size, seed),
        "validation": data.split("validation"),
        "test": data.split("test"),
    }
    splits = {
        name: Split(
            tokenizer.encode(frame["text"].to_list()),
            encode(frame["labels"].to_list(), data.labels),
        )
        for name, frame in frames.items()
    }
    for name, split in splits.items():
        full = sum(len(row) == tokenizer.max_length for row in split.token_ids)
        log.info(
            "%s: %d texts, %d of them fill or exceed %d tokens",
            name,
            len(split.token_ids),
            full,
            tokenizer.max_length,
        )
    return splits


def training_batches(ids: Sequence[Sequence[int]], size: int, seed: int, epoch: int) -> list[list[int]]:
    """Return the rows of every batch of an epoch, in an order that depends only on `seed` and `epoch`.

    Texts are shuffled, and sorted by length within pools of eight batches, which saves padding. One batch
    of an epoch may be smaller than the others.
    """
    # Not torch's generator: it seeds from 32 bits, which cannot hold a seed and an epoch.
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(ids)).tolist()
    batches = []
    for start in range(0, len(order), 8 * size):
        pool = sorted(order[start : start + 8 * size], key=lambda row: len(ids[row]))
        batches += [pool[first : first + size] for first in range(0, len(pool), size)]
    return [batches[index] for index in generator.permutation(len(batches))]


def inference_batches(ids: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield the rows of every batch, longest texts first, so that a lack of memory shows at once."""
    order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
    for start in range(0, len(order), INFERENCE_BATCH):
        yield order[start : start + INFERENCE_BATCH]


def restore_order(batches: Sequence[Sequence[int]], outputs: Sequence[Tensor]) -> Tensor:
    """Return the rows of the batches' outputs in the order of the texts."""
    rows = torch.tensor([row for batch in batches for row in batch])
    return torch.cat(list(outputs))[rows.argsort()]


@torch.no_grad()
def infer(
    forward: Callable[[BatchEncoding[Any]], Tensor],
    split: Split,
    tokenizer: TextTokenizer,
    device: torch.device,
) -> NDArray[np.float64]:
    """Return the output of `forward` for every text of a split, in their order."""
    batches = list(inference_batches(split.token_ids))
    outputs = [
        forward(tokenizer.batch([split.token_ids[row] for row in rows]).to(device)).cpu() for rows in batches
    ]
    return restore_order(batches, outputs).double().numpy()
