"""What a model says of one batch, as far as somebody asks.

A loss, a distillation and an adversary look at the same scores; what one of them has computed, the others find.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from models.batches import Batch
from models.recommender import Recommender


@dataclass
class Answer:
    """Hold the vectors of a batch; scores are computed when they are first asked for."""

    model: Recommender
    batch: Batch
    users: Tensor  # (Q, d)
    items: Tensor  # (N, d)
    snapshots: Tensor  # (S, N, 3), the popularity of all items at some times

    @classmethod
    def of(cls, model: Recommender, batch: Batch, snapshots: Tensor, nudge: Tensor | None = None) -> "Answer":
        """Ask the model, with its item vectors (N, d) moved by `nudge` (N, d) where there is one."""
        items = model.item_vectors()
        items = items if nudge is None else items + nudge
        return cls(model, batch, model.user_vectors(batch, items), items, snapshots)

    @cached_property
    def scores(self) -> Tensor:
        """Return the scores (Q, N) of all items."""
        return self.model.sum_of_terms(self.users, self.items, self.batch, self.snapshots)

    @cached_property
    def touched(self) -> Tensor:
        """Return the scores (R,) of what each query's user touched before."""
        batch = self.batch
        return self.pairs(batch.repeat_query, batch.repeat_item) + self.model.again(batch, self.snapshots)

    @cached_property
    def target(self) -> Tensor:
        """Return the scores (M,) of the targets, without those of any other item."""
        batch = self.batch
        new = self.pairs(batch.target_query, batch.target_item)
        return torch.where(batch.target_row >= 0, _padded(self.touched)[batch.target_row], new)

    def pairs(self, query: Tensor, item: Tensor) -> Tensor:
        """Return the scores (P,) of pairs of query (P,) and item (P,), without the repeat term."""
        popular = self.model.popular(self.snapshots[self.batch.snapshot[query], item])
        follows = self.model.followed(self.batch)[query, 0] * self.batch.following[query, item]
        return (self.users[query] * self.items[item]).sum(dim=1).float() + popular + follows

    def untouched(self, items: Tensor) -> Tensor:
        """Return the scores (Q, S) of `items` (S,), without the repeat term."""
        popular = self.model.popular(self.snapshots[:, items])[self.batch.snapshot]
        follows = self.model.followed(self.batch)[:, :1] * self.batch.following[:, items]
        return (self.users @ self.items[items].T).float() + popular + follows

    def of_items(self, items: Tensor) -> Tensor:
        """Return the scores (Q, S) of `items` (S,), each of which may be named once."""
        if len(items) == len(self.items):
            return self.scores[:, items]
        scores, column = self.untouched(items), self.columns(items)[self.batch.repeat_item]
        wanted = column >= 0
        place = (self.batch.repeat_query[wanted], column[wanted])
        return scores.index_put(place, self.model.again(self.batch, self.snapshots)[wanted], accumulate=True)

    def columns(self, items: Tensor) -> Tensor:
        """Return (N,) where in `items` (S,) each item of the catalogue is, -1 where it is not."""
        column = torch.full((len(self.items),), -1, device=items.device)
        column[items] = torch.arange(len(items), device=items.device)
        return column


def _padded(touched: Tensor) -> Tensor:
    """Append a zero, so that row -1 exists where nothing was touched."""
    return torch.cat([touched, touched.new_zeros(1)])
