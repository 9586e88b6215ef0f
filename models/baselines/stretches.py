"""Stretches of timelines for a transformer with positions.

The queries of a user between two marks share one stretch, which begins half a length before the first mark: each query
sees at least half a length of history, or all there is, and a stretch answers half a length of queries at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.baselines.baseline import Past
from models.histories import Queries, spans

MOST_EVENTS = 6_400  # read by a batch: 64 stretches of 100


@dataclass(frozen=True)
class Stretches:
    """Hold events low:high of the histories, and the queries first:last that each stretch answers."""

    low: np.ndarray  # (C,) int64
    high: np.ndarray  # (C,) int64
    first: np.ndarray  # (C,) int64
    last: np.ndarray  # (C,) int64

    def __len__(self) -> int:
        return len(self.low)


@dataclass(frozen=True)
class Rows:
    """Hold B stretches as tensors, and where the states of their Q queries are."""

    items: Tensor  # (B, T) int64, padded at the end, where causality hides it
    gaps: Tensor  # (B, T) int64
    place: Tensor  # (Q,) int64, into the flat (B * T) states; B * T: no history
    number: np.ndarray  # (Q,) which of all queries


def stretches(queries: Queries, length: int) -> Stretches:
    """Return the stretches (at most `length` events each) of all queries."""
    half = length // 2
    known = queries.start - queries.first
    low = queries.first + np.maximum((known - 1) // half - 1, 0) * half
    changes = (np.diff(low, prepend=-1) != 0) | (np.diff(queries.user, prepend=-1) != 0)
    first = np.flatnonzero(changes)
    last = np.append(first[1:], len(queries))[: len(first)]
    return Stretches(low[first], queries.start[last - 1], first, last)


class Reader:
    """Turn stretches of queries into tensors."""

    def __init__(self, queries: Queries, past: Past, length: int) -> None:
        self.queries, self.past = queries, past
        self.stretches = stretches(queries, length)

    def in_order(self, queries: int) -> list[np.ndarray]:
        """Return the stretches in batches of similar length and about `queries` queries, short ones first."""
        return self._split(np.argsort(self.lengths, kind="stable"), queries)

    def shuffled(self, queries: int, random: np.random.Generator) -> list[np.ndarray]:
        """Return the stretches in random batches of similar length and about `queries` queries."""
        # Lengths are blurred, so that the same stretches do not meet in every epoch.
        blurred = self.lengths * random.uniform(0.8, 1.25, len(self.stretches))
        batches = self._split(np.argsort(blurred, kind="stable"), queries)
        return [batches[i] for i in random.permutation(len(batches))]

    @property
    def lengths(self) -> np.ndarray:
        """Return how many events (C,) each stretch has."""
        return self.stretches.high - self.stretches.low

    def _split(self, order: np.ndarray, queries: int) -> list[np.ndarray]:
        asked = np.cumsum((self.stretches.last - self.stretches.first)[order])
        read = np.cumsum(self.lengths[order])
        batches, low = [], 0
        while low < len(order):
            asked_before, read_before = (int(total[low - 1]) if low else 0 for total in (asked, read))
            high = int(np.searchsorted(asked, asked_before + queries, side="right"))
            high = min(high, int(np.searchsorted(read, read_before + MOST_EVENTS, side="right")))
            batches.append(order[low : max(low + 1, high)])
            low += len(batches[-1])
        return batches

    def rows(self, chosen: np.ndarray) -> Rows:
        """Return the chosen stretches (B,) as tensors."""
        part, histories = self.stretches, self.queries.histories
        low, high = part.low[chosen], part.high[chosen]
        width = max(1, int((high - low).max()))
        row, event = spans(low, high)
        items, gaps = (np.zeros((len(chosen), width), dtype=np.int64) for _ in range(2))
        items[row, event - low[row]] = histories.items[event]
        gaps[row, event - low[row]] = self.past.gaps[event]
        row, number = spans(part.first[chosen], part.last[chosen])
        known = self.queries.start[number] > self.queries.first[number]
        place = np.where(known, row * width + self.queries.start[number] - 1 - low[row], items.size)
        return Rows(torch.from_numpy(items), torch.from_numpy(gaps), torch.from_numpy(place), number)
