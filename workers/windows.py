"""Tasks of the `features` queue: cut a window, materialise it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from tidegate import features
from tidegate.errors import DatabaseUnavailable, MissingPackage
from tidegate.log import get_log
from tidegate.postgres import is_outage
from tidegate.queries import queries
from workers.app import app
from workers.connections import connection, database

log = get_log("features")


class MaterialisationFailed(Exception):
    """An attempt to materialise a window failed and is written down; another follows."""


# A database that restarts is back in seconds; what a lost task would have done, the keeper's sweep does.
RETRY: dict[str, Any] = {
    "autoretry_for": (psycopg.OperationalError, psycopg.InterfaceError, DatabaseUnavailable, MaterialisationFailed),
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
    """Turn the stream's cut windows up to this one into features, in order, then hand them to Feast.

    Training waits for the features only, so that an online store that is broken holds no window up.
    """
    done = list(materialise_up_to(window_id))
    for window in dict.fromkeys((*done, window_id)):
        put_online(window)
    return len(done)


def materialise_up_to(window_id: int) -> Iterator[int]:
    """Materialise the stream's cut windows up to this one, oldest first; yield each that is ready.

    An attempt is counted before it starts. Raises MaterialisationFailed while the window has attempts left;
    one that has used them up is parked, and the next one follows.
    """
    while True:
        with turn() as held:
            begun = held.execute(queries["begin_materialisation"], {"window": window_id}).fetchone()
            if begun is None:
                return
            window, attempt = begun
            done = materialise(held, window, attempt)
        if done:
            yield window


@contextmanager
def turn() -> Iterator[psycopg.Connection]:
    """Yield the connection while nobody else materialises; the lock ends with its session at the latest."""
    held = connection()
    held.execute(queries["take_turn"])
    try:
        yield held
    finally:
        if not held.closed:
            held.execute(queries["end_turn"])


def materialise(held: psycopg.Connection, window: int, attempt: int) -> bool:
    """Make one attempt; return whether the window is materialised, False where it was parked instead."""
    started = time.perf_counter()
    try:
        held.execute(queries["materialise_window"], {"window": window})
    except psycopg.Error as error:
        if is_outage(error):
            raise
        return write_down(held, window, attempt)
    seconds = time.perf_counter() - started
    if is_parked(held, window):
        log.warning("window %s parked as suspicious after %.1f s", window, seconds)
        return False
    log.info("window %s materialised in %.1f s", window, seconds)
    return True


def is_parked(held: psycopg.Connection, window: int) -> bool:
    """Tell whether the window was parked instead, as the stream's policy for suspicious ones says."""
    row = held.execute(queries["window_state"], {"window": window}).fetchone()
    return row is not None and row[0] == "parked"


def write_down(held: psycopg.Connection, window: int, attempt: int) -> bool:
    """Keep the error that is being handled; return False if the window was parked, else raise MaterialisationFailed."""
    error = {"window": window, "error": traceback.format_exc()}
    row = held.execute(queries["fail_materialisation"], error).fetchone()
    log.exception("window %s not materialised, attempt %s", window, attempt)
    if row and row[0] == "failed":
        raise MaterialisationFailed(f"window {window}, attempt {attempt}")
    return False


def put_online(window_id: int) -> None:
    """Write the window's entities to Feast's online store, unless that is done; to do it twice does no harm."""
    row = connection().execute(queries["window_to_go_online"], {"window": window_id}).fetchone()
    if row is None:
        return
    try:
        report: object = features.materialise_window_online(database(), row[0])
    except MissingPackage as error:  # then nobody reads from it either
        report = error
    connection().execute(queries["note_online"], {"window": window_id})
    log.info("window %s online in Feast: %s", window_id, report)
