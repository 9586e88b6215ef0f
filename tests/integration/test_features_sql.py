"""Live features and their history are what all events say, whatever the order of arrival."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from tests.support.activity import (
    HALF_LIVES,
    START,
    Event,
    Row,
    activity,
    decay,
    fold,
    insert,
    item_history,
    make_window,
    pair_history,
    some_events,
    user_history,
)

SEEDS = (1, 2, 3)
LIVE = ("n_events", "n_view", "n_click", "n_cart", "n_purchase", "n_rating", "decayed_day", "decayed_week")
LIVE = (*LIVE, "decayed_month", "spend", "rating_sum", "first_event_at")

Connection = psycopg.Connection[Any]


def rows(connection: Connection, table: str, order: str = "1") -> list[Row]:
    """Return a table of the schema features."""
    query = sql.SQL("select * from features.{} order by {}").format(sql.Identifier(table), sql.SQL(order))
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query).fetchall()


def user_row(connection: Connection, user: str) -> Row:
    """Return a user's features as a reader sees them at this commit."""
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute("select * from features.user_features(%s)", (user,)).fetchone()
    assert found is not None
    return found


def near(value: Any) -> Any:
    return pytest.approx(value, rel=1e-9) if isinstance(value, float) else value


def assert_same(found: Row, expected: Row) -> None:
    """Compare what is expected; floats to nine digits."""
    assert {name: found[name] for name in expected} == {name: near(value) for name, value in expected.items()}


def without_clock(row: Row) -> Row:
    """Return a live row without the time of the fold."""
    return {name: value for name, value in row.items() if name != "folded_at"}


def of_user(events: list[Event], user: str) -> list[Event]:
    return [event for event in events if event.user_id == user]


@pytest.mark.parametrize("seed", SEEDS)
def test_live_rows_are_what_all_events_say_however_they_were_folded(connection: Connection, seed: int) -> None:
    events = some_events(seed, 300)
    for start in range(0, 300, 70):
        insert(connection, events[start : start + 70])
        assert fold(connection) > 0

    for row in rows(connection, "user_activity"):
        mine = of_user(events, row["user_id"])
        last = max(e.occurred_at for e in mine)
        assert_same(row, activity(mine, last) | {"last_event_at": last})
    for row in rows(connection, "item_activity"):
        its = [e for e in events if e.item_id == row["item_id"]]
        last = max(e.occurred_at for e in its)
        assert_same(row, activity(its, last) | {"last_event_at": last})


@pytest.mark.parametrize("seed", SEEDS)
def test_a_pair_s_row_is_what_its_events_say(connection: Connection, seed: int) -> None:
    events = some_events(seed, 200, users=3, items=4)
    insert(connection, events[:120])
    fold(connection)
    insert(connection, events[120:])
    fold(connection)

    found = rows(connection, "user_item_activity")
    assert {(r["user_id"], r["item_id"]) for r in found} == {(e.user_id, e.item_id) for e in events}
    for row in found:
        mine = [e for e in events if (e.user_id, e.item_id) == (row["user_id"], row["item_id"])]
        last = max(e.occurred_at for e in mine)
        expected = activity(mine, last) | {"last_event_at": last}
        assert_same(row, {name: expected[name] for name in expected if name in row})


def test_recent_items_are_the_newest_hundred_in_order_of_time(connection: Connection) -> None:
    events = some_events(7, 400, users=2)
    for start in range(0, 400, 90):
        insert(connection, events[start : start + 90])
        fold(connection)

    for row in rows(connection, "user_activity"):
        newest = sorted(of_user(events, row["user_id"]), key=lambda e: e.occurred_at)[-100:]
        assert row["recent_items"] == [e.item_id for e in newest]
        assert row["recent_types"] == [e.event_type for e in newest]
        assert row["recent_times"] == [e.occurred_at for e in newest]


