"""Windows and the leases on them.

A window is a fixed set of events. Whoever trains on it holds a run: a lease with a heartbeat and a fencing
token. The table is the truth; a task that comes twice or never changes nothing.

    claim ── enter read, score, fit, judge, export, publish ── succeeded   published, in the same transaction
                 │ renew, three times a lease                 ── failed      an error: counts as an attempt
                 │                                            ── expired     silence: counts as an attempt
                 └                                            ── released    a deployment, an outage: does not
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import psycopg
from psycopg.rows import class_row

from tidegate.errors import LeaseLost
from tidegate.queries import queries

Step = Literal["read", "score", "fit", "judge", "export", "publish"]


@dataclass(frozen=True)
class Run:
    """One attempt to train on a window."""

    run_id: int
    token: int  # fencing token: publishing checks that it is still the newest
    window_id: int
    attempt: int  # 1 for the first


def claim(connection: psycopg.Connection, stream: str, worker: str, lease: timedelta) -> Run | None:
    """Claim the ready window of a stream with the smallest position; None while another worker holds it."""
    with connection.cursor(row_factory=class_row(Run)) as cursor:
        return cursor.execute(
            queries["claim_window"],
            {"stream": stream, "worker": worker, "lease": lease},
        ).fetchone()


def renew(connection: psycopg.Connection, run: Run, lease: timedelta) -> None:
    """Say that the run lives. Raises LeaseLost when its lease has ended, though nobody may hold the window yet."""
    if connection.execute(queries["renew_lease"], {"token": run.token, "lease": lease}).rowcount == 0:
        raise _lost(run)


def enter(connection: psycopg.Connection, run: Run, step: Step) -> None:
    """Say that the run has come to a step. Raises LeaseLost when its lease has ended: what follows is in vain."""
    if connection.execute(queries["enter_step"], {"token": run.token, "step": step}).rowcount == 0:
        raise _lost(run)


def seconds_left(connection: psycopg.Connection, run: Run) -> float:
    """Return for how many seconds the run may still be silent, 0 or less if its lease ran out.

    Raises LeaseLost when it has ended.
    """
    row = connection.execute(queries["lease_seconds_left"], {"token": run.token}).fetchone()
    if row is None:
        raise _lost(run)
    return float(row[0])


def fail(connection: psycopg.Connection, run: Run, error: str) -> Literal["parked", "failed"] | None:
    """End a run with its traceback, and park its window if that was the last attempt.

    None where the run was published or taken over before.
    """
    ended: Literal["parked", "failed"] | None = _first(connection, "fail_run", {"token": run.token, "error": error})
    return ended


def release(connection: psycopg.Connection, run: Run, reason: str | None = None) -> bool:
    """Give a run back for a reason outside of its window: no attempt is lost, and another worker is told at once.

    Without a reason its worker stops. Return False where the run was published or taken over before.
    """
    return bool(_first(connection, "release_run", {"token": run.token, "reason": reason}))


def _first(connection: psycopg.Connection, query: str, values: Mapping[str, Any]) -> Any:
    row = connection.execute(queries[query], values).fetchone()
    return None if row is None else row[0]


def _lost(run: Run) -> LeaseLost:
    return LeaseLost(f"Run {run.run_id} on window {run.window_id} has lost its lease.")
