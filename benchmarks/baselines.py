"""What do the baselines cost on a million events?

A synthetic year of a shop: 50,000 users, 20,000 items, a third of what they take is a favourite of theirs. The base is
990,000 events; the last 10,000 are ranked against the whole catalogue and then learned as one window. One thread, the
processor's seconds, each baseline in a process of its own: `python -m benchmarks.baselines [NAME ...]`.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measuring import report

if TYPE_CHECKING:
    from models.backtest.log import EventLog

EVENTS, USERS, ITEMS = 1_000_000, 50_000, 20_000
WINDOW = 10_000  # events
FAVOURITES = 5  # items that a user takes again and again
FAITHFUL = 0.3  # share of the events that take one of them
YEAR = 365 * 86_400.0


def make_log() -> EventLog:
    """Return the same synthetic year each time."""
    from models.backtest.log import EventLog, ItemTexts
    from models.timelines import Catalogue

    random = np.random.default_rng(0)
    chance = 1.0 / np.arange(1, ITEMS + 1) ** 0.9
    chance /= chance.sum()
    user = (USERS * random.random(EVENTS) ** 2).astype(np.int32)
    favourites = random.choice(ITEMS, (USERS, FAVOURITES), p=chance)
    own = favourites[user, random.integers(FAVOURITES, size=EVENTS)]
    item = np.where(random.random(EVENTS) < FAITHFUL, own, random.choice(ITEMS, EVENTS, p=chance))
    return EventLog(
        users=tuple(f"user-{number}" for number in range(USERS)),
        user=user,
        item=item.astype(np.int32),
        type=np.full(EVENTS, 3, dtype=np.int8),
        time=np.floor(np.sort(random.uniform(0, YEAR, EVENTS))),
        value=np.full(EVENTS, np.nan, dtype=np.float32),
        catalogue=Catalogue(tuple(f"item-{number}" for number in range(ITEMS)), np.zeros((ITEMS, 1), dtype=np.float32)),
        about=ItemTexts(("",) * ITEMS, np.full(ITEMS, -1, dtype=np.int32), np.full(ITEMS, -np.inf)),
    )


def measure(name: str) -> dict[str, float]:
    """Return what a baseline costs in this process."""
    from models.backtest.registry import MethodSettings, make
    from models.histories import target_queries

    log, method = make_log(), make(name, MethodSettings())
    held, clock = peak(), [time.process_time()]
    method.learn(log.before(EVENTS - WINDOW), 0)
    clock.append(time.process_time())
    queries = target_queries(log.timelines(EVENTS - WINDOW))
    clock.append(time.process_time())
    for _ in method.scorer(log.catalogue).scores(queries):
        pass
    clock.append(time.process_time())
    method.learn(log, EVENTS - WINDOW)
    base, _, scored, window = np.diff([*clock, time.process_time()]).tolist()
    return {
        f"{name} base s": round(base, 2),
        f"{name} window s": round(window, 2),
        f"{name} ms a moment": round(1_000 * scored / len(queries), 2),
        f"{name} MB more": round(peak() - held),
    }


def peak() -> float:
    """Return the most memory that this process held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


def main() -> None:
    """Measure each baseline in a process of its own."""
    from models.backtest.registry import BASELINES

    figures: dict[str, float] = {}
    for name in sys.argv[1:] or BASELINES:
        ran = subprocess.run([sys.executable, "-m", __spec__.name, "--one", name], check=True, stdout=subprocess.PIPE)
        figures |= json.loads(ran.stdout.splitlines()[-1])
    report("baselines", figures)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2])))
    else:
        main()
