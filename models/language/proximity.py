"""One adapter that evolves, and a term that keeps it near its predecessor.

Yoo et al. 2025, "Continual Low-Rank Adapters for LLM-based Generative Recommender Systems" (PESO): stacks of frozen
adapters hold on to what users no longer want, a single one that is trained on and on forgets, and a single one that
is tied to its last state does better than both. The tie compares each adapted module's entries as distributions,

    sum over modules m of  n_m · KL(softmax(θ'_m) || softmax(θ_m)),

which weighs a change in the directions in which the predecessor is large. The factor n_m, the number of entries, is
ours: for small entries a term is then about half the squared distance, whatever the rank.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Proximity:
    """Say how far an adapter has moved from its predecessor."""

    def __init__(self, before: Mapping[str, Tensor], strength: float, device: torch.device) -> None:
        self.strength = strength
        self.names = modules(before)
        self.before = {m: _flat(before, names).to(device).log_softmax(dim=0) for m, names in self.names.items()}

    def __call__(self, now: Mapping[str, nn.Parameter]) -> Tensor:
        """Return the weighted divergence in nats."""
        terms = [
            len(before) * _divergence(before, _flat(now, self.names[module]).log_softmax(dim=0))
            for module, before in self.before.items()
        ]
        return self.strength * torch.stack(terms).sum()


def modules(tensors: Mapping[str, object]) -> dict[str, list[str]]:
    """Return the names of the tensors of each adapted module."""
    found: dict[str, list[str]] = {}
    for name in sorted(tensors):
        module = name.partition(".lora_")[0] if ".lora_" in name else name.rpartition(".")[0]
        found.setdefault(module, []).append(name)
    return found


def _divergence(before: Tensor, now: Tensor) -> Tensor:
    return (before.exp() * (before - now)).sum()


def _flat(tensors: Mapping[str, Tensor], names: list[str]) -> Tensor:
    return torch.cat([tensors[name].flatten().float() for name in names])
