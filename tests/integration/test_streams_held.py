"""What holds a stream, so that a burst becomes one larger window and not a queue of small ones."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg.errors import CheckViolation

from tests.support.learning import one
from tests.support.waiting import wait_until
from tidegate.postgres import Database

EVENTS = (
    "insert into ingest.behaviour_events (stream, user_id, item_id, event_type)"
    " select %s, 'user-' || n, 'tea', 'view' from generate_series(1, %s) n"
)
WINDOW = (
    "insert into learning.windows (stream, n, ids, t0, t1, state, position, ready_at, finished_at)"
    " values (%s, 1, '{[1,2)}', now(), now(), 'trained', nextval('learning.fencing_tokens'), now(), now())"
    " returning window_id"
)
RUN = (
    "insert into learning.runs (window_id, attempt, worker, state, claimed_at, lease_until, finished_at)"
    " values (%s, 1, 'a test', 'succeeded', now() - make_interval(mins => %s, secs => %s), now(),"
    " now() - make_interval(mins => %s)) returning run_id"
)
Connection = psycopg.Connection[Any]


@pytest.fixture(autouse=True)
def _small(connection: Connection) -> None:
    """Make windows of ten."""
    connection.execute("update learning.streams set threshold = 10")


def write(connection: Connection, n: int = 10, stream: str = "default") -> None:
    """Insert n events in one statement."""
    connection.execute(EVENTS, [stream, n])


def sweep(connection: Connection) -> list[tuple[str, int]]:
    """Sweep as the keeper does; return cause and size of each window that it cut."""
    before = one(connection, "select coalesce(max(window_id), 0) from learning.windows")
    connection.execute("select learning.sweep()")
    rows = "select cause, n from learning.windows where window_id > %s order by window_id"
    return connection.execute(rows.encode(), [before]).fetchall()


def train(connection: Connection, minutes_ago: float, seconds: float, stream: str = "default") -> None:
    """Have trained on a window for so long, so many minutes ago."""
    window = one(connection, WINDOW, [stream])
    connection.execute(RUN, [window, minutes_ago, seconds, minutes_ago])


def hold(connection: Connection, stream: str = "default") -> Any:
    """Return what holds a stream."""
    return one(connection, "select learning.hold(%s)", [stream])


def used(connection: Connection) -> tuple[float, float, int]:
    """Return the seconds of the last hour, those expected, and the windows under way."""
    row = connection.execute("select * from learning.training_seconds('default')").fetchone()
    assert row is not None
    return (round(row[0]), round(row[1]), row[2])


def test_within_the_minimal_interval_a_burst_becomes_one_window(connection: Connection) -> None:
    connection.execute("update learning.streams set min_interval = '1 hour'")
    write(connection)
    assert sweep(connection) == [("rows", 10)]
    for _ in range(5):
        write(connection)
        assert sweep(connection) == []
    assert re.fullmatch(r"min_interval: \d+ of 3600 s since the last cut", hold(connection))
    connection.execute("update learning.windows set cut_at = cut_at - interval '1 hour'")
    assert hold(connection) is None
    assert sweep(connection) == [("rows", 50)]


def test_a_cut_by_hand_is_not_held(connection: Connection) -> None:
    connection.execute("update learning.streams set min_interval = '1 hour'")
    for n in (1, 2):
        write(connection, n)
        window = one(connection, "select learning.cut_window('default', null, true)")
        assert one(connection, "select cause from learning.windows where window_id = %s", [window]) == "hand"


def test_the_budget_counts_what_the_last_hour_has_seen(connection: Connection) -> None:
    train(connection, minutes_ago=30, seconds=100)
    train(connection, minutes_ago=59, seconds=120)  # half of it was more than an hour ago
    train(connection, minutes_ago=61, seconds=100)
    assert used(connection) == (160, 0, 0)
    connection.execute("update learning.streams set budget_seconds = 161")
    assert hold(connection) is None
    connection.execute("update learning.streams set budget_seconds = 155")
    assert "budget_seconds: 160 s of training in the last hour" in hold(connection)


def test_a_burst_cuts_no_more_windows_than_the_budget_can_train(connection: Connection) -> None:
    train(connection, minutes_ago=90, seconds=100)
    connection.execute("update learning.streams set budget_seconds = 250")
    for _ in range(6):
        write(connection)
        sweep(connection)
    # 100 s are expected of each: the third begins while there is budget left, the fourth would not.
    assert used(connection) == (0, 300, 3)
    assert one(connection, "select sum(n) from ingest.batches") == 30


def test_a_run_that_has_just_begun_counts_as_long_as_runs_take(connection: Connection) -> None:
    train(connection, minutes_ago=90, seconds=100)
    write(connection)
    window = one(connection, "select learning.cut_window('default')")
    connection.execute("select features.materialise_window(%s)", [window])
    assert used(connection) == (0, 100, 1)
    assert one(connection, "select attempt from learning.claim_window('default', 'w', '1 minute')") == 1
    assert used(connection) == (0, 100, 1)
    connection.execute("update learning.runs set claimed_at = now() - interval '150 seconds' where state = 'running'")
    assert used(connection) == (0, 150, 1)


def test_before_the_first_run_a_budget_lets_one_window_through_at_a_time(connection: Connection) -> None:
    connection.execute("update learning.streams set budget_seconds = 600")
    for _ in range(3):
        write(connection)
        sweep(connection)
    assert one(connection, "select count(*) from learning.windows") == 1


def test_the_trigger_nudges_for_rows_only_where_nothing_holds_the_stream(connection: Connection) -> None:
    write(connection, 9)
    assert one(connection, "select learning.due_by_rows('default')") is False
    write(connection, 1)
    assert one(connection, "select learning.due_by_rows('default')") is True
    one(connection, "select learning.cut_window('default')")
    connection.execute("update learning.streams set min_interval = '1 hour'")
    write(connection, 10)
    assert one(connection, "select learning.due_by_rows('default')") is False


def test_a_sweep_counts_again_before_it_cuts(database: Database, connection: Connection) -> None:
    connection.execute("insert into learning.streams (stream, threshold) values ('shop', 10)")
    write(connection)
    write(connection, stream="shop")
    with database.connect() as other, database.connect(autocommit=True) as sweeper, ThreadPoolExecutor(1) as pool:
        other.execute("lock table pgmq.q_features in exclusive mode")
        sweeping = pool.submit(sweeper.execute, "select learning.sweep()")
        waiting = "select wait_event_type from pg_stat_activity where pid = %s"
        wait_until(lambda: one(connection, waiting, [sweeper.info.backend_pid]) == "Lock")
        # While it cuts the first stream, a task cuts the second, and an event comes.
        connection.execute("delete from ingest.batches where stream = 'shop'")
        write(connection, 1, "shop")
        other.rollback()
        sweeping.result()
    assert connection.execute("select stream, n from learning.windows").fetchall() == [("default", 10)]


def test_what_is_old_is_cut_although_it_is_not_full(connection: Connection) -> None:
    connection.execute("update learning.streams set max_age = '1 hour'")
    write(connection, 3)
    assert sweep(connection) == []
    connection.execute("update ingest.batches set t0 = t0 - interval '2 hours'")
    assert sweep(connection) == [("age", 3)]


def test_streams_with_rules_of_their_own_do_not_touch_each_other(connection: Connection) -> None:
    connection.execute(
        "insert into learning.streams (stream, threshold, min_interval, on_parked)"
        " values ('shop', 5, '1 hour', 'stop'), ('news', 100, null, 'continue')"
    )
    for stream in ("default", "shop", "news"):
        write(connection, 10, stream)
    assert sorted(sweep(connection)) == [("rows", 10), ("rows", 10)]
    write(connection, 10, "shop")
    write(connection, 90, "news")
    assert sweep(connection) == [("rows", 100)]
    connection.execute(
        "update learning.windows set state = 'parked', reason = 'a test', finished_at = now() where stream = 'shop'"
    )
    assert [bool(hold(connection, stream)) for stream in ("default", "shop", "news")] == [False, True, False]
    write(connection)
    assert sweep(connection) == [("rows", 10)]


@pytest.mark.parametrize(
    "change",
    [
        "new_item_share = 0",
        "new_item_share = 1.1",
        "mix_drift = 'NaN'",
        "schedule = '0 3 * *'",
        "schedule = ''",
        "next_cut_at = now()",
        "min_interval = '0'",
        "budget_seconds = 0",
        "max_attempts = 0",
        "on_parked = 'wait'",
    ],
)
def test_rules_that_make_no_sense_are_refused(connection: Connection, change: str) -> None:
    with pytest.raises(CheckViolation):
        connection.execute(f"update learning.streams set {change}".encode())
