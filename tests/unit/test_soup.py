"""The mean of the weights of several seeds, and what a training keeps of its epochs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from polysharp.config.checking import check_configuration
from polysharp.config.settings import TrainingSettings
from polysharp.training.kept import Kept
from polysharp.training.soup import CHANGES, WeightSum


class Tiny(nn.Module):
    """An embedding of which few rows change, and a head that does not exist before."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(50, 3)
        self.head = nn.Linear(3, 2)
        if seed is not None:
            torch.manual_seed(seed)
            with torch.no_grad():
                self.embedding.weight[[seed, 7]] += torch.randn(2, 3)
                self.head.weight.copy_(torch.randn(2, 3))
                self.head.bias.copy_(1e-6 * torch.randn(2))


def start() -> dict[str, torch.Tensor]:
    return {"embedding.weight": Tiny().embedding.weight.detach().clone()}


def summed(folder: Path, *parts: Sequence[int]) -> WeightSum:
    """Add seeds, part by part, each with a new process's view of the folder."""
    for seeds in parts:
        total = WeightSum(folder, start())
        for seed in seeds:
            total.add(f"seed-{seed}", f"sha {seed}", Tiny(seed))  # type: ignore[arg-type]
        total.save()
    return WeightSum(folder, start())


def test_the_mean_is_that_of_the_weights(tmp_path: Path) -> None:
    mean = summed(tmp_path / "sum", [1, 2, 3]).mean()
    for name, weight in Tiny().named_parameters():
        seeds = [dict(Tiny(seed).named_parameters())[name].detach().double() for seed in (1, 2, 3)]
        expected = torch.stack(seeds).mean(0)
        np.testing.assert_allclose(mean[name], expected, rtol=1e-7, atol=1e-13)
        assert mean[name].dtype == weight.dtype
    untrained = [row for row in range(50) if row not in (1, 2, 3, 7)]
    assert torch.equal(mean["embedding.weight"][untrained], start()["embedding.weight"][untrained])
    one = summed(tmp_path / "one", [2]).mean()
    assert all(torch.equal(one[name], weight) for name, weight in Tiny(2).named_parameters())


@pytest.mark.parametrize("parts", [[[3, 1, 2]], [[1], [2], [3]], [[2], [3, 1]]])
def test_neither_the_order_nor_the_cut_of_the_jobs_changes_a_byte(
    parts: list[list[int]], tmp_path: Path
) -> None:
    one, other = summed(tmp_path / "one", [1, 2, 3]), summed(tmp_path / "other", *parts)
    means = one.mean(), other.mean()
    assert all(torch.equal(means[0][name], means[1][name]) for name in means[0])
    assert one.added == other.added


def test_the_sum_holds_only_rows_that_were_trained(tmp_path: Path) -> None:
    summed(tmp_path, [1, 2])
    changes = torch.load(tmp_path / CHANGES, weights_only=True)["embedding.weight"]
    assert changes.indices().tolist() == [[1, 2, 7]]


@pytest.mark.parametrize(
    ("wanted", "left"),
    [({1: "sha 1", 2: "sha 2", 3: "sha 3"}, 2), ({1: "sha 1"}, 0), ({1: "sha 1", 2: "new"}, 0)],
)
def test_a_seed_that_was_trained_again_or_removed_starts_the_sum_anew(
    wanted: dict[int, str], left: int, tmp_path: Path
) -> None:
    total = summed(tmp_path, [1, 2])
    total.keep({f"seed-{seed}": sha for seed, sha in wanted.items()})
    assert len(total.added) == left and bool(total.mean() if left else {}) == bool(left)


# --- What is kept of the epochs -------------------------------------------------------------------


def kept(settings: dict[str, object], restore_after: int | None = None) -> Kept:
    """Go through five states whose weights are 0, 1, 4, 9, 16, with the third the best."""
    given = TrainingSettings.model_validate({"epochs": 4, **settings})
    result, model = Kept(given), nn.Linear(1, 1, bias=False)
    for epoch in range(5):
        nn.init.constant_(model.weight, epoch**2)
        result.add(epoch, model, np.full((2, 2), float(epoch)), epoch in (0, 2))
        if epoch == restore_after:
            state, result = result.state(), Kept(given)
            result.restore(state, torch.device("cpu"))
    return result


@pytest.mark.parametrize(
    ("settings", "epochs", "weight", "logits"),
    [
        ({"keep": "best"}, [2], 4, 2),
        ({"keep": "last"}, [4], 16, 4),
        ({"keep": "average"}, [2, 3, 4], 29 / 3, None),
        ({"keep": "average", "averaged_epochs": 2}, [3, 4], 12.5, None),
        ({"keep": "average", "averaged_epochs": 1}, [4], 16, 4),
        ({"keep": "average", "averaged_epochs": 9}, [1, 2, 3, 4], 7.5, None),
    ],
)
def test_what_is_kept(
    settings: dict[str, object], epochs: list[int], weight: float, logits: float | None
) -> None:
    for restore_after in (None, 1, 2, 3):
        result = kept(settings, restore_after)
        assert result.epochs == epochs
        assert result.weights["weight"].item() == pytest.approx(weight)
        found = None if result.logits is None else result.logits[0, 0].item()
        assert found == logits
    assert torch.equal(kept(settings).weights["weight"], kept(settings, 3).weights["weight"])


# --- What cannot be averaged ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"methods": {"sam": {}, "mix": {"base": "soup", "of": "sma"}}}, "did you mean 'sam'"),
        ({"methods": {"probe": {}, "mix": {"base": "soup", "of": "probe"}}}, "expected a fine-tuned method"),
        ({"methods": {"sam": {}, "mix": {"base": "soup"}}}, "methods.mix.of: missing"),
        ({"training": {"head": "random"}}, "its seeds start from different heads"),
        ({"methods": {"sam": {"train_size": 9}, "mix": {"base": "soup", "of": "sam"}}}, "different texts"),
        ({"seeds": [1]}, "has one seed; expected two or more"),
    ],
)
def test_what_cannot_be_averaged_is_refused(changes: dict[str, object], line: str) -> None:
    content = {"methods": {"sam": {}, "mix": {"base": "soup", "of": "sam"}}, "seeds": [1, 2], **changes}
    _, lines = check_configuration(content)
    assert len(lines) == 1 and line in lines[0], lines
