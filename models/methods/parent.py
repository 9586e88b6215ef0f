"""The model as it was before the increment."""

from copy import deepcopy

import torch
from torch import Tensor

from models.answers import Answer
from models.recommender import Recommender


class Parent:
    """Answer as the model did before it learned the window, from weights that never move."""

    def __init__(self, model: Recommender) -> None:
        self.model = deepcopy(model).eval().requires_grad_(False)
        # An item that was never counted nor moved by its id is one that the parent has nothing to say of.
        counted = torch.from_numpy(model.clock.counts.sum(axis=1) > 0).to(model.device)
        self.known = counted | (model.residual.detach() != 0).any(dim=1)  # (N,) bool

    def to(self, device: torch.device) -> "Parent":
        """Move the weights."""
        self.model, self.known = self.model.to(device), self.known.to(device)
        return self

    @torch.no_grad()
    def answer(self, answer: Answer) -> Answer:
        """Return what the parent says of the same batch, with the popularity that the child sees."""
        return Answer.of(self.model, answer.batch, answer.snapshots)

    def parameters(self) -> dict[str, Tensor]:
        """Return the weights by name."""
        return dict(self.model.named_parameters())
