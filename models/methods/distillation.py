"""The parent's answers as a second teacher.

On new rows this is "learning without forgetting" (Li and Hoiem 2016): it needs nothing of the past. On replayed rows it
is what most of ADER's gain comes from besides dropout (Mi et al. 2020, "ADER: adaptively distilled exemplar replay"):
the parent said more of an old moment than the one item that was taken.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from models.answers import Answer
from models.methods.contract import Lesson, Rule
from models.methods.parent import Parent
from models.recommender import Recommender


@dataclass
class Distillation(Rule):
    """Add KL(parent || child) over the items that the parent knew."""

    parent: Parent
    on_new: float  # weights of a row
    on_replay: float
    adaptive: bool = False
    temperature: float = 1.0

    def begin(self, model: Recommender, lesson: Lesson) -> None:
        """Weigh replayed rows as ADER does, if asked to."""
        if self.adaptive:
            new, old = (int((q.stop - q.start).sum()) for q in (lesson.new, lesson.replayed))
            self.on_replay *= adaptive_weight(int(self.parent.known.sum()), len(model), old, new)

    def losses(self, answer: Answer, asked: Tensor, is_new: Tensor) -> Tensor | None:
        """Return the divergence (M,) of each target's query, times its weight."""
        asked = asked[self.parent.known[asked]]
        weight = torch.where(is_new, self.on_new, self.on_replay)
        if not len(asked) or not bool(weight.any()):
            return None
        said, wanted = answer.of_items(asked), self.parent.answer(answer).of_items(asked)
        return weight * divergence(wanted, said, self.temperature)[answer.batch.target_query]


def divergence(parent: Tensor, child: Tensor, temperature: float = 1.0) -> Tensor:
    """Return T^2 KL(softmax(parent / T) || softmax(child / T)) (Q,) of scores (Q, S).

    T^2 keeps the gradient of a size (Hinton et al. 2015). Equal scores have divergence and gradient zero.
    """
    wanted, said = ((scores / temperature).log_softmax(dim=1) for scores in (parent, child))
    return temperature**2 * kl_div(said, wanted, reduction="none", log_target=True).sum(dim=1)


def adaptive_weight(items_before: int, items_now: int, replayed: int, new: int) -> float:
    """Return what ADER's weight makes of one replayed row's, from numbers of items and of targets.

    ADER weighs the *mean* over exemplars by sqrt(items_before / items_now * replayed / new); here every row counts
    once, and the mean over `replayed` rows is a `new / replayed` part larger than their sum over `new` rows.
    """
    if not (replayed and new and items_now):
        return 1.0
    return math.sqrt(items_before / items_now * replayed / new) * new / replayed
