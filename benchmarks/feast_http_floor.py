"""The least that a feature server could be: one prepared statement for each table, and orjson.

It reads our wide tables, knows the two views of benchmarks/feast_http.py and nothing of Feast.
"""

from __future__ import annotations

import os
from typing import Any

import orjson
import psycopg
from psycopg import sql
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.feast_http import SERVICES

SCHEMA = "bench_ours"
KEYS = {"bench_user": "user_id", "bench_item": "item_id"}
EPOCH = "1970-01-01T00:00:00Z"
pool: AsyncConnectionPool[Any] | None = None
statements: dict[tuple[str, tuple[str, ...]], bytes] = {}


async def opened() -> AsyncConnectionPool[Any]:
    """Return the pool of this process."""
    global pool
    if pool is None:
        pool = AsyncConnectionPool(
            os.environ["FLOOR_CONNINFO"],
            min_size=4,
            max_size=8,
            open=False,
            configure=configure,
            kwargs={"autocommit": True},
        )
        await pool.open()
    return pool


async def configure(connection: psycopg.AsyncConnection[Any]) -> None:
    """Have statements written as PostgreSQL writes them."""
    connection.cursor_factory = psycopg.AsyncRawCursor


def statement(view: str, features: tuple[str, ...]) -> bytes:
    """Return the statement that reads some features of a view."""
    found = statements.get((view, features))
    if found is None:
        names = [KEYS[view], f"{view}__event_timestamp", *(f"{view}__{feature}" for feature in features)]
        query = sql.SQL("select {} from {} where {} = any($1)").format(
            sql.SQL(", ").join(map(sql.Identifier, names)), sql.Identifier(SCHEMA, view), sql.Identifier(KEYS[view])
        )
        found = statements[view, features] = query.as_bytes(None)
    return found


async def get_online_features(request: Request) -> Response:
    """Answer as Feast does, where everything is there."""
    asked = orjson.loads(await request.body())
    entities, views = asked["entities"], {}
    for reference in asked.get("features") or SERVICES[asked["feature_service"]]:
        view, _, feature = reference.partition(":")
        views.setdefault(view, []).append(feature)
    count = len(next(iter(entities.values())))
    present = orjson.Fragment(orjson.dumps(["PRESENT"] * count))
    nothing = orjson.Fragment(orjson.dumps([EPOCH] * count))
    names = list(entities)
    results = [{"values": values, "statuses": present, "event_timestamps": nothing} for values in entities.values()]
    async with (await opened()).connection() as connection:
        for view, features in views.items():
            keys = entities[KEYS[view]]
            cursor = connection.cursor(binary=True)
            await cursor.execute(statement(view, tuple(features)), [list(set(keys))], prepare=True)
            by_key = {row[0]: row for row in await cursor.fetchall()}
            columns = list(zip(*(by_key[key] for key in keys), strict=True))
            times = orjson.Fragment(orjson.dumps([time.isoformat() for time in columns[1]]))
            names += features
            results += [{"values": values, "statuses": present, "event_timestamps": times} for values in columns[2:]]
    return Response(
        orjson.dumps({"results": results, "metadata": {"feature_names": names}}), media_type="application/json"
    )


app = Starlette(routes=[Route("/get-online-features", get_online_features, methods=["POST"])])
