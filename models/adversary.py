"""Item vectors moved to where the loss is worst.

What is learned there too is flatter around what is learned: Miyato et al. 2017, "Adversarial training methods for
semi-supervised text classification" (FGM); Madry et al. 2018, "Towards deep learning models resistant to adversarial
attacks" (PGD); He et al. 2018, "Adversarial personalized ranking".
"""

from collections.abc import Callable

import torch
from torch import Tensor

from models.errors import UnknownChoice
from models.settings import FitSettings

Cost = Callable[[Tensor], Tensor]
# Several steps must be able to reach the edge of the ball, and to turn on it.
REACH = 2.0


def worst_nudge(cost: Cost, start: Tensor, settings: FitSettings) -> Tensor:
    """Return the move (N, d) that the settings' adversary makes from `start` (N, d). Raises UnknownChoice."""
    if settings.adversary == "fgm":
        return fgm(cost, start, settings.adversary_size)
    if settings.adversary == "pgd":
        return pgd(cost, start, settings.adversary_size, settings.adversary_steps)
    raise UnknownChoice.of("adversary", settings.adversary, ("fgm", "pgd"))


def fgm(cost: Cost, start: Tensor, size: float) -> Tensor:
    """Return one step (N, d) of length `size` up the gradient of `cost`; all rows together have that length."""
    return _up(cost, start, size).detach()


def pgd(cost: Cost, start: Tensor, size: float, steps: int) -> Tensor:
    """Return the end (N, d) of `steps` steps up the gradient, never further than `size` from zero."""
    nudge = start
    for _ in range(steps):
        nudge = nudge + _up(cost, nudge, REACH * size / steps)
        nudge = nudge * (size / nudge.norm().clamp_min(1e-12)).clamp_max(1.0)
    return nudge.detach()


def _up(cost: Cost, at: Tensor, size: float) -> Tensor:
    at = at.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(cost(at), at)
    return gradient * (size / gradient.norm().clamp_min(1e-12))
