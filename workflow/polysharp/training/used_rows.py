"""Train only the rows of the embedding matrix that the texts use.

The embeddings of 250,000 tokens are most of the weights of a small multilingual model, but a few hundred
texts use about one in a hundred of them. The others get no gradient, so they need no moments either.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


class UsedRows(nn.Module):
    """An embedding of which only the used rows are a parameter. Token ids do not change.

    This is exact as long as the other rows would not change anyway: without weight decay on the
    embedding.
    """

    rows: Tensor
    lookup: Tensor

    def __init__(self, embedding: nn.Embedding, ids: Iterable[int]) -> None:
        super().__init__()
        rows = torch.tensor(sorted(set(ids)), dtype=torch.long)
        lookup = torch.full((embedding.num_embeddings,), -1, dtype=torch.long)
        lookup[rows] = torch.arange(len(rows))
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("lookup", lookup, persistent=False)
        self.weight = nn.Parameter(embedding.weight.detach()[rows].clone())
        padding = embedding.padding_idx
        self._padding = int(lookup[padding]) if padding is not None and lookup[padding] >= 0 else None

    def forward(self, ids: Tensor) -> Tensor:
        """Return the embeddings (texts, tokens, width) of token ids (texts, tokens).

        An id outside the used rows is an error: on CPU an IndexError, on a GPU a failed assertion.
        """
        return nn.functional.embedding(self.lookup[ids], self.weight, self._padding)


def use_rows(model: PreTrainedModel, ids: Iterable[int]) -> nn.Embedding | None:
    """Reduce the model's input embedding to the rows `ids`, and return the full one, unchanged.

    If the embedding is not torch's own, but does more than look up rows, such as scale them, return None
    and change nothing.
    """
    encoder = _encoder(model)
    full = encoder.get_input_embeddings()
    if type(full) is not nn.Embedding:
        return None
    encoder.set_input_embeddings(UsedRows(full, ids))
    return full


def restore_rows(model: PreTrainedModel, full: nn.Embedding | None) -> None:
    """Write the trained rows back into the full embedding, and the full embedding into the model."""
    if full is None:
        return
    encoder = _encoder(model)
    used = encoder.get_input_embeddings()
    assert isinstance(used, UsedRows)
    with torch.no_grad():
        full.weight[used.rows.to(full.weight.device)] = used.weight.to(full.weight.device)
    encoder.set_input_embeddings(full)


def _encoder(model: PreTrainedModel) -> PreTrainedModel:
    encoder = model.base_model
    assert isinstance(encoder, PreTrainedModel)
    return encoder
