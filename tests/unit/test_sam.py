"""The SAM step, held against another implementation and against what the docstring promises."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from pytorch_optimizer import SAM
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, BertConfig

from polysharp.training.sam import Ascent, Step, normalisation_parameters, sam_step

NEVER_CLIPPED = 1e30
finite = st.floats(-10, 10, allow_subnormal=False)
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


def step_of_sam(
    backward: Callable[[], float],
    parameters: list[Tensor],
    optimizer: torch.optim.Optimizer,
    rho: float = 0.05,
    limit: float = 1.0,
    *,
    eta: float | None = None,
    climbing: list[Tensor] | None = None,
    part: Callable[[], float] | None = None,
) -> Step:
    """Take a step whose ascent runs on all weights and the whole batch, unless told otherwise."""
    ascent = Ascent(part or backward, climbing or parameters, rho, eta) if rho else None
    return sam_step(backward, parameters, optimizer, limit, ascent)


def weights_of(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def all_equal(ones: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(ones, others, strict=True))


def flat_state(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [value.clone() for state in optimizer.state.values() for value in state.values()]


def compare_with_the_oracle(rho: float, tolerance: float, adaptive: bool, **adamw: float) -> None:
    ours, theirs = small_bert(), small_bert()
    our_adamw = torch.optim.AdamW(ours.parameters(), **adamw)
    oracle = SAM(theirs.parameters(), torch.optim.AdamW, rho=rho, adaptive=adaptive, **adamw)
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

        step = step_of_sam(
            partial(lambda backward: backward(ours).item(), backward),
            list(ours.parameters()),
            our_adamw,
            rho,
            NEVER_CLIPPED,
            eta=0.0 if adaptive else None,
        )
        loss = closure()
        oracle.step(closure)
        assert not step.skipped
        assert step.loss == pytest.approx(loss.item(), abs=tolerance)
        for our, their in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(our, their, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("rho", "adaptive"), [(0.05, False), (0.5, False), (0.5, True), (2.0, True)])
def test_equals_the_oracle_over_fifty_steps(
    rho: float, adaptive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def squared_norm(groups: list[dict[str, Any]], **_: bool) -> Tensor:
        weighted = [
            p.grad * p.abs() if adaptive else p.grad
            for group in groups
            for p in group["params"]
            if p.grad is not None
        ]
        return torch.cat([vector.flatten() for vector in weighted]).square().sum().reshape(1)

    # Its own rounds the norm to float32, whatever the weights are.
    monkeypatch.setattr("pytorch_optimizer.optimizer.sam.get_global_gradient_norm", squared_norm)
    compare_with_the_oracle(rho, 1e-10, adaptive, **ADAMW)


@pytest.mark.parametrize(("rho", "adaptive"), [(0.05, False), (0.5, False), (0.5, True)])
def test_equals_the_oracle_as_published_to_its_precision(rho: float, adaptive: bool) -> None:
    # A larger epsilon, as AdamW would blow up float32's rounding wherever a gradient is nearly 0.
    compare_with_the_oracle(rho, 1e-6, adaptive, eps=1e-4, **ADAMW)


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

    step_of_sam(backward, list(model.parameters()), optimizer, 0.3, NEVER_CLIPPED)
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
        step_of_sam(backward_of(ours, *batch(seed)), list(ours.parameters()), our_adamw, 0.0, 0.1)
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
        step_of_sam(backward_of(model, *batch(seed)), list(model.parameters()), optimizer, 0.7, 1.0)
        assert all_equal(starts[-1], before)
        assert not all_equal(weights_of(model), before)


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("failing", [1, 2])
def test_a_gradient_that_is_not_finite_changes_nothing(failing: int, spoilt: float) -> None:
    model = small_network()
    optimizer = torch.optim.AdamW(model.parameters(), **ADAMW)
    parameters = list(model.parameters())
    assert not step_of_sam(backward_of(model, *batch(0)), parameters, optimizer, 0.05, 1.0).skipped
    weights, state = weights_of(model), flat_state(optimizer)
    passes: Iterator[int] = iter((1, 2))

    def backward() -> float:
        loss = backward_of(model, *batch(1))()
        if next(passes) == failing:
            parameters[2].grad[0, 0] = spoilt
        return loss

    assert step_of_sam(backward, parameters, optimizer, 0.05, 1.0).skipped
    assert all_equal(weights_of(model), weights)
    assert all_equal(flat_state(optimizer), state)
    assert not step_of_sam(backward_of(model, *batch(1)), parameters, optimizer, 0.05, 1.0).skipped


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
            step_of_sam(backward_of(model, inputs, targets), list(model.parameters()), optimizer, 0.05, 1.0)
    assert all_equal(weights_of(spoilt), weights_of(clean))


def test_a_parameter_without_gradient_is_untouched() -> None:
    model = small_network()
    idle = nn.Parameter(torch.ones(3))
    frozen = model[0].weight.requires_grad_(False)
    before = frozen.clone()
    parameters = [idle, *model.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.5)
    step = step_of_sam(backward_of(model, *batch(0)), parameters, optimizer, 0.05, 1.0)
    assert not step.skipped
    assert torch.equal(idle, torch.ones(3)) and torch.equal(frozen, before)
    assert idle not in optimizer.state


def test_a_gradient_of_zero_is_no_division_by_zero() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))

    def backward() -> float:
        (weight * 0.0).sum().backward()
        return 0.0

    step = step_of_sam(backward, [weight], torch.optim.SGD([weight], lr=1.0), 0.05, 1.0)
    assert not step.skipped
    assert weight.tolist() == [1.0, 2.0]


def test_both_passes_drop_out_the_same_units_and_the_next_step_others() -> None:
    model, (inputs, targets) = small_network(dropout=0.5).train(), batch(0, texts=40)
    masks: list[Tensor] = []
    model[2].register_forward_hook(lambda _module, _inputs, output: masks.append(output == 0))
    optimizer = torch.optim.AdamW(model.parameters(), **ADAMW)
    for _ in range(2):
        step_of_sam(backward_of(model, inputs, targets), list(model.parameters()), optimizer, 0.05, 1.0)
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

        step_of_sam(backward, list(network.parameters()), optimizer, 0.3, limit)
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
    step = step_of_sam(backward_of(model, inputs, targets), list(model.parameters()), optimizer, 2.0, 1.0)
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
    step_of_sam(
        backward_of(model, inputs, targets),
        list(model.parameters()),
        torch.optim.SGD(model.parameters(), lr=0.1),
        0.3,
        NEVER_CLIPPED,
        part=backward_of(model, inputs[:2], targets[:2]),
    )
    for after, weight, gradient in zip(model.parameters(), before, gradients, strict=True):
        torch.testing.assert_close(after.detach(), weight - 0.1 * gradient)


@given(
    st.lists(st.tuples(finite, finite), min_size=1, max_size=6),
    st.floats(0.01, 3),
    st.floats(0, 2),
)
def test_asam_climbs_as_its_paper_says(entries: list[tuple[float, float]], rho: float, eta: float) -> None:
    """Kwon et al. 2021, p = 2: e = rho * T^2 g / ||T g||, T = |w| + eta."""
    w, g = np.array(entries).T
    weight, places = nn.Parameter(torch.tensor(w)), []

    def backward() -> float:
        places.append(weight.detach().clone().numpy())
        weight.grad = torch.tensor(g)
        return 0.0

    step_of_sam(backward, [weight], torch.optim.SGD([weight], lr=1.0), rho, NEVER_CLIPPED, eta=eta)
    scale = np.abs(w) + eta
    norm = np.sqrt(np.square(scale * g).sum())
    assume(norm == 0 or norm > 1e-5)  # between them lies the guard against division by zero
    expected = rho * scale**2 * g / (norm or 1.0)
    np.testing.assert_allclose(places[1], w + expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(weight.detach().numpy(), w - g, rtol=1e-12)


def test_normalisation_layers_climb_alone_and_the_others_gradients_are_not_computed() -> None:
    model = small_bert()
    climbing = normalisation_parameters(model)
    names = {name for name, p in model.named_parameters() if any(p is other for other in climbing)}
    assert names == {name for name, _ in model.named_parameters() if "LayerNorm" in name}
    before, seen = weights_of(model), []

    def backward() -> float:
        loss = model(input_ids=torch.arange(14).reshape(2, 7), labels=torch.tensor([0, 2])).loss
        loss.backward()
        moved = [not torch.equal(p, w) for p, w in zip(model.parameters(), before, strict=True)]
        seen.append(([p.grad is not None for p in model.parameters()], moved))
        return loss.item()

    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    step_of_sam(backward, parameters, optimizer, 0.5, NEVER_CLIPPED, climbing=climbing)
    is_norm = [name in names for name, _ in model.named_parameters()]
    (first, _), (second, moved) = seen
    assert first == is_norm
    assert moved == is_norm
    assert all(second)
    assert all(p.requires_grad for p in parameters)
    assert not any(torch.equal(p, w) for p, w in zip(parameters, before, strict=True))


@pytest.mark.parametrize("without", [1, 2])
def test_a_parameter_without_gradient_in_one_pass_is_restored(without: int) -> None:
    """What has a gradient in the ascent alone climbs and comes back; in the descent alone, it descends."""
    sometimes, always = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    passes, places = iter((1, 2)), []

    def backward() -> float:
        places.append(sometimes.detach().clone())
        loss = always.square().sum()
        if next(passes) != without:
            loss = loss + sometimes.square().sum()
        loss.backward()
        return loss.item()

    parameters: list[Tensor] = [sometimes, always]
    step_of_sam(backward, parameters, torch.optim.SGD(parameters, lr=0.1), 0.5, NEVER_CLIPPED)
    climbed, descended = without == 2, without == 1
    assert torch.equal(places[1], torch.ones(2)) != climbed
    assert torch.equal(sometimes, torch.ones(2)) != descended
    assert not torch.equal(always, torch.ones(2))


@pytest.mark.parametrize("climbing", ["all", "some"])
@pytest.mark.parametrize("failing", [1, 2])
def test_a_pass_that_breaks_off_leaves_the_weights_where_they_were(failing: int, climbing: str) -> None:
    model = small_network()
    optimizer = torch.optim.AdamW(model.parameters(), **ADAMW)
    before, passes = weights_of(model), iter((1, 2))

    def backward() -> float:
        loss = backward_of(model, *batch(0))()
        if next(passes) == failing:
            raise RuntimeError("out of memory")
        return loss

    some = list(model[0].parameters()) if climbing == "some" else None
    with pytest.raises(RuntimeError):
        step_of_sam(backward, list(model.parameters()), optimizer, 0.5, climbing=some)
    assert all_equal(weights_of(model), before)
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("bad_pass", [1, 2])
def test_a_bad_gradient_anywhere_is_skipped_everywhere(bad_pass: int) -> None:
    model = small_network()
    optimizer = torch.optim.AdamW(model.parameters(), **ADAMW)
    before, asked = weights_of(model), iter((1, 2))
    step = sam_step(
        backward_of(model, *batch(0)),
        list(model.parameters()),
        optimizer,
        1.0,
        Ascent(backward_of(model, *batch(0)), list(model.parameters()), 0.05),
        everywhere=lambda finite: finite and next(asked) != bad_pass,
    )
    assert step.skipped
    assert all_equal(weights_of(model), before)


@pytest.mark.parametrize("eta", [None, 0.01])
def test_in_bfloat16_the_ascent_is_not_rounded_away(eta: float | None) -> None:
    """The weights stay in float32, so that a step of 0.05 over thousands of weights is one."""
    model, (inputs, targets) = small_network(), batch(0)
    before, places = weights_of(model), []

    def backward() -> float:
        places.append(weights_of(model))
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(inputs)
        assert logits.dtype == torch.bfloat16
        loss = nn.functional.cross_entropy(logits.float(), targets)
        loss.backward()
        return loss.item()

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    step_of_sam(backward, list(model.parameters()), optimizer, 1e-4, NEVER_CLIPPED, eta=eta)
    moved = math.sqrt(
        sum(float((there - weight).square().sum()) for there, weight in zip(places[1], before, strict=True))
    )
    assert moved == pytest.approx(1e-4, rel=1e-2) if eta is None else 0 < moved < 1e-4
