"""The distance to the parent, and the mean of both.

L2 to the parent is EWC with every weight equally dear (L2-SP, Li et al. 2018, "Explicit inductive bias for transfer
learning"). The mean of parent and child in the space of weights (Wortsman et al. 2022, "Robust fine-tuning of
zero-shot models") costs nothing while training and can be chosen afterwards.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.methods.contract import Rule
from models.methods.parent import Parent
from models.recommender import Recommender


@dataclass
class Anchor(Rule):
    """Add strength / 2 * |weights - parent's weights|^2."""

    parent: Parent
    strength: float

    def penalty(self, model: Recommender) -> Tensor | None:
        """Return the penalty ()."""
        before = self.parent.parameters()
        moved = [(p - before[name]).square().sum() for name, p in model.named_parameters()]
        return self.strength / 2 * torch.stack(moved).sum()


@dataclass
class Interpolation(Rule):
    """Give the parent its share of the weights that come out."""

    parent: Parent
    share: float

    @torch.no_grad()
    def finish(self, model: Recommender) -> None:
        """Move each weight towards the parent's; the ids of items that the parent did not know keep what they have."""
        before = self.parent.parameters()
        for name, parameter in model.named_parameters():
            mixed = parameter.lerp(before[name], self.share)
            parameter.copy_(torch.where(self.parent.known[:, None], mixed, parameter) if name == "residual" else mixed)
