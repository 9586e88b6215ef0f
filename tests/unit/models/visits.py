"""Session data with an obvious answer: visits that walk around one of several rings."""

from __future__ import annotations

import numpy as np

from models.backtest.log import EventLog
from tests.unit.models.logs import DAY, log_of

RINGS, RING = 5, 6  # rings of items, and items of a ring: 30 in all
FAITHFUL = 0.9  # share of the steps that go to the next item of the ring; the others jump within it


def visits_log(sessions: int = 150, a_day: int = 10, seed: int = 0, late_ring: bool = True) -> EventLog:
    """Return a log of sessions of 2 to 7 events, one a minute; each walks around one ring from somewhere.

    With `late_ring` the last ring comes into being in the second half, so that there is something new to learn.
    """
    random = np.random.default_rng(seed)
    days = sessions / a_day
    events = []
    for number in range(sessions):
        begin = number / a_day
        ring = int(random.integers(RINGS - (late_ring and begin < days / 2)))
        walk = _walk(int(random.integers(2, 8)), random)
        events += [(f"s{number:04}", ring * RING + item, begin + n / 1440) for n, item in enumerate(walk)]
    events.sort(key=lambda event: event[2])
    born = [-np.inf] * (RINGS - 1) * RING + [days / 2 if late_ring else -np.inf] * RING
    return log_of(events, born, sessions=True)


def _walk(length: int, random: np.random.Generator) -> list[int]:
    """Return items of a ring, counted from 0."""
    items = [int(random.integers(RING))]
    while len(items) < length:
        items.append((items[-1] + 1) % RING if random.random() < FAITHFUL else int(random.integers(RING)))
    return items


def half(log: EventLog) -> int:
    """Return the position of the first event of the second half of the time."""
    return int(np.searchsorted(log.time, (log.time[0] + log.time[-1]) / 2))


def later(log: EventLog, days: float) -> int:
    """Return the position of the first event that is `days` or more after the first one."""
    return int(np.searchsorted(log.time, log.time[0] + days * DAY))
