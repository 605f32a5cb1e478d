"""The SAM step, held against another implementation and against what the docstring promises."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from pytorch_optimizer import SAM
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, BertConfig

from polysharp.sam import sam_step

NEVER_CLIPPED = 1e30
ADAMW = {"lr": 1e-2, "weight_decay": 0.01}


def small_bert() -> nn.Module:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=3,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return AutoModelForSequenceClassification.from_config(config).double()


def small_network(dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3))


def backward_of(model: nn.Module, inputs: Tensor, targets: Tensor) -> Callable[[], float]:
    def backward() -> float:
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        return loss.item()

    return backward


def batch(seed: int, texts: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(texts, 4, generator=generator), torch.randint(3, (texts,), generator=generator)


def weights_of(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def all_equal(ones: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(ones, others, strict=True))


def flat_state(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [value.clone() for state in optimizer.state.values() for value in state.values()]


def compare_with_the_oracle(rho: float, tolerance: float, **adamw: float) -> None:
    ours, theirs = small_bert(), small_bert()
    our_adamw = torch.optim.AdamW(ours.parameters(), **adamw)
    oracle = SAM(theirs.parameters(), torch.optim.AdamW, rho=rho, adaptive=False, **adamw)
    generator = torch.Generator().manual_seed(1)
    for _ in range(50):
        ids = torch.randint(50, (4, 7), generator=generator)
        targets = torch.randint(3, (4,), generator=generator)

        def backward(model: nn.Module, ids: Tensor = ids, targets: Tensor = targets) -> Tensor:
            loss = nn.functional.cross_entropy(model(input_ids=ids).logits, targets)
            loss.backward()
            return loss

        def closure(backward: Callable[[nn.Module], Tensor] = backward) -> Tensor:
            oracle.zero_grad()
            return backward(theirs)

        step = sam_step(
            partial(lambda backward: backward(ours).item(), backward),
            list(ours.parameters()),
            our_adamw,
            rho,
            NEVER_CLIPPED,
        )
        loss = closure()
        oracle.step(closure)
        assert not step.skipped
        assert step.loss == pytest.approx(loss.item(), abs=tolerance)
        for our, their in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(our, their, rtol=0, atol=tolerance)


@pytest.mark.parametrize("rho", [0.05, 0.5])
def test_equals_the_oracle_over_fifty_steps(rho: float, monkeypatch: pytest.MonkeyPatch) -> None:
    def squared_norm(groups: list[dict[str, Any]], **_: bool) -> Tensor:
        gradients = [p.grad for group in groups for p in group["params"] if p.grad is not None]
        return torch.cat([gradient.flatten() for gradient in gradients]).square().sum().reshape(1)

    # Its own rounds the norm to float32, whatever the weights are.
    monkeypatch.setattr("pytorch_optimizer.optimizer.sam.get_global_gradient_norm", squared_norm)
    compare_with_the_oracle(rho, tolerance=1e-10, **ADAMW)


@pytest.mark.parametrize("rho", [0.05, 0.5])
def test_equals_the_oracle_as_published_to_its_precision(rho: float) -> None:
    # A larger epsilon, as AdamW would blow up float32's rounding wherever a gradient is nearly 0.
    compare_with_the_oracle(rho, tolerance=1e-6, eps=1e-4, **ADAMW)


def test_the_ascent_is_the_papers() -> None:
    """The second pass happens at w + rho * g / ||g||, the norm over all parameters together."""
    model, (inputs, targets) = small_network().double(), batch(0)
    inputs = inputs.double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before, seen = weights_of(model), []

    def backward() -> float:
        loss = backward_of(model, inputs, targets)()
        seen.append((weights_of(model), [p.grad.clone() for p in model.parameters()]))
        return loss

    sam_step(backward, list(model.parameters()), optimizer, 0.3, NEVER_CLIPPED)
    (first, gradient), (second, gradient_there) = seen
    assert all_equal(first, before)
    norm = math.sqrt(sum(float(g.square().sum()) for g in gradient))
    for weight, there, g in zip(before, second, gradient, strict=True):
        torch.testing.assert_close(there, weight + 0.3 * g / norm)
    for weight, after, g in zip(before, weights_of(model), gradient_there, strict=True):
        torch.testing.assert_close(after, weight - 0.1 * g)


def test_without_a_radius_it_is_adamw_bit_for_bit() -> None:
    ours, plain = small_network(), small_network()
    our_adamw = torch.optim.AdamW(ours.parameters(), **ADAMW)
    adamw = torch.optim.AdamW(plain.parameters(), **ADAMW)
    for seed in range(10):
        sam_step(backward_of(ours, *batch(seed)), list(ours.parameters()), our_adamw, 0.0, 0.1)
        adamw.zero_grad()
        backward_of(plain, *batch(seed))()
        nn.utils.clip_grad_norm_(plain.parameters(), 0.1)
        adamw.step()
        assert all_equal(weights_of(ours), weights_of(plain))
        assert all_equal(flat_state(our_adamw), flat_state(adamw))


def test_the_descent_starts_from_the_weights_bit_for_bit() -> None:
    model = small_network()
    optimizer = torch.optim.AdamW(model.parameters(), **ADAMW)
    starts: list[list[Tensor]] = []
    optimizer.register_step_pre_hook(lambda *_: starts.append(weights_of(model)))
    for seed in range(10):
        before = weights_of(model)
        sam_step(backward_of(model, *batch(seed)), list(model.parameters()), optimizer, 0.7, 1.0)
        assert all_equal(starts[-1], before)
        assert not all_equal(weights_of(model), before)


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("failing", [1, 2])
def test_a_gradient_that_is_not_finite_changes_nothing(failing: int, spoilt: float) -> None:
    model = small_network()
    optimizer = torch.optim.AdamW(model.parameters(), **ADAMW)
    parameters = list(model.parameters())
    assert not sam_step(backward_of(model, *batch(0)), parameters, optimizer, 0.05, 1.0).skipped
    weights, state = weights_of(model), flat_state(optimizer)
    passes: Iterator[int] = iter((1, 2))

    def backward() -> float:
        loss = backward_of(model, *batch(1))()
        if next(passes) == failing:
            parameters[2].grad[0, 0] = spoilt
        return loss

    assert sam_step(backward, parameters, optimizer, 0.05, 1.0).skipped
    assert all_equal(weights_of(model), weights)
    assert all_equal(flat_state(optimizer), state)
    assert not sam_step(backward_of(model, *batch(1)), parameters, optimizer, 0.05, 1.0).skipped


def test_skipped_steps_leave_no_trace_in_what_follows() -> None:
    spoilt, clean = small_network(), small_network()
    for model in (spoilt, clean):
        optimizer = torch.optim.AdamW(model.parameters(), **ADAMW)
        for seed in range(4):
            inputs, targets = batch(seed)
            if seed == 2:
                if model is clean:
                    continue
                inputs = inputs * math.nan
            sam_step(backward_of(model, inputs, targets), list(model.parameters()), optimizer, 0.05, 1.0)
    assert all_equal(weights_of(spoilt), weights_of(clean))


def test_a_parameter_without_gradient_is_untouched() -> None:
    model = small_network()
    idle = nn.Parameter(torch.ones(3))
    frozen = model[0].weight.requires_grad_(False)
    before = frozen.clone()
    parameters = [idle, *model.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.5)
    step = sam_step(backward_of(model, *batch(0)), parameters, optimizer, 0.05, 1.0)
    assert not step.skipped
    assert torch.equal(idle, torch.ones(3)) and torch.equal(frozen, before)
    assert idle not in optimizer.state


def test_a_gradient_of_zero_is_no_division_by_zero() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))

    def backward() -> float:
        (weight * 0.0).sum().backward()
        return 0.0

    step = sam_step(backward, [weight], torch.optim.SGD([weight], lr=1.0), 0.05, 1.0)
    assert not step.skipped
    assert weight.tolist() == [1.0, 2.0]


def test_both_passes_drop_out_the_same_units_and_the_next_step_others() -> None:
    model, (inputs, targets) = small_network(dropout=0.5).train(), batch(0, texts=40)
    masks: list[Tensor] = []
    model[2].register_forward_hook(lambda _module, _inputs, output: masks.append(output == 0))
    optimizer = torch.optim.AdamW(model.parameters(), **ADAMW)
    for _ in range(2):
        sam_step(backward_of(model, inputs, targets), list(model.parameters()), optimizer, 0.05, 1.0)
    assert torch.equal(masks[0], masks[1]) and torch.equal(masks[2], masks[3])
    assert not torch.equal(masks[0], masks[2])


def test_only_the_second_gradient_is_clipped() -> None:
    model, (inputs, targets) = small_network().double(), batch(0)
    clipped = small_network().double()
    inputs = inputs.double()
    places: dict[nn.Module, list[list[Tensor]]] = {model: [], clipped: []}
    gradients: dict[nn.Module, list[Tensor]] = {}
    for network, limit in ((model, NEVER_CLIPPED), (clipped, 1e-3)):
        optimizer = torch.optim.SGD(network.parameters(), lr=1.0)

        def backward(network: nn.Module = network) -> float:
            places[network].append(weights_of(network))
            return backward_of(network, inputs, targets)()

        sam_step(backward, list(network.parameters()), optimizer, 0.3, limit)
        gradients[network] = [parameter.grad for parameter in network.parameters()]
    assert all_equal(places[model][1], places[clipped][1])  # the ascent is as long as without clipping
    norms = {n: math.sqrt(sum(float(g.square().sum()) for g in of)) for n, of in gradients.items()}
    assert norms[model] > 1e-2
    assert norms[clipped] == pytest.approx(1e-3, rel=1e-3)
    scale = norms[clipped] / norms[model]
    for whole, part in zip(gradients[model], gradients[clipped], strict=True):
        torch.testing.assert_close(part, whole * scale)


def test_the_loss_is_the_one_before_the_step() -> None:
    model, (inputs, targets) = small_network(), batch(3)
    expected = nn.functional.cross_entropy(model(inputs), targets).item()
    optimizer = torch.optim.AdamW(model.parameters(), **ADAMW)
    step = sam_step(backward_of(model, inputs, targets), list(model.parameters()), optimizer, 2.0, 1.0)
    assert step.loss == expected


def test_an_ascent_on_a_part_of_the_batch() -> None:
    """The ascent follows the part's gradient, the descent the whole batch's at the place it leads to."""
    model, (inputs, targets) = small_network().double(), batch(5)
    expected = small_network().double()
    inputs = inputs.double()
    backward_of(expected, inputs[:2], targets[:2])()
    norm = nn.utils.get_total_norm([parameter.grad for parameter in expected.parameters()])
    before = weights_of(expected)
    with torch.no_grad():
        for parameter in expected.parameters():
            parameter += 0.3 * parameter.grad / norm
    expected.zero_grad()
    backward_of(expected, inputs, targets)()
    gradients = [parameter.grad for parameter in expected.parameters()]
    sam_step(
        backward_of(model, inputs, targets),
        list(model.parameters()),
        torch.optim.SGD(model.parameters(), lr=0.1),
        0.3,
        NEVER_CLIPPED,
        backward_of(model, inputs[:2], targets[:2]),
    )
    for after, weight, gradient in zip(model.parameters(), before, gradients, strict=True):
        torch.testing.assert_close(after.detach(), weight - 0.1 * gradient)


def test_without_a_radius_no_part_is_looked_at() -> None:
    model, plain = small_network(), small_network()
    inputs, targets = batch(5)
    for network, ascent in ((model, backward_of(model, inputs[:2], targets[:2])), (plain, None)):
        optimizer = torch.optim.AdamW(network.parameters(), **ADAMW)
        backward = backward_of(network, inputs, targets)
        sam_step(backward, list(network.parameters()), optimizer, 0.0, 1.0, ascent)
    assert all_equal(weights_of(model), weights_of(plain))
