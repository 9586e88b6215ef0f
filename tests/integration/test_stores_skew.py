"""Training and serving see the same values for the same moment."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support.feast_worlds import OURS, hours, store_on
from tidegate.postgres import Database

feast = pytest.importorskip("feast")

ENGINE = {"type": "tidegate.stores.engine.TidegateComputeEngine"}
ONLINE = {"type": "tidegate.stores.online.TidegateOnlineStore", "db_schema": "online"}


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
