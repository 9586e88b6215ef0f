"""Tasks of the `features` queue: cut a window, materialise it."""

from __future__ import annotations

import time
from typing import Any

import psycopg

from tidegate import features
from tidegate.errors import DatabaseUnavailable
from tidegate.log import get_log
from tidegate.queries import queries
from workers.app import app
from workers.connections import connection, database

log = get_log("features")

# A database that restarts is back in seconds; what a lost task would have done, the keeper's sweep does.
RETRY: dict[str, Any] = {
    "autoretry_for": (psycopg.OperationalError, psycopg.InterfaceError, DatabaseUnavailable),
    "retry_backoff": 1,
    "retry_backoff_max": 30,
    "max_retries": 8,
}


@app.task(name="tidegate.cut_window", **RETRY)
def cut_window(stream: str, crossed_at: str | None = None) -> int | None:
    """Cut a window if the stream is still over its threshold."""
    row = connection().execute(queries["cut_window"], {"stream": stream, "crossed_at": crossed_at}).fetchone()
    if row is None:
        return None
    window, n, seconds = row
    after = "" if seconds is None else f", {seconds * 1000:.0f} ms after the insert that crossed the threshold"
    log.info("window %s cut from stream %s: %s events%s", window, stream, f"{n:,}", after)
    return int(window)


@app.task(name="tidegate.materialise_window", **RETRY)
def materialise_window(window_id: int) -> int:
    """Turn the stream's cut windows up to this one into features, in order, and hand the newest to Feast."""
    done = 0
    while (window := materialise_next(window_id)) is not None:
        put_online(window)
        done += 1
    if not done:
        put_online(window_id)
    return done


def materialise_next(window_id: int) -> int | None:
    """Materialise the oldest cut window of the stream; None where none is left."""
    started = time.perf_counter()
    row = connection().execute(queries["materialise_window"], {"window": window_id}).fetchone()
    if row is None or row[0] is None:
        return None
    log.info("window %s materialised in %.1f s", row[0], time.perf_counter() - started)
    return int(row[0])


def put_online(window_id: int) -> None:
    """Write the window's entities to Feast's online store; a repeated task writes the same rows again."""
    row = connection().execute(queries["window_position"], {"window": window_id}).fetchone()
    if row is None or row[0] is None:
        return
    report = features.materialise_window_online(database(), row[0])
    log.info("window %s online in Feast: %s", window_id, report)
