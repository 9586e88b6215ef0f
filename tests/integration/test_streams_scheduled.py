"""Windows that are cut at the times of a schedule."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from tests.support.learning import one
from tests.support.processes import Command
from tests.support.waiting import wait_until
from tidegate import schedules
from tidegate.stack import Stack
from workers import keeper

EVENT = "insert into ingest.behaviour_events (user_id, item_id, event_type) values ('ada', 'tea', 'view')"
DUE = "select next_cut_at from learning.streams where stream = 'default'"
CAUSES = "select cause from learning.windows order by window_id"
# The keeper was away at the time.
MISS = "update learning.streams set next_cut_at = now() - interval '8 hours'"
Connection = psycopg.Connection[Any]


def sweep(connection: Connection) -> list[str]:
    """Sweep as the keeper does; return the causes of all windows."""
    connection.execute("select learning.sweep()")
    return [cause for (cause,) in connection.execute(CAUSES).fetchall()]


def set_schedule(connection: Connection, schedule: str | None) -> None:
    """Change the schedule by plain SQL."""
    connection.execute("update learning.streams set schedule = %s where stream = 'default'", [schedule])


def test_the_keeper_works_out_when_a_schedule_is_due_next(connection: Connection) -> None:
    set_schedule(connection, "0 3 * * *")
    before = datetime.now(UTC)
    assert schedules.plan(connection) == {}
    due = one(connection, DUE)
    assert before < due
    assert (due.astimezone(UTC).hour, due.minute) == (3, 0)


def test_another_schedule_forgets_when_the_old_one_was_due(connection: Connection) -> None:
    set_schedule(connection, "0 3 * * *")
    schedules.plan(connection)
    connection.execute("update learning.streams set threshold = 7")
    assert one(connection, DUE) is not None
    set_schedule(connection, "30 4 * * *")
    assert one(connection, DUE) is None
    schedules.plan(connection)
    assert one(connection, DUE).minute == 30
    set_schedule(connection, None)
    assert one(connection, DUE) is None


def test_a_missed_schedule_cuts_one_window_and_is_due_at_its_next_time(connection: Connection) -> None:
    set_schedule(connection, "0 * * * *")
    schedules.plan(connection)
    connection.execute(EVENT)
    assert sweep(connection) == []
    connection.execute(MISS)
    assert sweep(connection) == ["schedule"]
    connection.execute(EVENT)
    assert sweep(connection) == ["schedule"]
    schedules.plan(connection)
    assert one(connection, DUE) > datetime.now(UTC)


def test_a_schedule_that_finds_nothing_waits_for_its_next_time(connection: Connection) -> None:
    set_schedule(connection, "0 3 * * *")
    schedules.plan(connection)
    connection.execute(MISS)
    assert sweep(connection) == []
    assert one(connection, DUE) is None
    connection.execute(EVENT)
    assert sweep(connection) == []


def test_a_held_schedule_stays_due(connection: Connection) -> None:
    connection.execute(EVENT)
    connection.execute("select learning.cut_window('default', null, true)")
    set_schedule(connection, "0 3 * * *")
    schedules.plan(connection)
    connection.execute(MISS)
    connection.execute("update learning.streams set min_interval = '1 hour'")
    connection.execute(EVENT)
    assert sweep(connection) == ["hand"]
    connection.execute("update learning.streams set min_interval = null")
    assert sweep(connection) == ["hand", "schedule"]


def test_the_keeper_says_once_which_schedule_it_cannot_read(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keeper, "connection", lambda: connection)
    set_schedule(connection, "61 * * * *")
    planner = keeper.Planner()
    with caplog.at_level(logging.WARNING):
        planner.plan()
        planner.plan()
    [record] = [r for r in caplog.records if "cannot be read" in r.getMessage()]
    assert "bad minute" in record.getMessage()
    assert one(connection, DUE) is None


def test_a_schedule_is_set_by_the_command_line_and_planned_at_once(
    run: Command, refuse: Command, connection: Connection
) -> None:
    run("streams", "set", "default", "--schedule", "0  3 * * mon")
    assert one(connection, "select schedule from learning.streams") == "0 3 * * mon"
    assert one(connection, DUE) > datetime.now(UTC)
    refused = refuse("streams", "set", "default", "--schedule", "0 25 * * *")
    assert "bad hour" in refused
    assert "--schedule '0 3 * * *'" in refused
    run("streams", "set", "default", "--schedule", "")
    assert one(connection, "select schedule from learning.streams") is None


def test_a_real_keeper_cuts_what_came_due_while_none_ran(connection: Connection, environment: dict[str, str]) -> None:
    set_schedule(connection, "0 3 * * *")
    schedules.plan(connection)
    connection.execute(MISS)
    connection.execute(EVENT)
    with Stack(("keeper",), say=lambda name, line: None, environment=environment):
        wait_until(lambda: one(connection, DUE) is not None and one(connection, DUE) > datetime.now(UTC), 30)
    assert [cause for (cause,) in connection.execute(CAUSES).fetchall()] == ["schedule"]
