"""How long is it from the commit that crosses a threshold to the Celery task that cuts the window?

A real features worker takes the task from the queue in PostgreSQL. Time runs from just before the COMMIT of the
crossing insert is sent, its flush to disk included, until the task has cut the window: longer at both ends than
from commit to start, so that a bar that is met is met. The floor is a bare NOTIFY from one connection to another on
the same server; all times are read off the machine's one clock.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.measuring import milliseconds, queries, ratio, report, throwaway_server
from tidegate import features
from tidegate.postgres import Database
from tidegate.stack import Stack

ROUNDS = 200  # enough for a p99
THRESHOLD = 512
CROSSING = 600  # more than 512 rows, so that the trigger always looks at the threshold
START_SECONDS = 120.0


BARS = {"commit_to_task_ms": "<= 30", "commit_to_task_p99_ms": "<= 150"}


def cross(connection: psycopg.Connection[Any]) -> float:
    """Insert across the threshold; return the seconds from the commit to the cut in the task."""
    before = newest_window(connection)
    with connection.transaction():
        connection.execute(queries["insert_history"], {"users": 50, "items": 50, "n": CROSSING})
        committing = time.time()
    deadline = time.monotonic() + START_SECONDS
    while newest_window(connection) == before:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no window was cut in {START_SECONDS:.0f} s; does the features worker run?")
        time.sleep(0.01)
    row = connection.execute(queries["newest_cut"]).fetchone()
    assert row is not None
    return float(row[0]) - committing


def newest_window(connection: psycopg.Connection[Any]) -> int:
    """Return the newest window, 0 before the first."""
    row = connection.execute("select coalesce(max(window_id), 0) from learning.windows").fetchone()
    assert row is not None
    return int(row[0])


def settle(connection: psycopg.Connection[Any]) -> None:
    """Wait until the worker has nothing left to do: what it does next must not slow the next round."""
    while connection.execute("select 1 from pgmq.q_features limit 1").fetchone():
        time.sleep(0.02)


def notify(sender: psycopg.Connection[Any], listener: psycopg.Connection[Any]) -> float:
    """Return the seconds from a NOTIFY to its arrival."""
    started = time.time()
    sender.execute("notify benchmark")
    next(listener.notifies(timeout=5, stop_after=1))
    return time.time() - started


def measure(database: Database) -> dict[str, list[float]]:
    """Return the seconds of each round, in turns."""
    seconds: dict[str, list[float]] = {"task": [], "notify": []}
    with database.connect(autocommit=True) as writer, database.connect(autocommit=True) as listener:
        writer.execute("update learning.streams set threshold = %s", (THRESHOLD,))
        listener.execute("listen benchmark")
        cross(writer)  # the worker's first task waits for its start and its imports
        for _ in range(ROUNDS):
            settle(writer)
            seconds["notify"].append(notify(writer, listener))
            seconds["task"].append(cross(writer))
    return seconds


def environment(home: Path) -> dict[str, str]:
    """Return what makes a child process use the throw-away server."""
    return {"TIDEGATE_HOME": str(home), "TIDEGATE_DATABASE_URL": "", "TIDEGATE_BROKER_URL": ""}


def main() -> None:
    """Print the times from crossing to task, and from NOTIFY to arrival."""
    with throwaway_server() as (database, home):
        features.apply_definitions(database)
        with Stack(("features",), say=lambda name, line: None, environment=environment(home)):
            seconds = measure(database)
    report(
        "latency",
        {
            "commit_to_task_ratio": ratio(seconds, "task", "notify"),
            "commit_to_task_ms": milliseconds(seconds["task"]),
            "commit_to_task_p90_ms": milliseconds(seconds["task"], 0.9),
            "commit_to_task_p99_ms": milliseconds(seconds["task"], 0.99),
            "notify_ms": milliseconds(seconds["notify"]),
            "notify_p99_ms": milliseconds(seconds["notify"], 0.99),
        },
        BARS,
    )


if __name__ == "__main__":
    main()
