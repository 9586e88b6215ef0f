"""When to stop: as soon as the last slice by time is predicted worse than before.

A slice that was drawn at random would ask what the other rows have answered already; what comes next is what counts.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from models.answers import Answer
from models.batches import Batch, Batches
from models.histories import Queries
from models.methods.contract import Lesson
from models.objective import Loss
from models.recommender import Recommender
from models.scorers import CHUNKS
from models.settings import FitSettings


def parted(lesson: Lesson, share: float) -> tuple[Lesson, Queries]:
    """Part the latest moments of the window from a lesson, about `share` of its new events."""
    size = np.where(lesson.is_new, lesson.queries.stop - lesson.queries.start, 0)
    order = np.argsort(-lesson.queries.time, kind="stable")
    late = np.zeros(len(order), dtype=bool)
    late[order] = np.cumsum(size[order]) <= share * size.sum()
    late &= lesson.is_new
    return Lesson(lesson.queries[~late], lesson.is_new[~late]), lesson.queries[late]


class Stopping:
    """Keep the weights that predict a slice best, the ones before the first step included; no slice, no stop."""

    def __init__(self, model: Recommender, late: Queries, loss: Loss, settings: FitSettings) -> None:
        self.model, self.late, self.loss = model, late, loss
        self.measures: list[float] = []
        self.waited, self.patience = 0, settings.patience if model.increments else settings.first_patience
        if len(late):
            self.batches = Batches(late, model.architecture, model.clock, model.counted)
            self.snapshots = torch.from_numpy(model.clock.snapshots).to(model.device)
            self.drawn = loss.draw(settings.negatives)
            self.enough()

    def enough(self) -> bool:
        """Look at the weights as they are; tell whether to stop."""
        if not len(self.late):
            return False
        self.measures.append(self.measured())
        if self.measures[-1] == min(self.measures) and self.measures.count(self.measures[-1]) == 1:
            self.weights, self.waited = self.copied(), 0
        else:
            self.waited += 1
        return self.waited >= self.patience

    @torch.no_grad()
    def restore(self) -> None:
        """Put the best weights back; averaged ones that came last take part."""
        if not len(self.late):
            return
        self.enough()
        for name, parameter in self.model.named_parameters():
            parameter.copy_(self.weights[name])

    def copied(self) -> dict[str, Tensor]:
        """Return the weights as they are."""
        return {name: p.detach().clone() for name, p in self.model.named_parameters()}

    @torch.no_grad()
    def measured(self) -> float:
        """Return the mean loss of the slice's targets, nothing dropped out."""
        training = self.model.training
        self.model.eval()
        losses = [self.loss(Answer.of(self.model, batch, self.snapshots), self.drawn) for batch in self._all()]
        self.model.train(training)
        return float(torch.cat(losses).mean())

    def _all(self) -> Iterator[Batch]:
        return (batch.to(self.model.device) for batch in self.batches.in_order(CHUNKS))
