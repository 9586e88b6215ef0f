"""What all baselines share: live popularity decides between equals, and scores are made some queries at a time.

The tie-break is no detail. Most scores of a neighbourhood method are exactly zero, and a user without history has
nothing but zeros; what everybody takes at the moment is then the best simple answer, and a baseline that leaves the
order to chance would be beaten too easily.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from models.backtest.log import EventLog
from models.baselines.live import LiveCounts, LiveWindow
from models.batches import MOST_SCORES
from models.encoder import gap_buckets
from models.evaluation import Scorer
from models.histories import Histories, Queries, begins_moment, check_items, spans
from models.timelines import Catalogue

# Of the largest score of a row, or of one: less than any difference that a method means, more than float32 rounds away.
TIE = 1e-4


@dataclass(frozen=True)
class Past:
    """Hold what is computed once of the histories of all queries."""

    histories: Histories

    @cached_property
    def first(self) -> np.ndarray:
        """Tell (E,) whether an event is the first one of its user with its item."""
        items, owner = self.histories.items, self.histories.owner
        order = np.lexsort((items, owner))
        heads = np.diff(items[order], prepend=-1) | np.diff(owner[order], prepend=-1)
        first = np.zeros(len(order), dtype=bool)
        first[order] = heads != 0
        return first

    @cached_property
    def gaps(self) -> np.ndarray:
        """Return the bucket (E,) of the time since the user's event before."""
        return gap_buckets(self.histories.times, self.histories.bounds)

    @cached_property
    def moment(self) -> np.ndarray:
        """Return which moment (E,) of its user an event belongs to, counted from 0."""
        total = np.cumsum(begins_moment(self.histories))
        return total - total[self.histories.bounds[:-1][self.histories.owner]]


@dataclass(frozen=True)
class Portion:
    """Hold queries whose scores fit into memory; neighbouring rows often belong to one user."""

    queries: Queries
    past: Past
    size: int  # N, items to be scored

    def __len__(self) -> int:
        return len(self.queries)

    def parts(self, most: int) -> list[Portion]:
        """Return the portion in parts of at most `most` queries."""
        bounds = range(0, len(self), most)
        return [Portion(self.queries[np.arange(i, min(i + most, len(self)))], self.past, self.size) for i in bounds]

    def history(self, latest: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return (row (m,), position (m,)) of every event that a query may know, or of its `latest` ones."""
        first = self.queries.first
        return spans(first if latest is None else np.maximum(first, self.queries.start - latest), self.queries.start)

    def added(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (row (m,), position (m,)) of the events that a query knows beyond those of the row above.

        Their running sum along a user's rows is the sum over histories, at the cost of one history a user.
        """
        queries = self.queries
        goes_on = np.diff(queries.user, prepend=-1) == 0
        low = np.where(goes_on, np.roll(queries.start, 1), queries.first)
        return spans(low, queries.start)

    def along(self, steps: np.ndarray) -> np.ndarray:
        """Turn the `steps` (q, ...) into their running sums along the rows of each user, in place."""
        heads = np.flatnonzero(np.diff(self.queries.user, prepend=-1))
        for low, high in zip(heads, np.append(heads[1:], len(self)), strict=True):
            np.cumsum(steps[low:high], axis=0, out=steps[low:high])
        return steps

    def sums(self, weight: np.ndarray, follow: np.ndarray | sparse.csr_array | None = None) -> np.ndarray:
        """Return the sums (q, M) over each history of `weight` (E,) times the item's row of `follow` (n, M).

        Without `follow` an item stands for itself (q, N); items beyond the n rows stand for nothing.
        """
        row, event = self.added()
        rows = self.rows(row, event, weight[event], self.size if follow is None else follow.shape[0])
        steps = rows if follow is None else rows @ follow
        return self.along(np.asarray(steps if isinstance(steps, np.ndarray) else steps.toarray(), dtype=np.float32))

    def rows(
        self, row: np.ndarray, event: np.ndarray, weight: np.ndarray, size: int, kind: type = np.float32
    ) -> sparse.csr_array:
        """Return the items of events (m,) as rows (q, size) of their weights (m,); items beyond `size` are left out."""
        item = self.queries.histories.items[event]
        known = (item < size) & (weight != 0)
        return sparse.csr_array((weight[known].astype(kind), (row[known], item[known])), shape=(len(self), size))


class Baseline(ABC):
    """Learn and score behind the contract of models/backtest; subclasses say what is learned and how it scores."""

    def __init__(self, half_life: float | None = None) -> None:
        self.popularity = LiveCounts() if half_life is None else LiveCounts(half_life)

    def learn(self, past: EventLog, start: int) -> None:
        """Learn the events of `past` from position `start` on."""
        self.popularity.learn(past, start)
        self.learn_events(past, start)

    def scorer(self, catalogue: Catalogue) -> Scorer:
        """Return what ranks `catalogue`."""
        return BaselineScorer(self, len(catalogue))

    @abstractmethod
    def learn_events(self, past: EventLog, start: int) -> None:
        """Learn whatever the method knows besides popularity."""

    @abstractmethod
    def score(self, portion: Portion) -> np.ndarray:
        """Return the scores (q, n) of a portion; the N - n newest items, of which nothing is known, may be left out."""


class BaselineScorer:
    """Score with a baseline as it is now."""

    def __init__(self, baseline: Baseline, size: int) -> None:
        self.baseline, self.size = baseline, size

    def __len__(self) -> int:
        return self.size

    def scores(self, queries: Queries) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (which queries (q,), their scores (q, N) float32) until every query had its turn."""
        check_items(queries.histories, self.size)
        live, past = self.baseline.popularity.through(queries), Past(queries.histories)
        for chosen in portions(len(queries), self.size):
            portion = Portion(queries[chosen], past, self.size)
            yield chosen, untied(self.baseline.score(portion), live, portion)


def portions(queries: int, size: int) -> Iterator[np.ndarray]:
    """Yield the numbers of the queries, as many at a time as have MOST_SCORES scores together."""
    step = max(1, MOST_SCORES // max(1, size))
    for low in range(0, queries, step):
        yield np.arange(low, min(low + step, queries))


def untied(scores: np.ndarray, live: LiveWindow, portion: Portion) -> np.ndarray:
    """Return the scores (q, N) float32 with live popularity between equals; items that were left out score zero."""
    popular = live.at(portion.queries.time, portion.size)
    popular /= np.maximum(popular.max(axis=1, keepdims=True), 1e-30)
    largest = np.abs(scores).max(axis=1, keepdims=True, initial=0.0)
    popular *= TIE * np.where(largest > 0, np.minimum(largest, 1.0), 1.0)
    popular[:, : scores.shape[1]] += scores
    return popular
