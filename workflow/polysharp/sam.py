"""Sharpness-aware minimisation (SAM): Foret et al. 2021, arXiv 2010.01412, Algorithm 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """What one step saw: the loss before it, and whether the weights were changed."""

    loss: float
    skipped: bool


def sam_step(
    backward: Callable[[], float],
    parameters: Sequence[Tensor],
    optimizer: torch.optim.Optimizer,
    rho: float,
    max_grad_norm: float,
    ascent: Callable[[], float] | None = None,
) -> Step:
    """Take one step of SAM; of the base optimizer alone where `rho` is 0.

    With the gradient g of the loss L at the weights w, equation (2) of the paper gives the ascent
    e = rho * g / ||g||; the base optimizer then descends from w along the gradient at w + e. The
    norm runs over all parameters together. Only the second gradient is clipped: the ascent
    normalises the first one anyway. Both passes drop out the same units, as both gradients are
    meant to be of one and the same loss.

    Parameters
    ----------
    backward
        Computes the loss of the batch, adds its gradient to ``parameter.grad``, returns the loss.
    ascent
        The same for the part of the batch that the ascent runs on, where that is not all of it
        (the sharpness of small batches: section 4.1 of the paper).

    Returns
    -------
    Step
        `skipped` when a gradient was not finite: weights and optimizer state are as before.
    """
    random_state = _random_state()
    optimizer.zero_grad()
    loss = ascent() if ascent and rho > 0 else backward()  # L(w) and its gradient g
    if not _norm(parameters).isfinite():
        return Step(loss, skipped=True)
    if rho > 0:
        weights = _ascend(parameters, rho)  # w + e
        optimizer.zero_grad()
        _set_random_state(random_state)
        backward()  # the gradient of L at w + e
        _restore(parameters, weights)  # back to w
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_grad_norm)
    if not norm.isfinite():
        return Step(loss, skipped=True)
    optimizer.step()
    return Step(loss, skipped=False)


def _norm(parameters: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


@torch.no_grad()
def _ascend(parameters: Sequence[Tensor], rho: float) -> list[Tensor | None]:
    """Move the parameters to w + e and return w, exactly: w + e - e would not be w again."""
    scale = rho / (_norm(parameters) + 1e-12)
    before: list[Tensor | None] = []
    for parameter in parameters:
        before.append(None if parameter.grad is None else parameter.clone())
        if parameter.grad is not None:
            parameter.add_(parameter.grad * scale.to(parameter.device))
    return before


@torch.no_grad()
def _restore(parameters: Sequence[Tensor], before: Sequence[Tensor | None]) -> None:
    for parameter, weights in zip(parameters, before, strict=True):
        if weights is not None:
            parameter.copy_(weights)


def _random_state() -> list[Tensor]:
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return [torch.get_rng_state(), *devices]


def _set_random_state(state: Sequence[Tensor]) -> None:
    torch.set_rng_state(state[0])
    if len(state) > 1:
        torch.cuda.set_rng_state_all(list(state[1:]))
