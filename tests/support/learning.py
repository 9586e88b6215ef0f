"""A live version whose vectors are written by hand, so that the right answer is obvious."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

SCORING = {
    "format": 1,
    "popularity": [0, 0, 0],
    "repeat": [0, 0, 0, 0, 0, 0, 0],
    "correction": 1.0,
    "dimensions": 2,
}
ITEM = "insert into serving.item_vectors (version_id, item_id, vector) values (%s, %s, %s)"
USER = "insert into serving.user_vectors (version_id, user_id, vector, as_of) values (%s, %s, %s, now())"
VERSION = (
    "insert into learning.versions"
    " (stream, number, window_id, run_id, weights_hash, scoring, verdict, reason)"
    " select %s, 1 + count(*), %s, %s, %s, %s, 'promote', 'by hand' from learning.versions where stream = %s"
    " returning version_id"
)


def add_items(connection: psycopg.Connection[Any], *names: str) -> None:
    """Put items into the catalogue."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into catalogue.items (item_id, title) values (%s, %s)", [(n, n.title()) for n in names]
        )


def one(connection: psycopg.Connection[Any], query: str, values: Sequence[Any] = ()) -> Any:
    """Return the first value of the first row."""
    row = connection.execute(query.encode(), values).fetchone()
    return None if row is None else row[0]


def deploy_version(
    connection: psycopg.Connection[Any],
    items: Mapping[str, list[float]],
    users: Mapping[str, list[float]] | None = None,
    scoring: Mapping[str, Any] = SCORING,
    stream: str = "default",
) -> int:
    """Make a version with these vectors live; return its id."""
    window = one(
        connection,
        "insert into learning.windows (stream, n, ids, t0, t1, position, state, finished_at)"
        " select %s, 1, '{[1,2)}', now(), now(), 1 + count(*), 'trained', now() from learning.windows"
        " returning window_id",
        [stream],
    )
    run = one(
        connection,
        "insert into learning.runs (window_id, attempt, worker, state, lease_until, finished_at)"
        " values (%s, 1, 'a test', 'succeeded', now(), clock_timestamp()) returning run_id",
        [window],
    )
    weights = one(
        connection,
        "insert into learning.weights (weights_hash, content) select encode(sha256(c), 'hex'), c"
        " from convert_to(%s, 'UTF8') as c returning weights_hash",
        [f"weights of run {run}"],
    )
    version = one(connection, VERSION, [stream, window, run, weights, Jsonb(dict(scoring)), stream])
    for name, vector in items.items():
        connection.execute(ITEM, [version, name, str(vector)])
    for name, vector in (users or {}).items():
        connection.execute(USER, [version, name, str(vector)])
    connection.execute("select learning.deploy(%s, 'by hand')", [version])
    return int(version)
