"""Who can be ranked: the model, and the two answers that it has to beat.

All of them read the popularity of their time from a clock. Give the same clock to two models, and they are compared on
what they learned, not on when they were trained.
"""

from collections.abc import Iterator

import numpy as np
import torch

from models.batches import MOST_SCORES, Batches
from models.histories import Queries
from models.popularity import WEEK, PopularityClock
from models.recommender import Recommender
from models.repeat import pair_states, repeat_rows

# Chunks of an evaluation batch; larger ones only pad more.
CHUNKS = 64
# A tie-breaker must not overtake a real difference: counts differ by one, popularity is scaled below this.
TIE = 0.5


class ModelScorer:
    """Score with a model and a popularity clock, the model's own unless another is given."""

    def __init__(self, model: Recommender, clock: PopularityClock | None = None) -> None:
        self.model = model.eval()
        self.clock = clock or model.clock

    def __len__(self) -> int:
        return len(self.model)

    @torch.inference_mode()
    def scores(self, queries: Queries) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (which queries (q,), their scores (q, N))."""
        clock = moved_through(self.clock, queries)
        snapshots = torch.from_numpy(clock.snapshots).to(self.model.device)
        for batch in Batches(queries, self.model.architecture, clock, self.model.counted).in_order(CHUNKS):
            yield batch.number, self.model.scores(batch.to(self.model.device), snapshots).cpu().numpy()


class PopularityScorer:
    """Score by what everybody took lately: the decayed count with a half-life of a week."""

    def __init__(self, clock: PopularityClock) -> None:
        self.clock = clock

    def __len__(self) -> int:
        return len(self.clock)

    def scores(self, queries: Queries) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (which queries (q,), their scores (q, N))."""
        clock = moved_through(self.clock, queries)
        snapshot = clock.latest(queries.time)
        for chosen in _slices(queries, len(self)):
            yield chosen, clock.snapshots[snapshot[chosen], :, WEEK]


class FrequencyScorer:
    """Score by how often the user took the item; ties, and items never taken, by recent popularity."""

    def __init__(self, clock: PopularityClock) -> None:
        self.popularity = PopularityScorer(clock)

    def __len__(self) -> int:
        return len(self.popularity)

    def scores(self, queries: Queries) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (which queries (q,), their scores (q, N))."""
        states = pair_states(queries.histories)
        for chosen, popular in self.popularity.scores(queries):
            rows = repeat_rows(states, queries[chosen])
            scores = TIE * popular / (1.0 + popular.max(axis=1, keepdims=True))
            scores[rows.query, rows.item] += np.rint(np.expm1(rows.values[:, 1]))
            yield chosen, scores


def moved_through(clock: PopularityClock, queries: Queries) -> PopularityClock:
    """Return a copy of `clock` that has counted the events to be found and has a snapshot for each part of them.

    The clock must not have counted them before: score first, then train.
    """
    clock = clock.copy()
    _, event = queries.target_events()
    clock.advance(queries.histories.items[event], queries.histories.times[event], queries.time)
    return clock


def _slices(queries: Queries, size: int) -> list[np.ndarray]:
    step = max(1, MOST_SCORES // size)
    return [np.arange(i, min(i + step, len(queries))) for i in range(0, len(queries), step)]
