"""One increment on several devices.

Started by `torchrun`, each process holds the whole model and its share of each batch; gradients are added up after
each batch, so all processes take the same step and end with the same weights. The model is small: what is divided is
the work, not the weights.
"""

import numpy as np
import torch
from torch import Tensor, distributed, nn


def parts() -> tuple[int, int]:
    """Return which process this is, and of how many; (0, 1) without torch.distributed."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def share(chosen: np.ndarray) -> np.ndarray:
    """Return this process's share of the chunks of a batch; it may be empty."""
    rank, world = parts()
    return chosen[rank::world]


def add_up(model: nn.Module) -> None:
    """Replace each gradient by the sum over all processes; one that is missing counts as zero."""
    if parts()[1] == 1:
        return
    parameters = [p for p in model.parameters() if p.requires_grad]
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
    distributed.all_reduce(flat)
    for parameter, gradient in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = gradient.view_as(parameter).clone()


def total(number: Tensor) -> Tensor:
    """Return the sum of `number` over all processes."""
    if parts()[1] > 1:
        number = number.clone()
        distributed.all_reduce(number)
    return number
