"""A synthetic shop with a live version, made by the same calls that workers make."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import psycopg

from benchmarks.measuring import queries
from tidegate import versions, windows
from tidegate.gate import Verdict
from tidegate.queries import queries as own_queries

DIMENSIONS = 64
FOLLOWERS = 100  # of an item
SCORING = {
    "format": 2,
    "popularity": [0.1, 0.4, 0.1],
    "repeat": [0.5, 0.3, 0.1, 0.2, 0.3, 0.2, 0.1],
    "following": [0.8, 0.1],
    "items": 10_000,
    "correction": 0.2,
    "dimensions": DIMENSIONS,
}


def fold(connection: psycopg.Connection[Any]) -> None:
    """Do what the keeper does every 200 ms."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        connection.execute("select features.fold()")


def make_window(connection: psycopg.Connection[Any]) -> int:
    """Cut all that waits in the ledger and materialise it; return the window."""
    row = connection.execute("select learning.cut_window('default', null, true)").fetchone()
    assert row is not None
    connection.execute(own_queries["materialise_window"], {"window": row[0]})
    return int(row[0])


def publish_version(connection: psycopg.Connection[Any], n_users: int, n_items: int) -> int:
    """Publish a version of random unit vectors for the oldest ready window, live at once; return its id."""
    run = windows.claim(connection, "default", "benchmark", timedelta(minutes=5))
    assert run is not None
    return versions.publish(
        connection,
        versions.Publication(
            run=run,
            stream="default",
            parent_id=None,
            weights=b"no weights: vectors only",
            scoring=SCORING,
            manifest={},
            text_hashes=b"",
            verdict=Verdict("promote", "a benchmark's version"),
            evaluations=(),
            items=random_vectors("item", n_items, seed=1),
            followers=random_followers(n_items, seed=3),
            users=random_vectors("user", n_users, seed=2),
            seen_until=np.full(n_users, newest_event(connection)),
        ),
    )


def random_vectors(kind: str, n: int, seed: int) -> versions.Vectors:
    """Return n random unit vectors (n, DIMENSIONS) named `kind-0` and on."""
    values = np.random.default_rng(seed).normal(size=(n, DIMENSIONS)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return versions.Vectors(tuple(f"{kind}-{number}" for number in range(n)), values)


def random_followers(n: int, seed: int) -> versions.Followers:
    """Return FOLLOWERS random followers of each of n items."""
    chance = np.random.default_rng(seed)
    return versions.Followers(
        bounds=np.arange(n + 1) * FOLLOWERS,
        items=chance.integers(n, size=n * FOLLOWERS),
        weights=chance.random(n * FOLLOWERS, dtype=np.float32),
    )


def newest_event(connection: psycopg.Connection[Any]) -> float:
    """Return the stream's present, in unix seconds."""
    row = connection.execute("select extract(epoch from max(last_event_at))::float8 from features.clocks").fetchone()
    assert row is not None
    return float(row[0])


def fill(connection: psycopg.Connection[Any], n_users: int, n_items: int, n_events: int) -> int:
    """Make a catalogue, a year of events, one window and one live version; return the version."""
    connection.execute(queries["insert_items"], {"items": n_items})
    connection.execute(queries["insert_history"], {"users": n_users, "items": n_items, "n": n_events})
    fold(connection)
    make_window(connection)
    version = publish_version(connection, n_users, n_items)
    connection.execute("analyze")
    return version
