"""A retried window is learned, although the version that it continues from has learned what came later."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from models.timelines import Timeline, target_moments
from tests.support.learning import deploy_version, one
from workers import reading

EVENT = (
    "insert into ingest.behaviour_events (user_id, item_id, event_type, occurred_at)"
    " values (%s, %s, 'view', to_timestamp(%s))"
)
DAY = 86_400.0
Connection = psycopg.Connection[Any]


def make_window(connection: Connection, events: list[tuple[str, str, int]]) -> int:
    """Make a ready window of (user, item, day)."""
    for user, item, day in events:
        connection.execute(EVENT, [user, item, day * DAY])
    window = one(connection, "select learning.cut_window('default', null, true)")
    connection.execute("select features.materialise_window(%s)", [window])
    return int(window)


def learn(connection: Connection, window: int, until: int | None) -> None:
    """Make a live version that has learned a window's events up to a day."""
    version = deploy_version(connection, {"tea": [1.0, 0.0]})
    manifest = Jsonb({"learned_until": None if until is None else until * DAY})
    connection.execute(
        "update learning.versions set window_id = %s, manifest = %s where version_id = %s",
        [window, manifest, version],
    )
    connection.execute(
        "update learning.windows set state = 'trained', finished_at = now() where window_id = %s", [window]
    )


def targets(connection: Connection, window: int) -> dict[str, list[int]]:
    """Return the days that a run on a window learns from, by user."""
    task = reading.read_task(connection, window)
    found, _ = reading.read_timelines(connection, task, reading.Items(()).add, reading.ReadHashes(task.first))
    return {timeline.user: days(timeline) for timeline in found if days(timeline)}


def days(timeline: Timeline) -> list[int]:
    """Return the days of a timeline's target moments."""
    return [int(time / DAY) for time in timeline.times[target_moments(timeline)]]


def test_a_retried_window_is_learned_from(connection: Connection) -> None:
    first = make_window(connection, [("ada", "tea", 1), ("ben", "tea", 2)])
    connection.execute(
        "update learning.windows set state = 'parked', reason = 'a test', finished_at = now() where window_id = %s",
        [first],
    )
    second = make_window(connection, [("ada", "milk", 10), ("ada", "milk", 20)])
    learn(connection, second, until=15)
    connection.execute("select learning.retry_window(%s)", [first])
    assert targets(connection, first) == {"ada": [1, 20], "ben": [2]}


def test_a_late_event_is_learned_from(connection: Connection) -> None:
    learn(connection, make_window(connection, [("ada", "tea", 10), ("ada", "tea", 20)]), until=15)
    later = make_window(connection, [("ada", "milk", 3), ("ada", "milk", 30)])
    assert targets(connection, later) == {"ada": [3, 20, 30]}


def test_what_the_parent_has_learned_whole_is_history(connection: Connection) -> None:
    learn(connection, make_window(connection, [("ada", "tea", 10)]), until=None)
    later = make_window(connection, [("ada", "milk", 30)])
    assert targets(connection, later) == {"ada": [30]}


def test_a_moment_is_a_target_if_any_of_its_events_is(connection: Connection) -> None:
    learn(connection, make_window(connection, [("ada", "tea", 10)]), until=None)
    later = make_window(connection, [("ada", "milk", 10), ("ada", "milk", 11)])
    assert targets(connection, later) == {"ada": [10, 11]}


def test_without_a_parent_everything_is_a_target(connection: Connection) -> None:
    assert targets(connection, make_window(connection, [("ada", "tea", 1), ("ada", "tea", 2)])) == {"ada": [1, 2]}
