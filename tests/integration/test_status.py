"""What an operator sees at one look."""

from __future__ import annotations

import json
import re
from typing import Any

import psycopg
import pytest

from tests.support.learning import add_items, deploy_version
from tests.support.processes import Command
from tests.support.windows import claimed, ready_window
from tidegate.status import Status, StreamStatus, read_status

EVENTS = (
    "insert into ingest.behaviour_events (stream, user_id, item_id, event_type)"
    " select %s, 'user-' || n, 'milk', 'view' from generate_series(1, %s) n"
)
Connection = psycopg.Connection[Any]


@pytest.fixture
def busy(connection: Connection) -> Connection:
    """Streams that are held, unreadable and under way, with a parked window and a suspicious one."""
    connection.execute("update learning.streams set min_interval = '1 hour', schedule = '61 * * * *'")
    connection.execute(
        "insert into learning.streams (stream, threshold, schedule, next_cut_at, new_item_share)"
        " values ('shop', 5000, '0 3 * * *', '2030-01-01 03:00+00', 0.4)"
    )
    add_items(connection, "tea")
    deploy_version(connection, {"tea": [1.0, 0.0]}, stream="shop")
    parked, suspicious = ready_window(connection), ready_window(connection, "shop")
    connection.execute(
        "update learning.windows set state = 'parked', finished_at = now(),"
        " reason = '3 runs did not finish; the last error: ValueError: no' where window_id = %s",
        [parked],
    )
    connection.execute("update learning.windows set suspicious = true where window_id = %s", [suspicious])
    connection.execute(
        "update learning.window_figures set value = 9.1, median = 4.2, mad = 0.3, z = 11.0, suspicious = true"
        " where window_id = %s and figure = 'log_rate'",
        [suspicious],
    )
    claimed(connection, "shop")
    connection.execute(EVENTS, ["shop", 600])
    connection.execute(EVENTS, ["default", 3])
    return connection


def streams_of(found: Status) -> tuple[StreamStatus, StreamStatus]:
    """Return the streams default and shop."""
    default, shop = found.streams
    return default, shop


def test_a_stream_says_how_full_it_is_what_holds_it_and_when_it_is_due(busy: Connection) -> None:
    default, shop = streams_of(read_status(busy))
    assert default.waiting == 3
    assert re.fullmatch(r"min_interval: \d+ of 3600 s since the last cut", default.hold or "")
    assert (shop.waiting, shop.hold, shop.schedule) == (600, None, "0 3 * * *")
    assert shop.next_cut_at is not None
    assert (default.oldest_waiting_seconds or 99) < 60
    assert default.windows == {"parked": 1}


def test_an_unreadable_schedule_is_told(busy: Connection) -> None:
    default, shop = streams_of(read_status(busy))
    assert "bad minute" in (default.schedule_error or "")
    assert shop.schedule_error is None


def test_what_waits_is_looked_at_where_it_is_a_reason_to_cut(busy: Connection) -> None:
    default, shop = streams_of(read_status(busy))
    assert default.waiting_figures is None
    assert shop.waiting_figures is not None
    assert (shop.waiting_figures.sampled, shop.waiting_figures.new_item_share) == (600, 1.0)


def test_parked_windows_suspicious_ones_and_leases_are_listed(busy: Connection) -> None:
    found = read_status(busy)
    [parked], [suspicious], [lease] = found.parked, found.suspicious, found.leases
    assert (parked.stream, parked.n, parked.runs) == ("default", 1, 0)
    assert "ValueError" in parked.reason
    assert (suspicious.stream, suspicious.figure, suspicious.z) == ("shop", "log_rate", 11.0)
    assert (lease.stream, lease.step, lease.worker) == ("shop", "claimed", "a test")
    assert 0 <= lease.heartbeat_seconds < 60 < lease.lease_seconds_left + 1


def test_the_command_shows_it_all(run: Command, busy: Connection) -> None:
    shown = run("status")
    for fact in (
        "600 / 5,000",
        "1 parked",
        "of 3600 s since the last cut",
        "100% about new items",
        "bad minute",
        "2030-01-01 03:00 UTC (0 3 * * *)",
        "ValueError: no",
        "log_rate",
        "claimed",
        "tidegate windows retry",
    ):
        assert fact in shown
    assert len(json.loads(run("status", "--json"))["parked"]) == 1
