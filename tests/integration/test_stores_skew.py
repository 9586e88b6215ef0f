"""Training and serving see the same values for the same moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pytest

from tests.support.activity import insert, make_window, some_events
from tests.support.databases import clone, drop
from tests.support.feast_worlds import OURS, hours, store_on
from tidegate import feature_store, features
from tidegate.postgres import Database

feast = pytest.importorskip("feast")

ENGINE = {"type": "tidegate.stores.engine.TidegateComputeEngine"}
ONLINE = {"type": "tidegate.stores.online.TidegateOnlineStore", "db_schema": "online"}


@pytest.fixture(scope="module")
def applied(server: Database, template: Database) -> Iterator[Database]:
    """A database with tidegate's own definitions applied."""
    made = clone(server, "feast_skew", template.parameters["dbname"])
    assert features.apply_definitions(made)
    yield made
    feature_store.close()
    drop(server, made)


def test_any_projects_values_online_are_those_a_training_row_of_that_moment_gets(
    empty_database: Database, tmp_path: Path
) -> None:
    from feast import Entity, FeatureView, Field, ValueType
    from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
    from feast.types import Array, Float64, Int64

    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    item = Entity(name="item", join_keys=["item_id"], value_type=ValueType.INT64)
    schema = [Field(name="n", dtype=Int64), Field(name="x", dtype=Float64), Field(name="v", dtype=Array(Float64))]

    def view(name: str, entities: list[Any]) -> FeatureView:
        source = PostgreSQLSource(
            name=name, query="select * from happened", timestamp_field="at", created_timestamp_column="written"
        )
        return FeatureView(name=name, entities=entities, ttl=timedelta(0), source=source, schema=schema)

    one, two = view("of_user", [user]), view("of_pair", [user, item])
    with empty_database.connect(autocommit=True) as connection:
        connection.execute(
            "create table happened as select n %% 5 as user_id, n %% 3 as item_id,"
            " %s + n %% 97 * interval '20 minutes' as at, %s + n * interval '1 second' as written,"
            " n::bigint, sin(n) as x, array[n / 3.0::float8, null] as v from generate_series(1, 300) n",
            [hours(0), hours(0)],
        )
        store = store_on(empty_database, tmp_path, OURS, ONLINE, batch_engine=ENGINE)
        store.apply([user, item, one, two])
        asked = [{"user_id": n % 6, "item_id": n % 4} for n in range(12)]
        names = [f"{view}:{name}" for view in ("of_user", "of_pair") for name in ("n", "x")]
        since = hours(-1)
        for moment in map(hours, (0.5, 3, 3, 11, 17.34, 60)):
            store.materialize(since, moment)
            frame = pd.DataFrame(asked).assign(event_timestamp=moment)
            trained = store.get_historical_features(frame, names, full_feature_names=True).to_arrow()
            served = store.get_online_features(names, asked, full_feature_names=True).to_dict()
            for name in (name.replace(":", "__") for name in names):
                assert trained[name].to_pylist() == served[name], (moment, name)
            since = moment
        store._get_provider().online_store.disconnect()


def test_a_run_reads_what_was_online_when_its_window_was(applied: Database) -> None:
    events = some_events(21, 150)
    users = [*sorted({event.user_id for event in events}), "nobody"]
    with applied.connect(autocommit=True) as connection:
        for window in (events[:50], events[50:90], events[90:]):
            insert(connection, window)
            position = make_window(connection)
            features.materialise_window_online(applied, position)
            online = features.online(applied, users)["users"]
            after = datetime(2027, 1, 1, tzinfo=UTC)
            asked = pd.DataFrame({"user_id": users, "event_timestamp": [after] * len(users)})
            trained = features.point_in_time(applied, asked, last=position)
            served = pd.DataFrame([online[user] or dict.fromkeys(features.ACTIVITY) for user in users])
            pd.testing.assert_frame_equal(features._profile(served, features._times(asked)), trained)
        forget(connection)


def test_feast_carries_a_runs_bounds(applied: Database) -> None:
    """The last position and the excluded ones are columns of the asked rows: the values are those of the run's SQL."""
    events = sorted(some_events(22, 160), key=lambda event: event.occurred_at)
    with applied.connect(autocommit=True) as connection:
        positions = []
        for n in range(0, 160, 40):
            insert(connection, events[n : n + 40])
            positions.append(make_window(connection))
        asked = pd.DataFrame([(e.user_id, e.occurred_at + timedelta(microseconds=s)) for e in events for s in (0, 1)])
        asked.columns = ["user_id", "event_timestamp"]
        seen = []
        for last, excluded in (
            (positions[3], []),
            (positions[2], []),
            (positions[3], positions[1:2]),
            (positions[0], []),
        ):
            by_sql = features.point_in_time(applied, asked, last, excluded)
            pd.testing.assert_frame_equal(features.historical(applied, asked, last, excluded), by_sql)
            seen.append(by_sql.to_numpy())
        assert not any(np.array_equal(seen[0], other, equal_nan=True) for other in seen[1:]), "the bounds matter"
        forget(connection)


def forget(connection: psycopg.Connection[Any]) -> None:
    """Leave the database to the next test as it was, but for what windows count on."""
    connection.execute("truncate features.user_activity_history, features.item_activity_history")
