"""One database handle a process, one connection a thread.

The handle keeps the embedded server alive for as long as the process lives. Connections are made on first
use, in the thread or process that uses them, and replaced when the server was restarted.
"""

from __future__ import annotations

import threading
from functools import lru_cache

import psycopg

from tidegate.postgres import Database, open_database

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
        held = database().connect(autocommit=True)
        _local.connection = held
    return held