def test_category_affinity_is_the_decayed_count_of_each_category(connection: Connection) -> None:
    connection.execute(
        "insert into catalogue.items (item_id, category)"
        " select 'item-' || n, 'shelf-' || n % 3 from generate_series(0, 6) n"
    )
    events = some_events(11, 200, users=2)
    insert(connection, events[:150])
    fold(connection)
    insert(connection, events[150:])
    fold(connection)

    for row in rows(connection, "user_activity"):
        expected: dict[str, float] = {}
        for event in of_user(events, row["user_id"]):
            number = int(event.item_id.removeprefix("item-"))
            if number < 7:  # the eighth is in no catalogue, so it has no category
                shelf = f"shelf-{number % 3}"
                weight = decay(row["last_event_at"] - event.occurred_at, 30 * 86_400)
                expected[shelf] = expected.get(shelf, 0) + weight
        assert row["category_affinity"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_merged_read_is_what_the_keeper_folds_next(connection: Connection, seed: int) -> None:
    events = some_events(seed, 120)
    insert(connection, events[:60])
    fold(connection)
    insert(connection, events[60:])

    users = sorted({e.user_id for e in events})
    merged = {user: without_clock(user_row(connection, user)) for user in users}
    assert fold(connection) == 60
    assert merged == {row["user_id"]: without_clock(row) for row in rows(connection, "user_activity")}
    assert merged == {user: without_clock(user_row(connection, user)) for user in users}


def test_folding_outside_repeatable_read_is_refused(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="REPEATABLE READ"):
        connection.execute("select features.fold()")


def test_events_ages_apart_fold_without_an_underflow(connection: Connection) -> None:
    ancient = Event("user-0", "item-0", "view", None, START - timedelta(days=36_500))
    insert(connection, [ancient])
    fold(connection)
    insert(connection, [Event("user-0", "item-0", "view", None, START)])
    fold(connection)
    make_window(connection)
    assert user_row(connection, "user-0")["decayed_day"] == pytest.approx(1.0)
    newest = rows(connection, "user_activity_history", "event_timestamp")[-1]
    assert newest["decayed_day"] == pytest.approx(1.0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sizes", [(150,), (60, 60, 60), (1, 120, 2, 40)])
def test_history_is_what_was_known_after_each_moment(connection: Connection, seed: int, sizes: tuple[int, ...]) -> None:
    events = some_events(seed, sum(sizes))
    windows = [events[sum(sizes[:n]) : sum(sizes[: n + 1])] for n in range(len(sizes))]
    for window in windows:
        insert(connection, window)
        make_window(connection)

    users = rows(connection, "user_activity_history", "user_id, event_timestamp, position")
    for user in {e.user_id for e in events}:
        expected = user_history(windows, user)
        found = [row for row in users if row["user_id"] == user]
        assert len(found) == len(expected)
        for row, naive in zip(found, expected, strict=True):
            assert_same(row, naive)
    items = rows(connection, "item_activity_history", "item_id, event_timestamp, position")
    for item in {e.item_id for e in events}:
        expected = item_history(windows, item)
        found = [row for row in items if row["item_id"] == item]
        assert len(found) == len(expected)
        for row, naive in zip(found, expected, strict=True):
            assert_same(row, naive)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sizes", [(150,), (60, 60, 60), (1, 120, 2, 40)])
def test_a_pair_s_history_is_what_was_known_after_each_moment(
    connection: Connection, seed: int, sizes: tuple[int, ...]
) -> None:
    events = some_events(seed, sum(sizes), users=3, items=4)
    windows = [events[sum(sizes[:n]) : sum(sizes[: n + 1])] for n in range(len(sizes))]
    for window in windows:
        insert(connection, window)
        make_window(connection)

    every = rows(connection, "user_item_activity_history", "user_id, item_id, event_timestamp, position")
    assert {(row["user_id"], row["item_id"]) for row in every} == {(e.user_id, e.item_id) for e in events}
    for user, item in {(e.user_id, e.item_id) for e in events}:
        found = [row for row in every if (row["user_id"], row["item_id"]) == (user, item)]
        expected = [{k: v for k, v in row.items() if k in found[0]} for row in pair_history(windows, user, item)]
        assert len(found) == len(expected)
        for row, naive in zip(found, expected, strict=True):
            assert_same(row, naive)


def pairs_now(connection: Connection, asked: list[tuple[str, str]]) -> dict[tuple[str, str], list[float]]:
    """Return the live features of pairs as an online store asks for them."""
    items, users = [item for _, item in asked], [user for user, _ in asked]
    found = connection.execute("select * from features.pairs_now(%s, %s)", [items, users]).fetchall()
    return {(user, item): rest for user, item, _, *rest in found}


@pytest.mark.parametrize("users", [1, 3])
def test_pairs_are_fresh_at_commit_and_only_those_asked_for(connection: Connection, users: int) -> None:
    events = some_events(31, 120, users=3, items=4)
    insert(connection, events[:60])
    fold(connection)
    insert(connection, events[60:])
    asked = [(f"user-{u}", f"item-{i}") for u in range(users) for i in range(3)]

    fresh = pairs_now(connection, [*asked, asked[0], ("user-0", "nothing")])
    expected = {}
    for pair in asked:
        mine = [e for e in events if (e.user_id, e.item_id) == pair]
        last = max(e.occurred_at for e in mine)
        told = activity(mine, last)
        expected[pair] = pytest.approx([*(told[name] for name in ("n_events", *HALF_LIVES)), last.timestamp()])
    assert fresh == expected
    fold(connection)
    assert pairs_now(connection, asked) == expected


def test_a_parked_window_leaves_no_trace_in_later_rows_of_a_pair(connection: Connection) -> None:
    windows = [[Event("ann", "tea", "view", None, START + timedelta(days=day))] for day in range(3)]
    for window in windows:
        insert(connection, window)
        position = make_window(connection)
        if position == 2:
            connection.execute(
                "update learning.windows set state = 'parked', reason = 'a test', finished_at = now()"
                " where position = 2"
            )

    found = rows(connection, "user_item_activity_history", "position")
    assert [row["n_events"] for row in found] == [1, 2, 2]


@pytest.mark.parametrize("seed", SEEDS)
def test_features_as_of_a_moment_are_the_last_row_until_then(connection: Connection, seed: int) -> None:
    windows = [some_events(seed + n, 60, users=2, items=3) for n in range(3)]
    for window in windows:
        insert(connection, window)
        make_window(connection)

    def last(history: list[Row], at: datetime) -> Row | None:
        known = [row for row in history if row["event_timestamp"] <= at]
        return max(known, key=lambda row: (row["event_timestamp"], row["position"]), default=None)

    times = [
        START - timedelta(days=1),
        *(e.occurred_at + timedelta(microseconds=us) for e in windows[1][:10] for us in (-1, 0)),
    ]
    for at in times:
        assert_as_of(connection, "as_of", "user-0", at, last(user_history(windows, "user-0"), at))
        assert_as_of(connection, "item_as_of", "item-0", at, last(item_history(windows, "item-0"), at))
        pairs = {f"item-{n}": last(pair_history(windows, "user-0", f"item-{n}"), at) for n in range(3)}
        query = "select item_id, n_events, decayed_day from features.pairs_as_of('user-0', %s)"
        found = {item: rest for item, *rest in connection.execute(query, [at]).fetchall()}
        expected = {i: [row["n_events"], near(row["decayed_day"])] for i, row in pairs.items() if row}
        assert found == expected


def assert_as_of(connection: Connection, function: str, entity: str, at: datetime, expected: Row | None) -> None:
    """Compare what a lookup in the past finds with the row that it must find."""
    query = sql.SQL("select * from features.{}(%s, %s)").format(sql.Identifier(function))
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(query, (entity, at)).fetchone()
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert_same(found, expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_newest_history_row_is_the_live_row(connection: Connection, seed: int) -> None:
    events = some_events(seed, 200)
    for start in range(0, 200, 50):
        insert(connection, events[start : start + 50])
        make_window(connection)
        if start % 100:
            fold(connection)
    fold(connection)

    for entity in ("user", "item"):
        order = f"{entity}_id, event_timestamp, position"
        every = rows(connection, f"{entity}_activity_history", order)
        newest = {row[f"{entity}_id"]: row for row in every}
        live = rows(connection, f"{entity}_activity")
        assert len(live) == len(newest)
        for row in live:
            history = newest[row[f"{entity}_id"]]
            assert_same(history, {name: row[name] for name in LIVE})
            assert history["event_timestamp"] == row["last_event_at"]


def test_windows_of_two_streams_add_to_one_history(connection: Connection) -> None:
    connection.execute("insert into learning.streams (stream) values ('news') on conflict do nothing")
    shop = some_events(21, 60, users=2)
    news = [replace(event, stream="news") for event in some_events(22, 60, users=2)]
    insert(connection, shop)
    make_window(connection)
    insert(connection, news)
    make_window(connection, "news")

    found = rows(connection, "user_activity_history", "user_id, event_timestamp, position")
    for user in ("user-0", "user-1"):
        mine = [row for row in found if row["user_id"] == user]
        for row, naive in zip(mine, user_history([shop, news], user), strict=True):
            assert_same(row, naive)
