"""Windows and the leases on them.

A window is a fixed set of events. Whoever trains on it holds a run: a lease with a heartbeat and a fencing
token. The table is the truth; a task that comes twice or never changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import psycopg
from psycopg.rows import class_row

from tidegate.errors import LeaseLost
from tidegate.queries import queries


@dataclass(frozen=True)
class Run:
    """One attempt to train on a window."""

    run_id: int
    token: int  # fencing token: publishing checks that it is still the newest
    window_id: int
    attempt: int  # 1 for the first


def claim(connection: psycopg.Connection, stream: str, worker: str, lease: timedelta) -> Run | None:
    """Claim the oldest ready window of a stream; None while an older one is unfinished or another worker holds it."""
    with connection.cursor(row_factory=class_row(Run)) as cursor:
        return cursor.execute(
            queries["claim_window"],
            {"stream": stream, "worker": worker, "lease": lease},
        ).fetchone()


def renew(connection: psycopg.Connection, run: Run, lease: timedelta) -> None:
    """Say that the run lives. Raises LeaseLost when another attempt holds the window."""
    if connection.execute(queries["renew_lease"], {"token": run.token, "lease": lease}).rowcount == 0:
        raise LeaseLost(f"Run {run.run_id} on window {run.window_id} was taken over.")


def fail(connection: psycopg.Connection, run: Run, error: str, attempts: int) -> bool:
    """End a run with its error; park the window after so many attempts. Return whether it was parked."""
    with connection.transaction():
        connection.execute(queries["fail_run"], {"token": run.token, "error": error})
        parked = connection.execute(
            queries["park_window"],
            {"window": run.window_id, "attempts": attempts, "error": error},
        )
        return parked.rowcount == 1
