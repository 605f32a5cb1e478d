"""Sharpness-aware minimisation: SAM, ASAM, and their cheaper forms, around any base optimizer.

SAM: Foret et al. 2021, arXiv 2010.01412. ASAM: Kwon et al. 2021, arXiv 2102.11600. Ascent on only the
normalisation layers (SAM-ON): Müller et al. 2023, arXiv 2306.04226.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from polysharp.training.randomness import random_state, set_random_state


@dataclass(frozen=True)
class Ascent:
    """The first half of a step: the ascent.

    Parameters
    ----------
    backward
        Computes the loss of the batch, or of a part of it, which is cheaper. Adds its gradient to
        ``parameter.grad`` and returns the loss.
    parameters
        The weights that are perturbed: all, or those of the normalisation layers. Gradients of the
        others are not computed.
    rho
        Radius of the neighbourhood, greater than 0.
    eta
        None for SAM; for ASAM, the constant that is added to the absolute value of every weight.
    """

    backward: Callable[[], float]
    parameters: Sequence[Tensor]
    rho: float
    eta: float | None = None


@dataclass(frozen=True)
class Step:
    """Result of one step: the loss of its first pass, and whether the weights were left unchanged."""

    loss: float
    skipped: bool


def _alone(finite: bool) -> bool:
    return finite


def sam_step(
    backward: Callable[[], float],
    parameters: Sequence[Tensor],
    optimizer: torch.optim.Optimizer,
    max_grad_norm: float,
    ascent: Ascent | None = None,
    everywhere: Callable[[bool], bool] = _alone,
) -> Step:
    """Take one step: climb from w to w + e, compute the gradient there, go back to w, descend.

    Only the gradient of the descent is clipped: the ascent normalises its own anyway. Both passes use
    the same random numbers: on the same batch they drop the same units, so that both gradients are
    of the same loss.

    Parameters
    ----------
    backward
        Computes the loss of the batch over all its micro-batches, adds its gradient to
        ``parameter.grad``, and returns the loss.
    ascent
        None takes a plain step of the base optimizer.
    everywhere
        Returns whether a flag is true in every process that trains the model: all take the step, or
        none does.

    Returns
    -------
    Step
        `skipped` if a gradient was not finite: weights and optimizer state are unchanged.
    """
    optimizer.zero_grad()
    if ascent is None:
        loss = backward()
    else:
        drawn = random_state(parameters[0].device)
        with _only(ascent.parameters, parameters):
            loss = ascent.backward()
        norm = _norm(ascent)
        if not everywhere(bool(norm.isfinite())):
            return Step(loss, skipped=True)
        with _climbed(ascent, norm):
            optimizer.zero_grad()
            set_random_state(drawn, parameters[0].device)
            backward()
    norm = nn.utils.clip_grad_norm_(parameters, max_grad_norm)
    if not everywhere(bool(norm.isfinite())):
        return Step(loss, skipped=True)
    optimizer.step()
    return Step(loss, skipped=False)


def normalisation_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return weights and biases of the model's normalisation layers, found by the name of their class."""
    return [
        parameter
        for module in model.modules()
        if type(module).__name__.lower().endswith("norm")
        for parameter in module.parameters(recurse=False)
    ]


@contextmanager
def _climbed(ascent: Ascent, norm: Tensor) -> Iterator[None]:
    """Set the weights to w + e, and restore w exactly: w + e - e would differ by rounding.

    With the gradient g, SAM's equation (2) gives e = rho * g / ||g||, and ASAM, for p = 2,
    e = rho * T^2 g / ||T g||, where T = |w| + eta. The norm is over all perturbed weights together.
    """
    climbing = [parameter for parameter in ascent.parameters if parameter.grad is not None]
    before = [parameter.detach().clone() for parameter in climbing]
    scale = ascent.rho / (norm + 1e-12)
    try:
        with torch.no_grad():
            for parameter in climbing:
                assert parameter.grad is not None
                e = _scaled(_scaled(parameter.grad, parameter, ascent.eta), parameter, ascent.eta)
                parameter.add_(e * scale.to(e.device))
        yield
    finally:
        with torch.no_grad():
            for parameter, weights in zip(climbing, before, strict=True):
                parameter.copy_(weights)


@torch.no_grad()
def _norm(ascent: Ascent) -> Tensor:
    """Return ||T g||."""
    return nn.utils.get_total_norm(
        [_scaled(p.grad, p, ascent.eta) for p in ascent.parameters if p.grad is not None]
    )


def _scaled(vector: Tensor, weights: Tensor, eta: float | None) -> Tensor:
    """Return T * vector: the vector itself for SAM."""
    return vector if eta is None else vector * (weights.abs() + eta)


@contextmanager
def _only(some: Sequence[Tensor], parameters: Sequence[Tensor]) -> Iterator[None]:
    """Compute gradients only for `some` of the parameters."""
    wanted = {id(parameter) for parameter in some}
    others = [p for p in parameters if p.requires_grad and id(p) not in wanted]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)
