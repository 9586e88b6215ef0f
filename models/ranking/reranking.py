"""The recommender's best items in the head's order, and what the head says of one item."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from models.answers import Answer
from models.batches import Batches
from models.histories import Queries
from models.popularity import PopularityClock
from models.ranking.examples import TASKS, Free, World
from models.ranking.features import Inputs, inputs, joined
from models.ranking.head import Head
from models.recommender import Recommender
from models.scorers import CHUNKS, moved_through

# What an item is worth, as a sum of densities' logarithms is not: each task's probability times its worth.
TAKEN: Mapping[str, float] = {"taken": 1.0}


@dataclass(frozen=True)
class _Asked:
    """Hold one batch's queries, their scores and how to read of their pairs."""

    number: np.ndarray
    answer: Answer
    free: Free

    def read(self, query: np.ndarray, item: np.ndarray) -> Inputs:
        """Return what is read of pairs of query (P,) and item (P,)."""
        device = self.answer.users.device
        pair = (torch.from_numpy(part.astype(np.int64)).to(device) for part in (query, item))
        return inputs(self.answer, torch.from_numpy(self.free.scale).to(device), *pair)


class HeadScorer:
    """Rank by the recommender, and the `best` items of each moment anew by the head; all others stay below."""

    def __init__(
        self, model: Recommender, head: Head, world: World, best: int = 100, worth: Mapping[str, float] = TAKEN
    ) -> None:
        self.model, self.head, self.world, self.best = model.eval(), head.eval(), world, best
        self.worth = np.array([worth.get(task, 0.0) for task in TASKS])

    def __len__(self) -> int:
        return len(self.model)

    @torch.inference_mode()
    def scores(self, queries: Queries) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (which queries (q,), their scores (q, N))."""
        clock = moved_through(self.model.clock, queries)
        for asked in _batches(self.model, clock, queries, self.world):
            yield asked.number, self._reordered(asked)

    def _reordered(self, asked: _Asked) -> np.ndarray:
        scores = asked.free.scores - asked.free.scale[:, None]
        items, _ = asked.free.best(min(self.best, scores.shape[1]))
        query = np.repeat(np.arange(len(scores)), items.shape[1])
        worth = self._worth(asked.read(query, items.ravel())).reshape(items.shape)
        rest = scores.copy()
        np.put_along_axis(rest, items, -np.inf, axis=1)
        below = rest.max(axis=1, keepdims=True)
        lift = np.where(np.isfinite(below), below - worth.min(axis=1, keepdims=True) + 1e-3, 0.0)
        np.put_along_axis(scores, items, worth + lift, axis=1)
        return scores.astype(np.float32)

    def _worth(self, given: Inputs) -> np.ndarray:
        """Return ln(what pairs (P,) are worth), in densities: no odds, no saturation."""
        f = self.head.densities(given)
        seen = self.worth * (self.head.learned.numpy() > 0)
        if not seen.any():
            return f[:, 0]
        return np.asarray(np.log(np.maximum(np.exp(np.clip(f, -30, 30)) @ seen, 1e-30)))


@torch.no_grad()
def read_pairs(model: Recommender, queries: Queries, item: np.ndarray, world: World) -> Inputs:
    """Return what is read of one item (Q,) of each query, popularity counted up to its moment.

    A moment may be asked about several items.
    """
    key = queries.user * (len(queries.histories.items) + 1) + queries.start
    _, place, of = np.unique(key, return_index=True, return_inverse=True)
    moments, parts, where = queries[place], [], []
    clock = moved_through(model.clock, moments)
    for asked in _batches(model.eval(), clock, moments, world):
        pair = np.flatnonzero(np.isin(of, asked.number))
        row = np.searchsorted(asked.number, of[pair])
        parts.append(asked.read(row, item[pair]))
        where.append(pair)
    return joined(parts)[torch.from_numpy(np.argsort(np.concatenate(where)))]


def _batches(model: Recommender, clock: PopularityClock, queries: Queries, world: World) -> Iterator[_Asked]:
    if not len(queries):
        return
    snapshots = torch.from_numpy(clock.snapshots).to(model.device)
    for batch in Batches(queries, model.architecture, clock, model.counted).in_order(CHUNKS):
        answer = Answer.of(model, batch.to(model.device), snapshots)
        yield _Asked(batch.number, answer, Free(answer.scores.cpu().numpy(), queries[batch.number], world))
