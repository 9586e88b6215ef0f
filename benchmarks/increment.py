"""What does an increment cost, compared with learning everything again?

Both end with a model that knows the same synthetic events: one starts from the parent and learns 20,000 new
events with replay, the other starts from nothing and learns all of them. One thread on the CPU.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measuring import ratio, report, take_turns

if TYPE_CHECKING:
    from models.timelines import Catalogue, Timeline

USERS = 1_000
ITEMS = 500
BASE = 60_000  # events that the parent has learned
NEW = 20_000  # events of the window
REPLAYED = 0.1  # share of the users whose earlier events are learned once more: a third of the window
YEAR = 365 * 86_400.0
ROUNDS = 2


def make_catalogue() -> Catalogue:
    """Return items with random text embeddings (ITEMS, 384)."""
    from models.timelines import Catalogue

    text = np.random.default_rng(1).normal(size=(ITEMS, 384)).astype(np.float32)
    return Catalogue(tuple(f"item-{number}" for number in range(ITEMS)), text)


def make_timelines(learn_from: float = -inf, learn_until: float = inf, until: float = inf) -> list[Timeline]:
    """Return the same synthetic year each time: which part is a target is what differs."""
    from models.timelines import Timeline

    chance = np.random.default_rng(2)
    owner = chance.integers(USERS, size=BASE + NEW)
    times = np.sort(chance.uniform(0, YEAR, size=BASE + NEW))
    items = (ITEMS * chance.power(0.5, size=BASE + NEW)).astype(np.int64)
    timelines = []
    for user in range(USERS):
        mine = (owner == user) & (times < until)
        n = int(mine.sum())
        timelines.append(
            Timeline(
                user=f"user-{user}",
                items=items[mine],
                types=np.full(n, 3, dtype=np.int8),
                times=times[mine],
                values=np.ones(n, dtype=np.float32),
                learn_from=learn_from,
                learn_until=learn_until,
                profiles=None,
            )
        )
    return timelines


def main() -> None:
    """Print the seconds of an increment and of a first fit on everything."""
    from models.checkpoint import dump, load
    from models.recommender import Recommender
    from models.training import fit

    border = YEAR * BASE / (BASE + NEW)
    parent = Recommender(make_catalogue())
    fit(parent, make_timelines(until=border))
    weights = dump(parent)
    new, everything = make_timelines(learn_from=border), make_timelines()
    replay = make_timelines(learn_until=border)[: int(USERS * REPLAYED)]
    seconds = take_turns(
        {
            "increment": lambda: fit(load(weights), new, replay, seed=1),
            "from_nothing": lambda: fit(Recommender(make_catalogue()), everything, seed=1),
        },
        ROUNDS,
    )
    report(
        "increment",
        {
            "increment_ratio": ratio(seconds, "increment", "from_nothing"),
            "increment_seconds": round(float(np.median(seconds["increment"])), 1),
            "from_nothing_seconds": round(float(np.median(seconds["from_nothing"])), 1),
            "window_events_per_second": round(NEW / float(np.median(seconds["increment"]))),
        },
    )


if __name__ == "__main__":
    main()
