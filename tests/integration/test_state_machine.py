"""Windows and runs go the ways that docs/explanation/windows.md draws, and the database refuses all others."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import psycopg
import pytest
from psycopg.errors import CheckViolation

from tests.support.learning import one

WINDOW_STATES = ("cut", "ready", "trained", "parked", "skipped")
WINDOW_WAYS = {
    ("cut", "ready"),
    ("cut", "parked"),
    ("ready", "trained"),
    ("ready", "parked"),
    ("parked", "cut"),
    ("parked", "ready"),
    ("parked", "skipped"),
}
# What each state must have.
WINDOW_COLUMNS: dict[str, dict[str, Any]] = {
    "cut": {"position": None, "ready_at": None, "finished_at": None, "reason": None},
    "ready": {"position": 7, "ready_at": "now", "finished_at": None, "reason": None},
    "trained": {"position": 7, "ready_at": "now", "finished_at": "now", "reason": None},
    "parked": {"position": 7, "ready_at": "now", "finished_at": "now", "reason": "a test"},
    "skipped": {"position": 7, "ready_at": "now", "finished_at": "now", "reason": "a test"},
}
RUN_STATES = ("running", "succeeded", "failed", "expired", "released")
RUN_WAYS = {("running", after) for after in RUN_STATES[1:]}
INSERT = (
    "insert into learning.windows (stream, n, ids, t0, t1, state, position, ready_at, finished_at, reason)"
    " values ('default', 1, '{[1,2)}', now(), now(),"
    " %(state)s, %(position)s, %(ready_at)s, %(finished_at)s, %(reason)s) returning window_id"
)
UPDATE = (
    "update learning.windows set state = %(state)s, position = %(position)s, ready_at = %(ready_at)s,"
    " finished_at = %(finished_at)s, reason = %(reason)s where window_id = %(window)s"
)
RUN = (
    "insert into learning.runs (window_id, attempt, worker, state, lease_until, finished_at, error)"
    " values (%s, 1, 'a test', %s, now(), %s, %s) returning run_id"
)


def make_window(connection: psycopg.Connection[Any], state: str, **columns: Any) -> int:
    """Return a window in a state, with what the state must have unless said otherwise."""
    values = {"state": state} | WINDOW_COLUMNS[state] | columns
    return int(connection.execute(INSERT.encode(), values).fetchone()[0])  # type: ignore[index]


def make_run(connection: psycopg.Connection[Any], state: str) -> int:
    """Return a run in a state."""
    window = make_window(connection, "ready")
    return int(one(connection, RUN, [window, state, *ending(state)]))


def ending(state: str) -> tuple[str | None, str | None]:
    """Return when and with which error a run in this state ended."""
    return (None if state == "running" else "now", "an error" if state == "failed" else None)


def columns_before(before: str, after: str) -> dict[str, Any]:
    """Return what sets a window apart before a change: what goes back to cut never had a position."""
    return {"position": None, "ready_at": None} if (before, after) == ("parked", "cut") else {}


def columns_after(before: str, after: str) -> dict[str, Any]:
    """Return what a window has after a change: it keeps its position, unless it comes back."""
    if (before, after) == ("parked", "ready"):
        return WINDOW_COLUMNS[after] | {"position": 8}
    return WINDOW_COLUMNS[after]


@pytest.mark.parametrize(("before", "after"), list(permutations(WINDOW_STATES, 2)))
def test_a_window_goes_only_the_ways_that_are_drawn(
    connection: psycopg.Connection[Any], before: str, after: str
) -> None:
    window = make_window(connection, before, **columns_before(before, after))
    values = {"window": window, "state": after} | columns_after(before, after)
    if (before, after) in WINDOW_WAYS:
        connection.execute(UPDATE.encode(), values)
        assert one(connection, "select state from learning.windows") == after
    else:
        with pytest.raises(CheckViolation, match=f"cannot go from {before} to {after}"):
            connection.execute(UPDATE.encode(), values)


@pytest.mark.parametrize(("before", "after"), list(permutations(RUN_STATES, 2)))
def test_a_run_ends_once(connection: psycopg.Connection[Any], before: str, after: str) -> None:
    run = make_run(connection, before)
    change = "update learning.runs set state = %s, finished_at = %s, error = %s where run_id = %s"
    values = [after, *ending(after), run]
    if (before, after) in RUN_WAYS:
        connection.execute(change, values)
        assert one(connection, "select state from learning.runs") == after
    else:
        with pytest.raises(CheckViolation, match=f"cannot go from {before} to {after}"):
            connection.execute(change, values)


@pytest.mark.parametrize(
    ("state", "lack", "constraint"),
    [
        ("cut", {"position": 1}, "cut_window_has_no_position"),
        ("cut", {"finished_at": "now"}, "finished_at_iff_finished"),
        ("cut", {"reason": "because"}, "parked_or_skipped_iff_reason"),
        ("ready", {"position": None}, "materialised_window_has_position"),
        ("ready", {"ready_at": None}, "ready_window_has_ready_at"),
        ("trained", {"position": None}, "materialised_window_has_position"),
        ("trained", {"finished_at": None}, "finished_at_iff_finished"),
        ("parked", {"reason": None}, "parked_or_skipped_iff_reason"),
        ("parked", {"finished_at": None}, "finished_at_iff_finished"),
        ("skipped", {"reason": None}, "parked_or_skipped_iff_reason"),
        ("skipped", {"finished_at": None}, "finished_at_iff_finished"),
    ],
)
def test_a_state_has_what_it_must_have(
    connection: psycopg.Connection[Any], state: str, lack: dict[str, Any], constraint: str
) -> None:
    with pytest.raises(CheckViolation, match=constraint):
        make_window(connection, state, **lack)


@pytest.mark.parametrize("change", ["n = 2", "ids = '{[1,3)}'", "stream = 'shop'", "t1 = now() + interval '1 day'"])
def test_the_events_of_a_window_are_fixed(connection: psycopg.Connection[Any], change: str) -> None:
    connection.execute("insert into learning.streams (stream) values ('shop')")
    make_window(connection, "cut")
    with pytest.raises(CheckViolation, match="is a fixed set of events"):
        connection.execute(f"update learning.windows set {change}".encode())


def test_a_window_comes_back_only_with_a_new_position(connection: psycopg.Connection[Any]) -> None:
    window = make_window(connection, "parked")
    with pytest.raises(CheckViolation, match="needs a new position"):
        connection.execute(UPDATE.encode(), {"window": window, "state": "ready"} | WINDOW_COLUMNS["ready"])


def test_a_window_keeps_its_position_otherwise(connection: psycopg.Connection[Any]) -> None:
    make_window(connection, "ready")
    with pytest.raises(CheckViolation, match="keeps its position"):
        connection.execute("update learning.windows set position = 9")


@pytest.mark.parametrize("change", ["token = token + 1", "attempt = 2"])
def test_a_run_keeps_its_token_and_attempt(connection: psycopg.Connection[Any], change: str) -> None:
    make_run(connection, "running")
    with pytest.raises(CheckViolation, match="keeps its window"):
        connection.execute(f"update learning.runs set {change}".encode())
