"""What a run reads: its own position and smaller ones, parked windows aside, as compact arrays."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import psycopg
import pytest

from tests.support.activity import START, Event, insert, make_window, some_events
from tests.support.learning import one
from tidegate.features import PROFILE
from tidegate.postgres import Database
from workers import reading
from workers.profiles import read_profiles
from workers.reading import Items, ReadHashes, read_task, records, spanning


def park(connection: psycopg.Connection, window: int) -> None:
    """Take a window out of the way."""
    connection.execute(
        "update learning.windows set state = 'parked', reason = 'poison', finished_at = now() where window_id = %s",
        [window],
    )


def windows(connection: psycopg.Connection, n: int) -> list[list[Event]]:
    """Make windows, each a month later than the one before."""
    made = []
    for number in range(n):
        events = some_events(seed=number, n=40, days=20)
        later = [Event(e.user_id, e.item_id, e.event_type, e.value, e.occurred_at + timedelta(days=30 * number))
                 for e in events]  # fmt: skip
        insert(connection, later)
        make_window(connection)
        made.append(later)
    return made


def test_rows_come_as_they_were_written(connection: psycopg.Connection) -> None:
    [events] = windows(connection, 1)
    task = read_task(connection, 1)
    found = {r.user: r for r in records(connection, "timelines", spanning(task, 1, 1))}
    for user in {e.user_id for e in events}:
        mine = sorted((e for e in events if e.user_id == user), key=lambda e: e.occurred_at)
        assert [e.occurred_at.timestamp() for e in mine] == pytest.approx(found[user].times.tolist())
        assert sorted(e.item_id for e in mine) == sorted(found[user].items)
        values = [np.nan if e.value is None else e.value for e in mine]
        assert sorted(found[user].values.tolist()) == pytest.approx(sorted(values), rel=1e-6, nan_ok=True)
    assert list(found) == sorted(found)


def test_a_parked_windows_events_are_neither_targets_nor_history(connection: psycopg.Connection) -> None:
    made = windows(connection, 3)
    park(connection, 2)
    task = read_task(connection, 3)
    items = Items(())
    timelines, times = reading.read_timelines(connection, task, items.add, ReadHashes(1))
    assert task.excluded == [2]
    assert sum(map(len, timelines)) == len(made[0]) + len(made[2])
    assert len(times) == len(made[2])
    assert {d.position for seed in range(9) for d in reading.draws(connection, task, seed)} == {1}


def test_a_parked_window_is_in_no_feature_of_a_run(store_database: Database, writer: psycopg.Connection) -> None:
    made = windows(writer, 2)
    park(writer, 2)
    insert(writer, [Event("user-0", "item-0", "view", None, START + timedelta(days=70))])
    make_window(writer)
    task = read_task(writer, 3)
    times = np.array([(START + timedelta(days=n)).timestamp() for n in (70, 71)])
    found = read_profiles(store_database, task, ["user-0"] * 2, times)
    views = sum(e.user_id == "user-0" and e.event_type == "view" for e in made[0])
    assert found[:, PROFILE.index("n_view")].tolist() == [views, views + 1]


def test_history_is_bounded_and_the_windows_own_events_are_all_there(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        insert(connection, [Event("ada", f"item-{n}", "view", None, START + timedelta(days=number, seconds=n))
                            for n in range(20)])  # fmt: skip
        make_window(connection)
    monkeypatch.setattr(reading, "LEAST", 30)
    monkeypatch.setattr(reading, "HISTORY", 1)
    task = read_task(connection, 6)
    [timeline], times = reading.read_timelines(connection, task, Items(()).add, ReadHashes(1))
    assert len(timeline) == 120, "nothing has learned from them yet: they all are targets"
    assert len(times) == 20
    [timeline], _ = reading.read_timelines(connection, replace(task, parent_position=5), Items(()).add, ReadHashes(5))
    assert len(timeline) == 80, "two windows to learn, and of history whole windows until 30 events are reached"


def test_the_hashes_name_the_window_whose_rows_differ(connection: psycopg.Connection) -> None:
    windows(connection, 3)

    def hashes() -> dict[str, str]:
        made = ReadHashes(first=2)
        list(made.noting(records(connection, "timelines", spanning(read_task(connection, 3), 1, 3))))
        return made.named()

    before = hashes()
    assert set(before) == {"history", "2", "3"}
    connection.execute("update features.user_timelines set event_values[1] = 7 where position = 2")
    assert {name for name, value in hashes().items() if value != before[name]} == {"2"}
    assert one(connection, "select count(*) from features.user_timelines where position = 2") > 0
