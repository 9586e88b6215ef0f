"""What does an answer of serving.recommend cost?

It filters, counts popularity and repeats as of this commit, merges what the keeper has not folded and logs
an impression. The comparison is the least that could be called a recommendation: a top-k scan over the same
vectors, which does none of it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import psycopg

from benchmarks.measuring import milliseconds, queries, ratio, report, take_turns, throwaway_server
from benchmarks.world import fill

USERS = 2_000
ITEMS = 5_000  # about the size of the demo
EVENTS = 100_000
ROUNDS = 300
UNFOLDED = 1_000


def ask(connection: psycopg.Connection[Any], query: str, version: int) -> Callable[[], object]:
    """Return a way to ask for one user after the other."""
    users = cycle(f"user-{number}" for number in range(0, USERS, 7))
    return lambda: connection.execute(queries[query], {"user": next(users), "version": version}).fetchall()


def compare(connection: psycopg.Connection[Any], version: int, state: str) -> dict[str, float]:
    """Measure the three statements in turns."""
    ways = {name: ask(connection, name, version) for name in ("recommend", "rank", "top_k")}
    take_turns(ways, 20)  # statements are prepared, pages are read
    seconds = take_turns(ways, ROUNDS)
    return {
        f"{state}_ratio": ratio(seconds, "recommend", "top_k"),
        **{f"{state}_{name}_ms": milliseconds(taken) for name, taken in seconds.items()},
        f"{state}_recommend_p99_ms": milliseconds(seconds["recommend"], 0.99),
    }


def main() -> None:
    """Print the times with all events folded, and with the newest waiting for the keeper."""
    with throwaway_server() as (database, _), database.connect(autocommit=True) as connection:
        version = fill(connection, USERS, ITEMS, EVENTS)
        figures = compare(connection, version, "folded")
        connection.execute(queries["insert_history"], {"users": USERS, "items": ITEMS, "n": UNFOLDED})
        figures |= compare(connection, version, "unfolded")
    report("lookup", figures)


if __name__ == "__main__":
    main()
