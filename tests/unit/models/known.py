"""Small logs, and methods whose answers are known beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from models.backtest.log import EventLog, ItemTexts
from models.histories import Queries
from models.timelines import EVENT_TYPES, Catalogue

DAY = 86_400.0


def log_of(
    events: Sequence[tuple[str, int, float]], born: Sequence[float] | None = None, size: int | None = None, **said: bool
) -> EventLog:
    """Return a log of (user, item, day) purchases."""
    users = sorted({user for user, _, _ in events})
    size = size or len(born or ()) or 1 + max(item for _, item, _ in events)
    return EventLog(
        users=tuple(users),
        user=np.array([users.index(user) for user, _, _ in events], dtype=np.int32),
        item=np.array([item for _, item, _ in events], dtype=np.int32),
        type=np.full(len(events), EVENT_TYPES.index("purchase"), dtype=np.int8),
        time=np.array([day * DAY for _, _, day in events]),
        value=np.full(len(events), np.nan, dtype=np.float32),
        catalogue=Catalogue(tuple(f"item-{n}" for n in range(size)), np.zeros((size, 8), dtype=np.float32)),
        about=ItemTexts(
            ("",) * size,
            np.full(size, -1, dtype=np.int32),
            DAY * np.asarray(born) if born is not None else np.full(size, -np.inf),
        ),
        **said,
    )


def random_log(
    users: int = 12, size: int = 15, days: int = 20, a_day: int = 12, seed: int = 0, **said: bool
) -> EventLog:
    """Return a log without any pattern, with some moments that hold several events."""
    random = np.random.default_rng(seed)
    times = np.sort(np.floor(random.uniform(0, days, days * a_day) * 4) / 4)
    born = np.sort(np.where(random.random(size) < 0.7, -np.inf, random.uniform(0, days, size)))
    alive = np.searchsorted(born, times, side="right")
    events = [
        (f"u{random.integers(users)}", int(random.integers(n)), float(time))
        for n, time in zip(alive, times, strict=True)
    ]
    return log_of(events, born.tolist(), **said)


def shuffled_after(log: EventLog, place: int, seed: int = 1) -> EventLog:
    """Return the log with other items from `place` on: another future after the same past."""
    item = log.item.copy()
    np.random.default_rng(seed).shuffle(item[place:])
    return replace(log, item=item)


class Fixed:
    """Score an item by its number times a factor, and remember what it was handed."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor
        self.learned: list[tuple[int, int]] = []
        self.handed: list[EventLog] = []

    def learn(self, past: EventLog, start: int) -> None:
        self.learned.append((start, len(past)))
        self.handed.append(past)

    def scorer(self, catalogue: Catalogue) -> RowScorer:
        return RowScorer(self.factor * np.arange(len(catalogue), dtype=np.float32))


class Counting:
    """Score an item by how often it was learned."""

    def __init__(self) -> None:
        self.counts = np.zeros(0, dtype=np.float32)

    def learn(self, past: EventLog, start: int) -> None:
        grown = np.pad(self.counts, (0, len(past.catalogue) - len(self.counts)))
        self.counts = grown + np.bincount(past.item[start:], minlength=len(grown)).astype(np.float32)

    def scorer(self, catalogue: Catalogue) -> RowScorer:
        return RowScorer(np.pad(self.counts, (0, len(catalogue) - len(self.counts))))


class RowScorer:
    """Give everyone the same scores (N,), a few queries at a time and the last ones first."""

    def __init__(self, row: np.ndarray) -> None:
        self.row = row

    def __len__(self) -> int:
        return len(self.row)

    def scores(self, queries: Queries) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for chosen in reversed(np.array_split(np.arange(len(queries)), 1 + len(queries) // 5)):
            yield chosen, np.broadcast_to(self.row, (len(chosen), len(self.row)))
