"""Does a read straight after a commit see it?

A client inserts an event of a user, commits, and reads that user's live features, 10,000 times, while the keeper's
fold runs every 200 ms beside it. A read that does not count the event is stale. What that costs stands beside the
read of the folded row alone, which is as old as the last fold.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from benchmarks.measuring import Seconds, milliseconds, queries, report, throwaway_server
from benchmarks.world import fold
from tidegate.postgres import Database

READS = 10_000
USERS = 500
HISTORY = 50_000  # events before the first read: the folded rows are not small
FOLD_EVERY = 0.2  # seconds, as the keeper
BARS = {"stale_reads": "== 0"}
Connection = psycopg.Connection[Any]


@contextmanager
def folding(database: Database) -> Iterator[list[int]]:
    """Fold every 200 ms until the block ends; yield a list that grows with each fold."""
    stop = threading.Event()
    folds: list[int] = []

    def keep_folding() -> None:
        with database.connect(autocommit=True) as connection:
            while not stop.wait(FOLD_EVERY):
                fold(connection)
                folds.append(1)

    keeper = threading.Thread(target=keep_folding)
    keeper.start()
    try:
        yield folds
    finally:
        stop.set()
        keeper.join()


def timed(connection: Connection, query: str, values: dict[str, Any]) -> tuple[float, int]:
    """Return the seconds of a read and what it found; 0 for no row."""
    started = time.perf_counter()
    row = connection.execute(queries[query], values).fetchone()
    return time.perf_counter() - started, int(row[0]) if row else 0


def read_and_write(connection: Connection, known: Counter[str]) -> tuple[Seconds, dict[str, int]]:
    """Return the seconds of both reads and how many of each missed the event that was just committed."""
    chosen = random.Random(1)
    seconds: Seconds = {"wide_user": [], "folded_user": []}
    stale = dict.fromkeys(seconds, 0)
    for number in range(READS):
        user = f"user-{chosen.randrange(USERS)}"
        connection.execute(queries["record_one"], {"user": user, "item": f"item-{number % 1000}"})
        known[user] += 1
        for query in list(seconds)[:: 1 if number % 2 else -1]:
            taken, found = timed(connection, query, {"user": user})
            seconds[query].append(taken)
            stale[query] += found != known[user]
    return seconds, stale


def main() -> None:
    """Print how many reads were stale, and what freshness costs."""
    with throwaway_server() as (database, _), database.connect(autocommit=True) as connection:
        connection.execute(queries["insert_history"], {"users": USERS, "items": 1_000, "n": HISTORY})
        fold(connection)
        connection.execute("analyze")
        known = Counter(dict(connection.execute("select user_id, n_events from features.user_activity").fetchall()))
        with folding(database) as folds:
            seconds, stale = read_and_write(connection, known)
    fresh, folded = seconds["wide_user"], seconds["folded_user"]
    report(
        "freshness",
        {
            "stale_reads": stale["wide_user"],
            "reads": READS,
            "folds": len(folds),
            "stale_reads_of_the_folded_row": stale["folded_user"],
            "fresh_ms": milliseconds(fresh),
            "fresh_p99_ms": milliseconds(fresh, 0.99),
            "folded_ms": milliseconds(folded),
            "folded_p99_ms": milliseconds(folded, 0.99),
            "fresh_ratio": round(milliseconds(fresh) / milliseconds(folded), 2),
        },
        BARS,
    )


if __name__ == "__main__":
    main()
