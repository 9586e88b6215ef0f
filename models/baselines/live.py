"""Decayed counts of items as they stood at any moment of a window.

The clock of models/popularity.py leaves a few dozen snapshots, which is what serving and training can afford. A
baseline that is to be beaten gets the exact count at each moment, and any pace of forgetting.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

import numpy as np
from scipy import sparse

from models.backtest.log import EventLog
from models.histories import Queries
from models.popularity import DAY

WEEK = 7.0 * DAY  # seconds


@dataclass
class LiveCounts:
    """Hold what is left of the count of N items at the time `at`: half of it is forgotten in each half-life."""

    half_life: float = WEEK  # seconds; inf: nothing is forgotten
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (N,) float64
    at: float = -inf  # unix seconds

    def learn(self, past: EventLog, start: int) -> None:
        """Count the events of `past` from position `start` on."""
        items, times = past.item[start:], past.time[start:]
        self.counts = np.pad(self.counts, (0, len(past.catalogue) - len(self.counts)))
        if not len(items):
            return
        last = float(times[-1])
        if self.at > -inf:
            self.counts *= self.left(np.array(last - self.at))
        self.counts += np.bincount(items, self.left(last - times), minlength=len(self.counts))
        self.at = last

    def left(self, seconds: np.ndarray) -> np.ndarray:
        """Return what is left (...) of one event after `seconds` (...)."""
        return np.exp2(-np.maximum(seconds, 0.0) / self.half_life)

    def through(self, queries: Queries) -> LiveWindow:
        """Return the counts at the moments of a window, whose events later than `at` count as they happen."""
        _, event = queries.target_events()
        items, times = queries.histories.items[event], queries.histories.times[event]
        new = times > self.at
        return LiveWindow(self, items[new], times[new])


@dataclass(frozen=True)
class LiveWindow:
    """Hold counts and the events that come on top of them."""

    start: LiveCounts
    items: np.ndarray  # (m,) int32, of events after `start.at`
    times: np.ndarray  # (m,) float64, unix seconds

    def at(self, times: np.ndarray, size: int) -> np.ndarray:
        """Return the counts (q, size) float32 of events strictly before each of `times` (q,).

        They are comparable within a row only: all rows are discounted to the last moment, not each to its own.
        """
        order = np.argsort(times, kind="stable")
        row = np.searchsorted(times[order], self.times, side="right")  # the first moment that knows of an event
        known = row < len(times)
        last = max(float(times[order[-1]]), self.start.at)
        weight = self.start.left(last - self.times[known])
        counts = sparse.csr_array((weight, (row[known], self.items[known])), shape=(len(times), size)).toarray()
        if self.start.at > -inf:
            known_items = len(self.start.counts)
            counts[0, :known_items] += self.start.counts * self.start.left(np.array(last - self.start.at))
        np.cumsum(counts, axis=0, out=counts)
        result = np.empty(counts.shape, dtype=np.float32)
        result[order] = counts
        return result
