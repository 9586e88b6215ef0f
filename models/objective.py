"""What a step minimises: the loss of new rows, that of replayed ones, and what the rules ask for.

    L(new) + history_weight * L(replay) + rules

Every row of a batch counts once, whatever it is; the rules' terms are of the same size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from models.answers import Answer
from models.batches import Batch
from models.losses import sampled_softmax_loss, softmax_loss
from models.methods.contract import Lesson, Rule
from models.popularity import MONTH
from models.recommender import Recommender
from models.settings import FitSettings


@dataclass(frozen=True)
class Drawn:
    """Hold the items that a step compares the targets with."""

    items: Tensor  # (S,) int64
    log_expected: Tensor  # (S,) float32, logarithm of how often each was expected among the draws


class Loss(Protocol):
    """Draw items, and say what each target costs beside them."""

    def draw(self, number: int) -> Drawn:
        """Draw about `number` items; all there are where the loss is whole."""

    def __call__(self, answer: Answer, drawn: Drawn) -> Tensor:
        """Return the loss (M,) of each target in nats."""


class WholeSoftmax:
    """Compare with all items."""

    def __init__(self, model: Recommender, smoothing: float = 0.0) -> None:
        self.smoothing = smoothing
        everything = torch.arange(len(model), device=model.device)
        self.drawn = Drawn(everything, torch.zeros(len(model), device=model.device))

    def draw(self, number: int) -> Drawn:
        """Return all items, whatever the number."""
        return self.drawn

    def __call__(self, answer: Answer, drawn: Drawn) -> Tensor:
        """Return the loss (M,)."""
        return softmax_loss(answer, self.smoothing)


class SampledSoftmax:
    """Compare with items drawn half uniformly, half by popularity: the rare are seen, the frequent weighed often."""

    def __init__(self, model: Recommender, generator: np.random.Generator, smoothing: float = 0.0) -> None:
        self.generator, self.smoothing, self.device = generator, smoothing, model.device
        taken = model.clock.counts[:, MONTH] + 1e-12
        self.chance = 0.5 / len(model) + 0.5 * taken / taken.sum()
        self.cumulative = np.cumsum(self.chance)

    def draw(self, number: int) -> Drawn:
        """Draw `number` items with replacement."""
        chosen = self.generator.random(number) * self.cumulative[-1]
        drawn = np.minimum(np.searchsorted(self.cumulative, chosen), len(self.chance) - 1)
        expected = np.log(number * self.chance[drawn]).astype(np.float32)
        return Drawn(torch.from_numpy(drawn).to(self.device), torch.from_numpy(expected).to(self.device))

    def __call__(self, answer: Answer, drawn: Drawn) -> Tensor:
        """Return the loss (M,)."""
        return sampled_softmax_loss(answer, drawn.items, drawn.log_expected, self.smoothing)


def softmax(model: Recommender, settings: FitSettings, generator: np.random.Generator) -> Loss:
    """Return the softmax that the catalogue's size allows."""
    if len(model) <= settings.whole_softmax_items:
        return WholeSoftmax(model)
    return SampledSoftmax(model, generator)


class Objective:
    """Weigh the rows of a batch and add up what they cost."""

    def __init__(
        self,
        model: Recommender,
        lesson: Lesson,
        settings: FitSettings,
        generator: np.random.Generator,
        rules: Sequence[Rule] = (),
    ) -> None:
        self.model, self.settings, self.rules = model, settings, rules
        self.loss = softmax(model, settings, generator)
        self.is_new = torch.from_numpy(lesson.is_new).to(model.device)
        self.snapshots = torch.from_numpy(model.clock.snapshots).to(model.device)

    def __call__(self, batch: Batch) -> Tensor:
        """Return what a batch costs (), the penalties of the weights included."""
        drawn = self.loss.draw(self.settings.negatives)
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=self.model.device.type == "cuda"):
            total = self.rows(Answer.of(self.model, batch, self.snapshots), drawn).mean()
        return total + sum(p for rule in self.rules if (p := rule.penalty(self.model)) is not None)

    def rows(self, answer: Answer, drawn: Drawn) -> Tensor:
        """Return what each target (M,) costs, weighed."""
        number = torch.from_numpy(answer.batch.number).to(self.is_new.device)
        is_new = self.is_new[number[answer.batch.target_query]]
        costs = torch.where(is_new, 1.0, self.settings.history_weight) * self.loss(answer, drawn)
        asked = drawn.items.unique()
        for rule in self.rules:
            more = rule.losses(answer, asked, is_new)
            costs = costs if more is None else costs + more
        return costs
