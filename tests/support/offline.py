"""A world for the offline store beside Feast's own: the same definitions, rows and questions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
from feast import Entity, FeatureView, Field, PushSource
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Float32, Float64, Int32, Int64, String, UnixTimestamp

from tests.support.databases import clone, drop
from tests.support.feast_worlds import OURS, STOCK, hours, store_on
from tidegate.postgres import Database

SCHEMA = """
create table shops (
    user_id bigint, at timestamptz, written timestamptz,
    visits bigint, small int, spend double precision, ratio real, name text, happy boolean, seen timestamptz,
    scores double precision[], tags text[], exact numeric(12, 2)
);
create table pairs (user_id bigint, item_id bigint, at timestamptz, written timestamptz, rank bigint);
create table items (item_id bigint, at timestamptz, price double precision);
create index on shops (user_id, at, written);
create index on items (item_id, at);
"""
TYPES = {
    "visits": Int64, "small": Int32, "spend": Float64, "ratio": Float32, "name": String, "happy": Bool,
    "seen": UnixTimestamp, "scores": Array(Float64), "tags": Array(String), "exact": Float64,
}  # fmt: skip

user = Entity(name="user", join_keys=["user_id"])
item = Entity(name="item", join_keys=["item_id"])


def source(table: str, created: str = "written", **more: Any) -> PostgreSQLSource:
    return PostgreSQLSource(name=table, table=table, timestamp_field="at", created_timestamp_column=created, **more)


shops = FeatureView(
    name="shops", entities=[user], ttl=timedelta(0), source=source("shops"),
    schema=[Field(name=name, dtype=dtype) for name, dtype in TYPES.items()] + [Field(name="user_id", dtype=Int64)],
)  # fmt: skip
fresh = FeatureView(
    name="fresh", entities=[user], ttl=timedelta(hours=3),
    source=PostgreSQLSource(
        name="renamed", query="select * from shops", timestamp_field="at", created_timestamp_column="written",
        field_mapping={"visits": "recent_visits"},
    ),
    schema=[Field(name="recent_visits", dtype=Int64), Field(name="user_id", dtype=Int64)],
)  # fmt: skip
pairs = FeatureView(
    name="pairs", entities=[user, item], ttl=timedelta(0), source=source("pairs"),
    schema=[Field(name=name, dtype=Int64) for name in ("rank", "user_id", "item_id")],
)  # fmt: skip
items = FeatureView(
    name="items", entities=[item], ttl=timedelta(0), source=source("items", created=""),
    schema=[Field(name="price", dtype=Float64), Field(name="item_id", dtype=Int64)],
)  # fmt: skip
pushed = FeatureView(
    name="pushed", entities=[user], ttl=timedelta(0),
    source=PushSource(name="push", batch_source=source("shops")),
    schema=[Field(name="visits", dtype=Int64), Field(name="user_id", dtype=Int64)],
)  # fmt: skip


@on_demand_feature_view(sources=[shops], schema=[Field(name="twice", dtype=Int64)], mode="pandas")
def doubled(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"twice": inputs["visits"] * 2})


OBJECTS = [user, item, shops, fresh, pairs, items, pushed, doubled]
ALL = [f"shops:{name}" for name in TYPES]


class World:
    """One database, with the same project on Feast's own store and on ours."""

    def __init__(self, database: Database, connection: psycopg.Connection[Any], folder: Path) -> None:
        self.database = database
        self.connection = connection
        self.folder = folder
        self.stock = store_on(database, folder / "stock", STOCK)
        self.ours = store_on(database, folder / "ours", OURS)
        for store in (self.stock, self.ours):
            store.apply(OBJECTS)

    def rows(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        """Replace a table's rows."""
        self.connection.execute(f"truncate {table}")
        with self.connection.cursor() as cursor:
            cursor.executemany(f"insert into {table} values ({', '.join(['%s'] * len(rows[0]))})", rows)
        self.connection.execute(f"analyze {table}")

    def asked(self, store: Any, frame: Any, features: Any, **more: Any) -> pa.Table:
        return store.get_historical_features(entity_df=frame, features=features, **more).to_arrow()

    def both(self, frame: Any, features: Any, **more: Any) -> tuple[pa.Table, pa.Table]:
        return self.asked(self.stock, frame, features, **more), self.asked(self.ours, frame, features, **more)


@contextmanager
def offline_world(server: Database, folder: Path, name: str) -> Iterator[World]:
    """Yield a world on a database of its own."""
    database = clone(server, name, "template0")
    with database.connect(autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield World(database, connection, folder)
    drop(server, database)


def shop(who: int, at: float, written: float | None = None, visits: int | None = 1, **other: Any) -> tuple[Any, ...]:
    """Return a row of shops."""
    found = {"small": 2, "spend": 1.5, "ratio": 0.1, "name": "ada", "happy": True, "seen": hours(1.25),
             "scores": [0.1, 2.0], "tags": ["a,b", 'c"'], "exact": 12.34} | other  # fmt: skip
    return (who, hours(at), hours(at if written is None else written), visits, *found.values())


def frame(*asked: tuple[Any, ...], keys: tuple[str, ...] = ("user_id",)) -> pd.DataFrame:
    """Return asked rows: the keys, then the hours after the start."""
    rows = [(*row[:-1], hours(row[-1])) for row in asked]
    return pd.DataFrame(rows, columns=[*keys, "event_timestamp"]).assign(number=range(len(rows)))


def same(stock: pa.Table, ours: pa.Table) -> None:
    """Compare schemas and values; the order of stock's rows is nobody's promise."""
    assert ours.schema == stock.schema
    assert ours.sort_by("number").to_pylist() == stock.sort_by("number").to_pylist()
