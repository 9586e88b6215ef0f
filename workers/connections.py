"""One database handle a process, one connection a thread.

The handle keeps the embedded server alive for as long as the process lives. Connections are made on first
use, in the thread or process that uses them, and replaced when the server was restarted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

import psycopg

from tidegate.postgres import Database, is_outage, open_database

Answer = TypeVar("Answer")

# A worker computes nothing inside a transaction: one that is idle there for so long is frozen, and holds locks.
IDLE_MILLISECONDS = 60_000

PATIENCE = 300.0  # seconds: a server that fails over or recovers is back by then
PAUSE = 0.5  # seconds

_local = threading.local()


@lru_cache(maxsize=1)
def database() -> Database:
    """Return this process's handle on the database."""
    return open_database()


def connection() -> psycopg.Connection:
    """Return this thread's connection, in autocommit; a broken one is replaced.

    Raises DatabaseUnavailable when there is no server to connect to.
    """
    held: psycopg.Connection | None = getattr(_local, "connection", None)
    if held is None or held.closed or held.broken:
        bounded = database().configured(idle_in_transaction_session_timeout=str(IDLE_MILLISECONDS))
        held = bounded.connect(autocommit=True)
        _local.connection = held
    return held


def patiently(work: Callable[[psycopg.Connection], Answer], seconds: float = PATIENCE) -> Answer:
    """Do something on this thread's connection, again and again while the database is away.

    Only for what may be done twice: an answer can be lost on its way. Raises the outage after so many seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return work(connection())
        except Exception as error:
            if not is_outage(error) or time.monotonic() > deadline:
                raise
            time.sleep(PAUSE)
