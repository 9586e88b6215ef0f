"""Elastic weight consolidation: what mattered before moves less.

Kirkpatrick et al. 2017, "Overcoming catastrophic forgetting in neural networks". The Fisher information is estimated
anew in each increment, at the parent, on the earlier moments that are replayed: nothing of it has to be stored, and
the same window and parent give the same penalty.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from models.answers import Answer
from models.batches import Batches
from models.histories import Queries
from models.losses import softmax_loss
from models.methods.contract import Lesson, Rule
from models.methods.parent import Parent
from models.recommender import Recommender

NegativeLogLikelihood = Callable[[Answer], Tensor]


@dataclass
class Consolidation(Rule):
    """Add strength / 2 * sum of F (weight - parent's weight)^2."""

    parent: Parent
    strength: float
    chunks: int
    generator: np.random.Generator
    loss: NegativeLogLikelihood = softmax_loss
    fisher: dict[str, Tensor] = field(default_factory=dict)

    def begin(self, model: Recommender, lesson: Lesson) -> None:
        """Estimate the Fisher information on what is replayed; on the window itself where nothing is."""
        earlier = lesson.replayed if len(lesson.replayed) else lesson.new
        training = model.training
        self.fisher = fisher_information(model.eval(), earlier, self.chunks, self.generator, self.loss)
        model.train(training)

    def penalty(self, model: Recommender) -> Tensor | None:
        """Return the penalty ()."""
        before = self.parent.parameters()
        moved = [(self.fisher[n] * (p - before[n]).square()).sum() for n, p in model.named_parameters()]
        return self.strength / 2 * torch.stack(moved).sum()


def fisher_information(
    model: Recommender,
    queries: Queries,
    chunks: int,
    generator: np.random.Generator,
    loss: NegativeLogLikelihood = softmax_loss,
) -> dict[str, Tensor]:
    """Return the diagonal of the empirical Fisher information of each weight, a target's worth of it.

    A sample is a stretch of one user's timeline: its log-likelihood is the sum over its targets, and the squares of
    the gradients of at most `chunks` such sums are added up and divided by the number of targets.
    """
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    targets = 0
    for answer in _stretches(model, queries, chunks, generator):
        gradients = torch.autograd.grad(loss(answer).sum(), list(model.parameters()), allow_unused=True)
        for name, gradient in zip(total, gradients, strict=True):
            if gradient is not None:
                total[name] += gradient.square()
        targets += len(answer.batch.target_item)
    return {name: squares / max(1, targets) for name, squares in total.items()}


def _stretches(model: Recommender, queries: Queries, limit: int, generator: np.random.Generator) -> Iterator[Answer]:
    batches = Batches(queries, model.architecture, model.clock, model.counted)
    snapshots = torch.from_numpy(model.clock.snapshots).to(model.device)
    for chunk in generator.permutation(len(batches.chunks))[:limit]:
        yield Answer.of(model, batches.batch(np.array([chunk])).to(model.device), snapshots)
