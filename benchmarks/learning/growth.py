"""What a window costs as history grows: `python -m benchmarks.learning.growth --method replay-inactive`.

The same method learns a synthetic base and a window of 20,000 events behind it, and again with ten times the base. The
bars: an increment's time (that of the processor) does not depend on history, and on two cores it is done within three
minutes.
"""

from __future__ import annotations

import argparse
import os

import numpy as np

from benchmarks.measuring import report
from models.backtest.cost import Cost, Meter
from models.backtest.log import EventLog, ItemTexts
from models.backtest.registry import MethodSettings, make
from models.timelines import EVENT_TYPES, Catalogue

WINDOW = 20_000  # events
BASE = 40_000  # events, and then ten times as many
USERS, ITEMS = 2_000, 2_000
YEAR = 365 * 86_400.0
TEXT = 384  # dimensions
DISTRACTIONS = 0.3  # share of events that follow from nothing


def world(base: int, seed: int = 0) -> EventLog:
    """Return a year in which everybody walks from an item to one of its neighbours, and a window after it.

    A longer history has more users of the same habits, as a service that grows has: each one's own stays as long.
    """
    random = np.random.default_rng(seed)
    events = base + WINDOW
    time = np.sort(random.uniform(0, YEAR, base)).tolist() + np.sort(random.uniform(YEAR, 1.1 * YEAR, WINDOW)).tolist()
    users = USERS * base // BASE
    user = np.concatenate([random.integers(users, size=base), random.integers(USERS, size=WINDOW)])
    item = np.zeros(events, dtype=np.int32)
    last = random.integers(ITEMS, size=users)
    steps = random.integers(1, 4, size=events)
    lost = random.random(events) < DISTRACTIONS
    strange = (ITEMS * random.power(0.5, size=events)).astype(np.int32)
    for n in range(events):
        item[n] = strange[n] if lost[n] else (last[user[n]] + steps[n]) % ITEMS
        last[user[n]] = item[n]
    return EventLog(
        users=tuple(f"user-{n}" for n in range(users)),
        user=user.astype(np.int32),
        item=item,
        type=np.full(events, EVENT_TYPES.index("click"), dtype=np.int8),
        time=np.array(time),
        value=np.full(events, np.nan, dtype=np.float32),
        catalogue=Catalogue(
            tuple(f"item-{n}" for n in range(ITEMS)), random.normal(size=(ITEMS, TEXT)).astype(np.float32)
        ),
        about=ItemTexts(("",) * ITEMS, np.full(ITEMS, -1, dtype=np.int32), np.full(ITEMS, -np.inf)),
    )


def window_cost(name: str, log: EventLog, settings: MethodSettings) -> tuple[Cost, Cost]:
    """Return what learning the base and learning the window took."""
    method = make(name, settings)
    start = len(log) - WINDOW
    with Meter() as base:
        method.learn(log.before(start), 0)
    with Meter() as window:
        method.learn(log, start)
    return base.cost, window.cost


def main() -> None:
    """Print the seconds of a window behind both histories, and the bars last."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning.growth", description=__doc__.splitlines()[0])
    parser.add_argument("--method", default="replay-inactive")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    asked = parser.parse_args()
    settings = MethodSettings(device=asked.device, threads=asked.threads)
    _, short = window_cost(asked.method, world(BASE), settings)
    base, long = window_cost(asked.method, world(10 * BASE), settings)
    report(
        f"growth {asked.method}",
        {
            "window_seconds": round(short.seconds, 2),
            "window_seconds_history_x10": round(long.seconds, 2),
            "growth": round(long.cpu / short.cpu, 2),
            "base_seconds_history_x10": round(base.seconds, 1),
            "window_peak_mb": round(short.peak / 2**20),
            "window_peak_mb_history_x10": round(long.peak / 2**20),
        },
        {"growth": "<= 1.25", "window_seconds": "<= 180"},
    )


if __name__ == "__main__":
    main()
