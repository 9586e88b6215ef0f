"""What an operator can do with a parked window, and what its stream does meanwhile."""

from __future__ import annotations

import json
from typing import Any

import psycopg

from tests.support.learning import one
from tests.support.processes import Command, tidegate

EVENT = "insert into ingest.behaviour_events (stream, user_id, item_id, event_type) values (%s, %s, %s, 'view')"
TIMELINES = "select position, item_ids from features.user_timelines order by position"
STATE = "select state from learning.windows where window_id = %s"
POSITION = "select position from learning.windows where window_id = %s"
CLAIM = "select window_id from learning.claim_window('default', 'w', '1 minute')"
Connection = psycopg.Connection[Any]


def make_cut(connection: Connection, item: str = "tea", stream: str = "default") -> int:
    """Make a window of one event."""
    connection.execute(EVENT, [stream, "ada", item])
    return int(one(connection, "select learning.cut_window(%s, null, true)", [stream]))


def make_ready(connection: Connection, item: str = "tea", stream: str = "default") -> int:
    """Make a window of one event and materialise it."""
    window = make_cut(connection, item, stream)
    connection.execute("select features.materialise_window(%s)", [window])
    return window


def park(connection: Connection, window: int) -> None:
    """Park a window as its last failed run does."""
    connection.execute(
        "update learning.windows set state = 'parked', reason = 'a test', finished_at = clock_timestamp()"
        " where window_id = %s",
        [window],
    )


def test_a_retried_window_gets_a_new_position_and_its_timelines_move(connection: Connection) -> None:
    # With its old position a later version as parent would have it learn nothing.
    first, second = make_ready(connection, "tea"), make_ready(connection, "milk")
    park(connection, first)
    assert one(connection, "select learning.retry_window(%s)", [first]) == "ready"
    assert (one(connection, POSITION, [first]), one(connection, POSITION, [second])) == (3, 2)
    assert connection.execute(TIMELINES).fetchall() == [(2, ["milk"]), (3, ["tea"])]


def test_a_window_that_was_parked_before_it_was_ready_is_cut_again(connection: Connection) -> None:
    window = make_cut(connection)
    park(connection, window)
    assert one(connection, "select learning.retry_window(%s)", [window]) == "cut"
    connection.execute("select features.materialise_window(%s)", [window])
    assert one(connection, POSITION, [window]) == 1


def test_only_a_parked_window_can_be_retried_or_skipped(connection: Connection) -> None:
    window = make_ready(connection)
    assert one(connection, "select learning.retry_window(%s)", [window]) is None
    assert one(connection, "select learning.skip_window(%s)", [window]) is None
    park(connection, window)
    assert one(connection, "select learning.skip_window(%s)", [window]) == "skipped"
    assert one(connection, "select learning.retry_window(%s)", [window]) is None


def test_a_stream_that_stops_is_neither_cut_nor_claimed_past_a_parked_window(connection: Connection) -> None:
    first, second = make_ready(connection), make_ready(connection)
    connection.execute("update learning.streams set on_parked = 'stop', threshold = 1")
    park(connection, first)
    assert one(connection, "select learning.stopped('default')") == first
    assert one(connection, CLAIM) is None
    connection.execute(EVENT, ["default", "ada", "milk"])
    assert one(connection, "select learning.cut_window('default')") is None
    assert f"window {first} is parked" in one(connection, "select learning.hold('default')")
    connection.execute("select learning.skip_window(%s)", [first])
    assert one(connection, CLAIM) == second
    assert one(connection, "select learning.cut_window('default')") == second + 1


def test_a_stream_that_continues_goes_on_without_a_parked_window(connection: Connection) -> None:
    first, second = make_ready(connection), make_ready(connection)
    park(connection, first)
    assert one(connection, "select learning.stopped('default')") is None
    assert one(connection, CLAIM) == second


def test_a_parked_window_gets_another_round_of_attempts(run: Command, refuse: Command, connection: Connection) -> None:
    window = make_ready(connection)
    assert "not parked" in refuse("windows", "retry", str(window))
    for _ in range(3):
        run_id = one(connection, "select run_id from learning.claim_window('default', 'w', '1 minute')")
        connection.execute(
            "update learning.runs set state = 'failed', error = 'e', finished_at = now() where run_id = %s",
            [run_id],
        )
    assert ("parked", str(window)) in connection.execute("select * from learning.sweep()").fetchall()
    assert "is ready" in run("windows", "retry", str(window))
    assert ("parked", str(window)) not in connection.execute("select * from learning.sweep()").fetchall()
    assert one(connection, "select attempt from learning.claim_window('default', 'w', '1 minute')") == 4
    assert "does not exist" in refuse("windows", "retry", "77")


def test_skipping_says_what_it_means_and_asks(
    run: Command, refuse: Command, environment: dict[str, str], connection: Connection
) -> None:
    window = make_ready(connection)
    assert "not parked" in refuse("windows", "skip", str(window))
    park(connection, window)
    asked = tidegate("windows", "skip", str(window), environment=environment, input="n\n")
    assert asked.returncode == 1
    assert "never trained on" in asked.stdout
    assert one(connection, STATE, [window]) == "parked"
    said = tidegate("windows", "skip", str(window), "--json", environment=environment, input="y\n")
    assert json.loads(said.stdout) == {"window_id": window, "state": "skipped"}
    assert "is skipped, not parked" in refuse("windows", "retry", str(window))


def test_all_about_a_window_is_shown(run: Command, refuse: Command, connection: Connection) -> None:
    window = make_ready(connection)
    run_id = one(connection, "select run_id from learning.claim_window('default', 'somebody', '1 minute')")
    connection.execute(
        "update learning.runs set state = 'failed', error = %s, finished_at = now() where run_id = %s",
        ["Traceback (most recent call last):\nValueError: a bad day", run_id],
    )
    connection.execute(
        "insert into learning.window_figures (window_id, figure, value, median, mad, z, suspicious)"
        " values (%s, 'a figure', 9.1, 4.2, 0.3, 11.0, true)",
        [window],
    )
    shown = run("windows", "show", str(window))
    for fact in (
        "cause",
        "hand",
        "position",
        "somebody",
        "failed",
        "Traceback",
        "ValueError: a bad day",
        "usually 4.2",
    ):
        assert fact in shown
    found = json.loads(run("windows", "show", str(window), "--json"))
    assert (found["n"], found["id_ranges"], found["first_id"], found["state"]) == (1, 1, found["last_id"], "ready")
    assert [attempt["state"] for attempt in found["runs"]] == ["failed"]
    assert "does not exist" in refuse("windows", "show", "77")


def test_a_window_is_cut_by_hand_only_when_full_or_forced(
    run: Command, refuse: Command, connection: Connection
) -> None:
    assert "Write events first" in refuse("windows", "cut", "--force")
    connection.execute(EVENT, ["default", "ada", "tea"])
    assert "--force" in refuse("windows", "cut")
    assert "is cut" in run("windows", "cut", "--force")
    [window] = json.loads(run("windows", "list", "--json"))
    assert (window["state"], window["cause"], window["events"]) == ("cut", "hand", 1)
    assert "default" in run("windows", "list", "--state", "cut")


def test_a_held_stream_says_what_holds_it_and_is_cut_by_force(
    run: Command, refuse: Command, connection: Connection
) -> None:
    make_cut(connection)
    connection.execute("update learning.streams set threshold = 1, min_interval = '1 hour'")
    connection.execute(EVENT, ["default", "ada", "tea"])
    assert "min_interval" in refuse("windows", "cut")
    assert "is cut" in run("windows", "cut", "--force")
