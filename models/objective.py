"""What a step minimises: the loss of new rows, that of replayed ones, and what the rules ask for.

    L(new) + history_weight * L(replay) + rules + adversary_weight * L(where item vectors are moved to)

Every row of a batch counts once, whatever it is; the rules' terms are of the same size.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import log
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from models.adversary import worst_nudge
from models.answers import Answer
from models.batches import Batch
from models.errors import UnknownChoice
from models.losses import binary_loss, sampled_softmax_loss, softmax_loss, trusted
from models.methods.contract import Lesson, Rule
from models.parallel import parts
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


class Binary:
    """Compare with items drawn uniformly, each by itself.

    A score of zero stands for one item in N, as it does in a softmax of equals. Were it one half, popularity and
    repetition would first unlearn what they know in order to say that almost nothing is taken.
    """

    def __init__(self, model: Recommender, generator: np.random.Generator, t: float, smoothing: float = 0.0) -> None:
        self.size, self.generator, self.device = len(model), generator, model.device
        self.t, self.smoothing = t, smoothing

    def draw(self, number: int) -> Drawn:
        """Draw `number` items without replacement."""
        drawn = torch.from_numpy(self.generator.choice(self.size, min(number, self.size), replace=False))
        return Drawn(drawn.to(self.device), torch.zeros(len(drawn), device=self.device))

    def __call__(self, answer: Answer, drawn: Drawn) -> Tensor:
        """Return the loss (M,)."""
        return binary_loss(answer, drawn.items, self.t, self.smoothing, bias=log(self.size))


def softmax(model: Recommender, settings: FitSettings, generator: np.random.Generator, smoothing: float = 0.0) -> Loss:
    """Return the softmax that the catalogue's size allows."""
    if len(model) <= settings.whole_softmax_items:
        return WholeSoftmax(model, smoothing)
    return SampledSoftmax(model, generator, smoothing)


def loss_for(model: Recommender, settings: FitSettings, generator: np.random.Generator) -> Loss:
    """Return the loss that the settings name. Raises UnknownChoice."""
    smoothing = settings.label_smoothing
    losses: dict[str, Callable[[], Loss]] = {
        "softmax": lambda: softmax(model, settings, generator, smoothing),
        "sampled-softmax": lambda: SampledSoftmax(model, generator, smoothing),
        "gbce": lambda: Binary(model, generator, settings.gbce_t, smoothing),
        "bce": lambda: Binary(model, generator, 0.0, smoothing),
    }
    if settings.loss not in losses:
        raise UnknownChoice.of("loss", settings.loss, losses)
    return losses[settings.loss]()


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
        self.loss = loss_for(model, settings, generator)
        self.is_new = torch.from_numpy(lesson.is_new).to(model.device)
        self.snapshots = torch.from_numpy(model.clock.snapshots).to(model.device)

    def __call__(self, batch: Batch | None, rows: int) -> Tensor:
        """Return what a batch of `rows` targets costs (), the penalties of the weights included.

        Of several processes, each gives its own share of the batch, perhaps none; their sum is the cost.
        """
        drawn = self.loss.draw(self.settings.negatives)
        penalties = [p for rule in self.rules if (p := rule.penalty(self.model)) is not None]
        total = sum(penalties, 0 * self.model.start.sum()) / parts()[1]
        if batch is None:
            return total
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=self.model.device.type == "cuda"):
            return total + self.costs(batch, drawn).sum() / rows

    def costs(self, batch: Batch, drawn: Drawn) -> Tensor:
        """Return what each target (M,) of a batch costs, all told."""
        answer = Answer.of(self.model, batch, self.snapshots)
        costs = self.own(answer, drawn)
        for more in self.owed(answer, drawn):
            costs = costs + more
        if self.settings.adversary:
            costs = costs + self.settings.adversary_weight * self.attacked(batch, drawn)
        return costs

    def own(self, answer: Answer, drawn: Drawn) -> Tensor:
        """Return what each target (M,) costs by itself, weighed."""
        costs = trusted(self.loss(answer, drawn), self.settings.loss_clip, self.settings.doubt)
        return torch.where(self.which_is_new(answer.batch), 1.0, self.settings.history_weight) * costs

    def owed(self, answer: Answer, drawn: Drawn) -> Iterator[Tensor]:
        """Yield what each rule asks for each target (M,)."""
        asked = drawn.items.unique() if self.rules else drawn.items
        is_new = self.which_is_new(answer.batch)
        for rule in self.rules:
            more = rule.losses(answer, asked, is_new)
            if more is not None:
                yield more

    def attacked(self, batch: Batch, drawn: Drawn) -> Tensor:
        """Return what each target (M,) costs where the adversary has moved the item vectors to."""

        def costs(nudge: Tensor) -> Tensor:
            return self.own(Answer.of(self.model, batch, self.snapshots, nudge), drawn)

        start = torch.zeros(len(self.model), self.model.architecture.dimensions, device=self.model.device)
        return costs(worst_nudge(lambda nudge: costs(nudge).mean(), start, self.settings))

    def which_is_new(self, batch: Batch) -> Tensor:
        """Tell (M,) which targets of a batch are the window's."""
        number = torch.from_numpy(batch.number).to(self.is_new.device)
        return self.is_new[number[batch.target_query]]
