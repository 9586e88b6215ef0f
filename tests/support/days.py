"""Days of the past: partitions and events that the clock cannot make any more."""

from __future__ import annotations

import datetime as dt
from typing import Any

import psycopg
from psycopg import sql

from tests.support.activity import fold
from tests.support.learning import one

INSERT = (
    "insert into ingest.behaviour_events (stream, user_id, item_id, event_type, occurred_at, ingested_at)"
    " select %s, 'user-' || g % 7, 'item-' || g % 11, 'view', %s, %s from generate_series(1, %s) g"
).replace("g %", "g %%")


def day(ago: int) -> dt.datetime:
    """Return the beginning of a day, so many days ago."""
    return dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0) - dt.timedelta(days=ago)


def add_day(connection: psycopg.Connection[Any], ago: int) -> str:
    """Make the partition of a day of the past; return its name."""
    name = f"behaviour_events_{day(ago):%Y%m%d}"
    connection.execute(
        sql.SQL(
            "create table if not exists ingest.{} partition of ingest.behaviour_events for values from ({}) to ({})"
        ).format(sql.Identifier(name), sql.Literal(day(ago)), sql.Literal(day(ago - 1)))
    )
    return name


def write(connection: psycopg.Connection[Any], ago: int, n: int = 20, stream: str = "default") -> None:
    """Write events at noon of a day of the past; those of today at noon or now, for noon may still be to come."""
    at = min(day(ago) + dt.timedelta(hours=12), dt.datetime.now(dt.UTC))
    connection.execute(INSERT.encode(), (stream, at, at, n))


def window(connection: psycopg.Connection[Any], stream: str = "default", trained: bool = True) -> int:
    """Fold and cut what was written; return the window, trained unless said otherwise."""
    fold(connection)
    made = one(connection, "select learning.cut_window(%s, null, true)", (stream,))
    if trained:
        connection.execute("select features.materialise_window(%s)", (made,))
        connection.execute(
            "update learning.windows set state = 'trained', finished_at = clock_timestamp() where window_id = %s",
            (made,),
        )
    return int(made)
