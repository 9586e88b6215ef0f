"""The feature repository, with the plain Feast command and from Python, on the real stores."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
import yaml
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from models import timelines
from tests.support.activity import Row, insert, item_history, some_events, user_history
from tests.support.feast import expected_features, feast, land, three_windows
from tests.support.learning import deploy_version
from tidegate import feature_store, features
from tidegate.moments import profiles_before
from tidegate.postgres import Database
from tidegate.postgres.variables import feast_variables


def raw_online(writer: psycopg.Connection[Any], view: str) -> dict[tuple[bytes, str], tuple[Any, ...]]:
    """Return the online store's rows with the transaction that wrote each."""
    found = writer.execute(
        f"select entity_key, feature_name, value, event_ts, xmin::text from feast.tidegate_{view}".encode()
    ).fetchall()
    return {(key, name): rest for key, name, *rest in found}


def expected_profile(row: Row | None, asked: datetime) -> list[float]:
    """Return what a model shall read of a history row at a later time."""
    if row is None:
        return [np.nan] * len(features.PROFILE)
    mean = row["rating_sum"] / row["n_rating"] if row["n_rating"] else np.nan
    age = (asked - row["event_timestamp"]) / timedelta(days=1)
    return [*(float(row[name]) for name in features.PROFILE[:-2]), mean, age]


def as_of(history: list[Row], asked: datetime) -> Row | None:
    """Return the last row strictly before a time."""
    earlier = [row for row in history if row["event_timestamp"] < asked]
    return max(earlier, key=lambda row: (row["event_timestamp"], row["position"]), default=None)


def test_the_profile_is_what_the_models_read() -> None:
    assert features.PROFILE == timelines.PROFILE


@pytest.mark.parametrize("password", ["", "plain", 'it\'s "quoted": #1 \\ ${HOME} %20 @/'])
def test_any_password_reaches_feast_unchanged(password: str) -> None:
    database = Database(make_conninfo(host="db.example", port=5433, user="u", password=password, dbname="shop"))
    for store in ("online_store", "offline_store"):
        found = feature_store.settings(database)[store]
        assert (found["host"], found["port"], found["password"]) == ("db.example", 5433, password)


