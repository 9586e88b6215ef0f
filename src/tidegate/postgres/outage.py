"""Tell an outage from a mistake: what to try again, and what to report."""

from __future__ import annotations

import psycopg

from tidegate.errors import DatabaseUnavailable

# Connection exceptions, and what a server says that stops, has crashed or is not up yet.
OUTAGES = ("08", "57P01", "57P02", "57P03")


def is_outage(error: BaseException) -> bool:
    """Tell whether an error says that the database is away, rather than that something is wrong with the work.

    A connection that breaks has no SQLSTATE. A full disk, a deadlock or a timeout is not an outage, though psycopg
    counts it as operational too. SQLAlchemy, by which Feast reads its registry, wraps what psycopg says.
    """
    error = getattr(error, "orig", None) or error
    if isinstance(error, DatabaseUnavailable | psycopg.InterfaceError):
        return True
    return isinstance(error, psycopg.OperationalError) and (
        error.sqlstate is None or error.sqlstate.startswith(OUTAGES)
    )
