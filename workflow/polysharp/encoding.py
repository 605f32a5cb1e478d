"""Texts as batches of token ids, padded to their own longest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, BatchEncoding, DataCollatorWithPadding, PreTrainedTokenizerBase

from polysharp.configuration import ModelSettings

INFERENCE_BATCH = 32  # texts per forward pass without gradients; fixed, as it moves the last digits


class Encoder:
    """A tokenizer with the model's prefix and length limit."""

    def __init__(self, folder: Path, settings: ModelSettings) -> None:
        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
        self.prefix = settings.text_prefix
        limit = min(settings.max_length, self.tokenizer.model_max_length)
        self.max_length = int(limit)
        self._collate = DataCollatorWithPadding(self.tokenizer)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of every text."""
        prefixed = [self.prefix + text for text in texts]
        return self.tokenizer(prefixed, truncation=True, max_length=self.max_length)["input_ids"]

    def batch(self, ids: Sequence[Sequence[int]]) -> BatchEncoding[Any]:
        """Return input_ids and attention_mask (texts, tokens), padded to the longest of these texts."""
        return BatchEncoding(self._collate([{"input_ids": list(row)} for row in ids]))


def training_batches(ids: Sequence[Sequence[int]], size: int, seed: int, epoch: int) -> list[list[int]]:
    """Return the rows of every batch of an epoch, in an order that `seed` and `epoch` decide alone.

    Texts are shuffled, and within pools of eight batches brought together by length, which saves
    padding; the last batch of an epoch may be smaller.
    """
    generator = torch.Generator().manual_seed((seed << 32) + epoch)
    order = torch.randperm(len(ids), generator=generator).tolist()
    batches = []
    for start in range(0, len(order), 8 * size):
        pool = sorted(order[start : start + 8 * size], key=lambda row: len(ids[row]))
        batches += [pool[first : first + size] for first in range(0, len(pool), size)]
    return [batches[index] for index in torch.randperm(len(batches), generator=generator).tolist()]


def inference_batches(ids: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield the rows of every batch, longest texts first, as an overflow of memory should show at once."""
    order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
    for start in range(0, len(order), INFERENCE_BATCH):
        yield order[start : start + INFERENCE_BATCH]


def in_order(batches: Sequence[Sequence[int]], outputs: Sequence[Tensor]) -> Tensor:
    """Return the rows of the batches' outputs in the order of the texts."""
    rows = torch.tensor([row for batch in batches for row in batch])
    return torch.cat(list(outputs))[rows.argsort()]
