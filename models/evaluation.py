"""The rank of everything that happened.

Each event to be found is ranked against the whole catalogue; sampled metrics would flatter (Krichene and Rendle 2020).
A moment is scored once, however many events it holds. Ties count against the scorer, so that a constant score earns
nothing. The events of two scorers come out in the same order, so a gate can pair them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from models.histories import Queries, check_items, target_queries
from models.timelines import Timeline


class Scorer(Protocol):
    """Score the whole catalogue at moments; higher is better."""

    def __len__(self) -> int:
        """Return N, the size of the catalogue."""

    def scores(self, queries: Queries) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (which queries (q,), their scores (q, N) float32) until every query had its turn."""


@dataclass(frozen=True)
class RankedEvents:
    """Hold every event that was to be found and its rank, 1 = on top; ordered by timeline, then by time."""

    users: tuple[str, ...]  # of the timelines
    user: np.ndarray  # (M,) int64, index into users
    item: np.ndarray  # (M,) int64
    time: np.ndarray  # (M,) float64, unix seconds
    rank: np.ndarray  # (M,) int64

    def __len__(self) -> int:
        return len(self.rank)


@dataclass(frozen=True)
class UserMeans:
    """Hold each user's mean metrics; the mean of `metrics` weighted by `events` is the event-weighted mean."""

    users: tuple[str, ...]  # who had something to be found
    events: np.ndarray  # (U,) int64
    metrics: dict[str, np.ndarray]  # each (U,) float64


def rank(scorer: Scorer, timelines: Sequence[Timeline], available: np.ndarray | None = None) -> RankedEvents:
    """Rank every target event of the timelines against the whole catalogue.

    `available` (N,) bool takes items out of the race; an event whose own item is taken out ranks last. Raises
    UnknownItem where a timeline points beyond the scorer's catalogue.
    """
    queries = target_queries(timelines)
    check_items(queries.histories, len(scorer))
    query, event = queries.target_events()
    item = queries.histories.items[event]
    ranks = np.zeros(len(item), dtype=np.int64)
    for chosen, raw in scorer.scores(queries):
        scores = raw if available is None else np.where(available, raw, -np.inf)
        wanted = np.flatnonzero(np.isin(query, chosen))
        row = np.searchsorted(chosen, query[wanted])
        ranks[wanted] = ranks_of(scores, row, item[wanted])
    return RankedEvents(queries.histories.users, queries.user[query], item, queries.time[query], ranks)


def ranks_of(scores: np.ndarray, row: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Return how many items score at least as much as `item` (m,) in their `row` (m,) of `scores` (q, N)."""
    return np.count_nonzero(scores[row] >= scores[row, item][:, None], axis=1)


def gains(ranked: RankedEvents) -> dict[str, np.ndarray]:
    """Return what each event earns (M,) under each metric."""
    return earned(ranked.rank)


def earned(r: np.ndarray) -> dict[str, np.ndarray]:
    """Return what each rank (M,) earns under each metric; one event has one right answer, so recall is a hit."""
    return {
        "recall@1": (r <= 1) * 1.0,
        "recall@10": (r <= 10) * 1.0,
        "recall@20": (r <= 20) * 1.0,
        "ndcg@10": np.where(r <= 10, 1.0 / np.log2(1.0 + r), 0.0),
        "mrr@20": np.where(r <= 20, 1.0 / r, 0.0),
    }


def metrics(ranked: RankedEvents) -> dict[str, float]:
    """Return event-weighted means, and how many events and users they stand for; zeros where nothing happened."""
    means = {name: float(gain.mean()) if len(gain) else 0.0 for name, gain in gains(ranked).items()}
    return {**means, "events": len(ranked), "users": len(np.unique(ranked.user))}


def user_means(ranked: RankedEvents) -> UserMeans:
    """Return each user's mean metrics, in the order of the timelines, for a paired comparison of two scorers."""
    present, index, events = np.unique(ranked.user, return_inverse=True, return_counts=True)
    means = {n: np.bincount(index, g, minlength=len(present)) / events for n, g in gains(ranked).items()}
    return UserMeans(tuple(ranked.users[u] for u in present), events, means)