def test_the_plain_feast_command_reads_the_same_settings(server: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in feast_variables(server).items():
        monkeypatch.setenv(name, value)
    text = (feature_store.settings_file()).read_text()
    assert yaml.safe_load(os.path.expandvars(text)) == feature_store.settings(server)


def test_the_plain_feast_command_lists_what_was_applied(store_database: Database) -> None:
    assert {"user_activity", "item_activity"} <= set(feast(store_database, "feature-views", "list").split())


def test_definitions_are_applied_once(store_database: Database) -> None:
    assert not features.apply_definitions(store_database)


@pytest.mark.long  # two processes that import Feast
def test_definitions_that_were_torn_down_are_applied_again_with_a_warning_of_what_they_lack(
    store_database: Database, writer: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    deploy_version(writer, {"tea": [1, 0]})
    writer.execute("""update learning.versions set manifest = '{"service": {"name": "gone@v1"}}'""")
    feast(store_database, "teardown")
    left = writer.execute("select count(*) > 0 from feast.feature_view_version_history").fetchone()
    assert left == (True,), "Feast forgets them itself now"
    assert features.apply_definitions(store_database)
    assert "no feature service gone@v1 any more" in caplog.text


def test_historical_values_are_those_strictly_before(store_database: Database, writer: psycopg.Connection[Any]) -> None:
    windows = three_windows(5)
    land(writer, windows)
    events = [event for window in windows for event in window]
    asked = [(e.user_id, e.occurred_at + timedelta(microseconds=step)) for e in events[:60] for step in (0, 1)]
    asked += [("user-0", datetime(2024, 1, 1, tzinfo=UTC)), ("nobody", datetime(2026, 1, 1, tzinfo=UTC))]
    asked += asked[:5]  # an asked row may repeat

    found = profiles_before(store_database, [u for u, _ in asked], np.array([at.timestamp() for _, at in asked]))

    histories = {user: user_history(windows, user) for user, _ in asked}
    expected = [expected_profile(as_of(histories[user], time), time) for user, time in asked]
    np.testing.assert_allclose(found, np.array(expected), rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("stock")
def test_online_values_are_the_newest_of_the_history(store_database: Database, writer: psycopg.Connection[Any]) -> None:
    windows = three_windows(6)
    for position in land(writer, windows):
        features.materialise_window_online(store_database, position)

    users, items = ([f"user-{n}" for n in range(5)], [f"item-{n}" for n in range(8)])
    found = features.online(store_database, [*users, "nobody"], items)

    assert found["users"].pop("nobody") is None
    for user in users:
        assert found["users"][user] == pytest.approx(expected_features(user_history(windows, user)[-1]))
    for item in items:
        assert found["items"][item] == pytest.approx(expected_features(item_history(windows, item)[-1]))


@pytest.mark.usefixtures("stock")
def test_a_window_touches_its_own_entities_only(store_database: Database, writer: psycopg.Connection[Any]) -> None:
    everybody = some_events(8, 80)
    few = [event for event in some_events(9, 40) if event.user_id in ("user-0", "user-1")]
    first, second = land(writer, [everybody, few])
    features.materialise_window_online(store_database, first)
    before = raw_online(writer, "user_activity")

    report = features.materialise_window_online(store_database, second)

    after = raw_online(writer, "user_activity")
    changed = {key for key, _ in after if after[key, _] != before.get((key, _))}
    assert report.users == len(changed) == len({event.user_id for event in few})
    assert report.items == len({event.item_id for event in few})
    assert report.seconds > 0


@pytest.mark.usefixtures("stock")
def test_an_old_window_never_overwrites_newer_values(store_database: Database, writer: psycopg.Connection[Any]) -> None:
    first, second = land(writer, [some_events(10, 60), some_events(11, 60)])
    features.materialise_window_online(store_database, second)
    before = raw_online(writer, "user_activity")

    assert features.materialise_window_online(store_database, first).users == 0
    assert raw_online(writer, "user_activity") == before


@pytest.mark.usefixtures("stock")
def test_a_repeated_window_writes_the_same_values(store_database: Database, writer: psycopg.Connection[Any]) -> None:
    (position,) = land(writer, [some_events(12, 60)])
    features.materialise_window_online(store_database, position)
    first = features.online(store_database, ["user-0"], ["item-0"])
    features.materialise_window_online(store_database, position)
    assert features.online(store_database, ["user-0"], ["item-0"]) == first


@pytest.mark.usefixtures("stock")
def test_feasts_own_store_connects_again_after_the_server_cut_it_off(
    store_database: Database, writer: psycopg.Connection[Any]
) -> None:
    land(writer, [some_events(13, 20)])
    features.materialise_window_online(store_database, 1)
    terminate_others(writer)
    with pytest.raises(psycopg.Error):
        features.online(store_database, ["user-0"])
    assert features.online(store_database, ["user-0"])["users"]["user-0"] is not None


def test_our_store_does_not_notice_that_the_server_cut_it_off(
    store_database: Database, writer: psycopg.Connection[Any]
) -> None:
    insert(writer, some_events(13, 20))
    before = features.online(store_database, ["user-0"])
    terminate_others(writer)
    assert features.online(store_database, ["user-0"]) == before
    assert before["users"]["user-0"] is not None


def test_online_values_are_those_of_the_last_commit(store_database: Database, writer: psycopg.Connection[Any]) -> None:
    for seed in (20, 21, 22):  # the first is folded, the second waits, the third comes as a window, all at once
        insert(writer, some_events(seed, 40))
        if seed == 20:
            writer.execute("begin isolation level repeatable read; select features.fold(); commit")
        users, items = ([f"user-{n}" for n in range(5)], [f"item-{n}" for n in range(8)])
        found = features.online(store_database, [*users, "nobody"], items)
        assert found["users"].pop("nobody") is None
        alone = {user: features.online(store_database, [user])["users"][user] for user in users}
        assert alone == found["users"] == {user: live(writer, "user", user) for user in users}
        assert found["items"] == {item: live(writer, "item", item) for item in items}


def live(writer: psycopg.Connection[Any], entity: str, name: str) -> dict[str, Any] | None:
    """Return a live row as Feast shows it, by a way that the store does not go."""
    merged = {"user": "features.user_features(%(name)s)", "item": "features.merged_items()"}[entity]
    for source in (merged, f"features.{entity}_activity"):
        query = f"select *, extract(epoch from last_event_at)::float8 as event_at from {source}"
        with writer.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(f"{query} where {entity}_id = %(name)s".encode(), {"name": name}).fetchone()
        if row is not None:
            return {feature: row[feature] for feature in features.ACTIVITY}
    return None


def terminate_others(writer: psycopg.Connection[Any]) -> None:
    writer.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )


def test_a_window_of_live_tables_needs_no_copying(store_database: Database, writer: psycopg.Connection[Any]) -> None:
    land(writer, [some_events(23, 30)])
    report = features.materialise_window_online(store_database, 1)
    assert (report.users, report.items) == (0, 0)
    assert raw_online(writer, "user_activity") == {}


@pytest.mark.usefixtures("stock")
@pytest.mark.long  # a process that imports Feast, and its engine
def test_plain_materialize_agrees_with_the_windows(store_database: Database, writer: psycopg.Connection[Any]) -> None:
    windows = [some_events(14, 60)]
    land(writer, windows)
    feast(store_database, "materialize", "2025-01-01T00:00:00", "2025-12-31T00:00:00")
    found = features.online(store_database, ["user-0"])["users"]["user-0"]
    assert found == pytest.approx(expected_features(user_history(windows, "user-0")[-1]))
