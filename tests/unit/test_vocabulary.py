"""Training on the used rows of the embedding, held against training of all of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from polysharp.training.sam import Ascent, sam_step
from polysharp.training.used_rows import UsedRows, restore_rows, use_rows
from tests.conftest import make_texts

ARCHITECTURES = ["bert", "roberta", "camembert", "xlm-roberta"]
TEXTS = make_texts("single")["train"]["Text"][:8]


def load(folder: Path) -> PreTrainedModel:
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3, dtype=torch.float32)
    return model.eval()  # without dropout both trainings see the same losses


def embedding_of(model: PreTrainedModel) -> Tensor:
    return model.get_input_embeddings().weight


def train(model: PreTrainedModel, batch: dict[str, Tensor], rho: float, eta: float | None) -> list[float]:
    embedding = embedding_of(model)
    others = [parameter for parameter in model.parameters() if parameter is not embedding]
    optimizer = torch.optim.AdamW(
        [{"params": [embedding], "weight_decay": 0.0}, {"params": others, "weight_decay": 0.1}], lr=1e-3
    )
    targets = torch.arange(len(batch["input_ids"])) % 3

    def backward() -> float:
        loss = nn.functional.cross_entropy(model(**batch).logits, targets)
        loss.backward()
        return loss.item()

    parameters = list(model.parameters())
    ascent = Ascent(backward, parameters, rho, eta) if rho else None
    return [sam_step(backward, parameters, optimizer, 1.0, ascent).loss for _ in range(5)]


@pytest.mark.parametrize(("rho", "eta"), [(0.0, None), (0.05, None), (0.5, 0.01)])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_training_on_used_rows_is_training_on_all(
    architecture: str, rho: float, eta: float | None, tiny_model: Callable[[str], Path]
) -> None:
    folder = tiny_model(architecture)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = dict(tokenizer(TEXTS, padding=True, return_tensors="pt"))
    assert (batch["attention_mask"] == 0).any(), "no test of padding without padding"
    cut, whole = load(folder), load(folder)
    before = embedding_of(cut).detach().clone()
    used = set(batch["input_ids"].flatten().tolist())
    full = use_rows(cut, used)
    assert embedding_of(cut).shape == (len(used), 32)
    torch.testing.assert_close(cut(**batch).logits, whole(**batch).logits)

    assert train(cut, batch, rho, eta) == pytest.approx(train(whole, batch, rho, eta), rel=1e-4)
    restore_rows(cut, full)
    for (name, ours), (_, theirs) in zip(cut.named_parameters(), whole.named_parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, msg=f"{name} differs")

    unused = [row for row in range(len(before)) if row not in used]
    assert unused and torch.equal(embedding_of(cut)[unused], before[unused])
    moved = [row for row in sorted(used) if not torch.equal(embedding_of(cut)[row], before[row])]
    assert len(moved) >= len(used) - 1  # all but, where it has no gradient, the padding


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_restoring_at_once_changes_nothing(architecture: str, tiny_model: Callable[[str], Path]) -> None:
    model = load(tiny_model(architecture))
    before = {name: weights.clone() for name, weights in model.state_dict().items()}
    restore_rows(model, use_rows(model, [5, 1, 7, 1]))
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], weights) for name, weights in before.items())


def test_ids_outside_the_used_rows_are_refused() -> None:
    used = UsedRows(nn.Embedding(10, 4), [2, 5])
    with pytest.raises(IndexError):
        used(torch.tensor([[2, 3]]))


@pytest.mark.parametrize("padding", [None, 0, 5])
def test_used_rows_look_up_like_the_embedding(padding: int | None) -> None:
    embedding = nn.Embedding(10, 4, padding_idx=padding)
    used, ids = UsedRows(embedding, [2, 5, 9]), torch.tensor([[9, 5], [2, 5]])
    assert torch.equal(used(ids), embedding(ids))
    used(ids).sum().backward()
    embedding(ids).sum().backward()
    assert used.weight.grad is not None and embedding.weight.grad is not None
    assert torch.equal(used.weight.grad, embedding.weight.grad[[2, 5, 9]])
