"""The hooks of an increment.

A rule sees the parent and each batch, and knows nothing of steps, optimisers and devices. Rules add up: a method is a
handful of settings, and each rule is there when its strength is not zero.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from models.answers import Answer
from models.histories import Queries
from models.recommender import Recommender


@dataclass(frozen=True)
class Lesson:
    """Hold the moments that an increment learns: those of the window, and earlier ones that are replayed."""

    queries: Queries
    is_new: np.ndarray  # (Q,) bool

    @property
    def new(self) -> Queries:
        """Return the moments of the window."""
        return self.queries[self.is_new]

    @property
    def replayed(self) -> Queries:
        """Return the earlier moments."""
        return self.queries[~self.is_new]


class Rule:
    """Do nothing at each hook; a rule overrides the ones that it needs."""

    def begin(self, model: Recommender, lesson: Lesson) -> None:
        """Prepare, before the first step; the model still has the parent's weights."""

    def losses(self, answer: Answer, asked: Tensor, is_new: Tensor) -> Tensor | None:
        """Return what each target (M,) of the batch costs besides its own loss.

        `asked` (S,) are the items that the loss compares, each once; `is_new` (M,) tells which targets are the
        window's.
        """
        return None

    def penalty(self, model: Recommender) -> Tensor | None:
        """Return what the weights () cost by themselves, once a step."""
        return None

    def finish(self, model: Recommender) -> None:
        """Change the weights in place after the last step."""
