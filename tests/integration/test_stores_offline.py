"""The offline store beside Feast's own: the same definitions, rows and questions; where it differs, both are shown."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.databases import clone, drop
from tests.support.feast_worlds import OURS, STOCK, hours, store_on
from tests.support.memory import resident
from tidegate.postgres import Database

feast = pytest.importorskip("feast")

from feast import Entity, FeatureService, FeatureView, Field, PushSource  # noqa: E402
from feast.data_source import PushMode  # noqa: E402
from feast.dqm.errors import ValidationFailed  # noqa: E402
from feast.dqm.profilers.profiler import Profile, Profiler, ValidationReport  # noqa: E402
from feast.feature_logging import LoggingConfig  # noqa: E402
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (  # noqa: E402
    PostgreSQLSource,
    SavedDatasetPostgreSQLStorage,
)
from feast.on_demand_feature_view import on_demand_feature_view  # noqa: E402
from feast.types import Array, Bool, Float32, Float64, Int32, Int64, Json, String, UnixTimestamp  # noqa: E402

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


@pytest.fixture(scope="module")
def world(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    database = clone(server, "feast_offline", "template0")
    with database.connect(autocommit=True) as connection:
        connection.execute(SCHEMA)
        yield World(database, connection, tmp_path_factory.mktemp("worlds"))
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


def test_values_and_types_are_those_of_the_plain_store(world: World) -> None:
    odd = {"small": None, "spend": float("nan"), "ratio": float("inf"), "name": "", "happy": None, "seen": None,
           "scores": [], "tags": None, "exact": None}  # fmt: skip
    text = {"name": 'a "quoted",\nline \\ and é', "tags": ["", "NULL", "{x}"], "scores": [float("nan"), -1e300, 5e-324]}
    world.rows("shops", [shop(1, 1), shop(1, 2, visits=None, **odd), shop(1, 3, **text), shop(2, 5)])
    asked = frame((1, 0.5), (1, 1), (1, 1.5), (1, 2.5), (1, 9), (2, 4.9), (2, 5), (3, 9), (1, 9))
    stock, ours = world.both(asked, ALL)
    assert ours.schema == stock.schema
    assert str(ours.sort_by("number").to_pylist()) == str(stock.sort_by("number").to_pylist()), (
        "as text: NaN differs from NaN"
    )
    assert ours["number"].to_pylist() == list(range(9)), "ours keeps the order of asking"


def test_several_views_full_names_ttl_and_field_mapping(world: World) -> None:
    world.rows("shops", [shop(n % 3, n, visits=n) for n in range(12)])
    world.rows("items", [(n % 2, hours(n), float(n)) for n in range(8)])
    asked = frame(*[(n % 4, n % 3, n * 0.7) for n in range(30)], keys=("user_id", "item_id"))
    features = ["shops:visits", "fresh:recent_visits", "items:price"]
    for full in (False, True):
        same(*world.both(asked, features, full_feature_names=full))
    found = world.asked(world.ours, frame((0, 0, 12.0), (0, 0, 12.1), keys=("user_id", "item_id")), features)
    assert found["recent_visits"].to_pylist() == [9, None], "a time to live is a closed range"


def test_columns_that_the_plain_store_cannot_read(world: World) -> None:
    """JSON, UUIDs and arrays of varchar."""
    world.connection.execute("create table odd (user_id bigint, at timestamptz, doc jsonb, id uuid, names varchar[])")
    from uuid import UUID

    world.rows("odd", [(1, hours(1), '{"a": 1}', UUID("80379135-03ae-4533-b545-3e0913d2cc90"), ["x", "y"])])
    for name, found in (
        ("doc", '{"a": 1}'),
        ("id", str(UUID("80379135-03ae-4533-b545-3e0913d2cc90"))),
        ("names", ["x", "y"]),
    ):
        view = FeatureView(
            name=f"odd_{name}", entities=[user], schema=[Field(name=name, dtype=String)],
            source=PostgreSQLSource(name=f"odd_{name}", table="odd", timestamp_field="at"),
        )  # fmt: skip
        for store in (world.stock, world.ours):
            store.apply([view])
        feature = [f"odd_{name}:{name}"]
        assert world.asked(world.ours, frame((1, 2)), feature)[name].to_pylist() == [found]
        with pytest.raises((pa.ArrowInvalid, pa.ArrowNotImplementedError, KeyError)):
            world.asked(world.stock, frame((1, 2)), feature)


def test_vectors_and_lists_of_documents_are_read_written_and_pushed(world: World) -> None:
    world.connection.execute("create extension if not exists vector")
    world.connection.execute(
        "create table vectors (item_id bigint, at timestamptz, wide vector(3), half halfvec(2), docs jsonb[])"
    )
    view = FeatureView(
        name="vectors", entities=[item], ttl=timedelta(0),
        source=PushSource(name="vectors_push", batch_source=source("vectors", created="")),
        schema=[
            Field(name="wide", dtype=Array(Float32)), Field(name="half", dtype=Array(Float64)),
            Field(name="docs", dtype=Array(Json)), Field(name="item_id", dtype=Int64),
        ],
    )  # fmt: skip
    world.ours.apply([view])
    values = {"wide": [0.1, -2.0, 3e-9], "half": [0.5, 1.0], "docs": ['{"a": [1, "b"]}', "null"]}
    columns = {"item_id": [5, 6], "at": [hours(1), hours(2)]}
    world.ours.push(
        "vectors_push",
        pd.DataFrame(columns | {name: [value, None] for name, value in values.items()}),
        to=PushMode.OFFLINE,
    )
    assert world.connection.execute("select wide::text from vectors order by 1").fetchall() == [
        ("[0.1,-2,3e-09]",),
        (None,),
    ]
    found = world.asked(world.ours, frame((5, 3), (6, 3), keys=("item_id",)), [f"vectors:{name}" for name in values])
    assert found.schema.field("wide").type == pa.list_(pa.float32())
    assert [found[name].to_pylist()[1] for name in values] == [None, None, None]
    assert found["wide"].to_pylist()[0] == pytest.approx(values["wide"])
    assert [found[name].to_pylist()[0] for name in ("half", "docs")] == [values["half"], values["docs"]]


def test_ties_are_broken_by_the_time_of_writing(world: World) -> None:
    world.rows("shops", [shop(1, 1, 5, visits=2), shop(1, 1, 7, visits=3), shop(1, 1, 6, visits=4)])
    stock, ours = world.both(frame((1, 2)), ["shops:visits"])
    same(stock, ours)
    assert ours["visits"].to_pylist() == [3]


def test_what_was_known_then(world: World) -> None:
    world.rows("shops", [shop(1, 1, 1, visits=1), shop(1, 2, 10, visits=2)])
    asked = frame((1, 3), (1, 10), (1, 11))
    same(*world.both(asked, ["shops:visits"], filter_by_created_timestamp=True))
    always = store_on(world.database, world.folder / "known", known_then=True)
    always.apply(OBJECTS)
    assert world.asked(always, asked, ["shops:visits"])["visits"].to_pylist() == [1, 2, 2]
    assert world.asked(world.ours, asked, ["shops:visits"])["visits"].to_pylist() == [2, 2, 2]


def test_keys_of_two_columns_stay_apart_where_the_plain_store_swaps_them(world: World) -> None:
    """The plain store joins rows by their keys as one text without a separator: (1, 23) is (12, 3)."""
    world.rows("pairs", [(1, 23, hours(1), hours(1), 100), (12, 3, hours(1), hours(1), 200)])
    asked = frame((1, 23, 2), (12, 3, 2), keys=("user_id", "item_id"))
    stock, ours = world.both(asked, ["pairs:rank"])
    assert ours["rank"].to_pylist() == [100, 200]
    assert sorted(stock["rank"].to_pylist()) == [100, 100, 200, 200], "two rows asked, four answered, two of them wrong"


def test_a_row_that_was_written_at_an_unknown_time_counts(world: World) -> None:
    """The plain store joins on the time of writing, and NULL equals nothing."""
    world.rows("shops", [(*shop(1, 1)[:2], None, *shop(1, 1)[3:])])
    stock, ours = world.both(frame((1, 2)), ["shops:visits"])
    assert (stock["visits"].to_pylist(), ours["visits"].to_pylist()) == ([None], [1])


def test_a_row_that_stands_twice_in_the_source_is_found_once(world: World) -> None:
    world.rows("shops", [shop(1, 1), shop(1, 1)])
    stock, ours = world.both(frame((1, 2)), ["shops:visits"])
    assert (len(stock), len(ours)) == (2, 1)


def test_a_statement_asks_as_a_frame_does(world: World) -> None:
    world.rows("shops", [shop(n % 3, n, visits=n) for n in range(9)])
    query = "select user_id, at as event_timestamp, row_number() over (order by at) as number from shops"
    same(*world.both(query, ["shops:visits", "fresh:recent_visits"]))
    assert world.asked(world.ours, f"{query};", ["shops:visits"])["visits"].to_pylist() == list(range(9))


def test_times_are_in_utc_whatever_the_databases_zone(world: World) -> None:
    world.rows("shops", [shop(1, 1)])
    name = world.database.parameters["dbname"]
    world.connection.execute(f"alter database {name} set timezone = 'Asia/Tokyo'")
    try:
        found = world.asked(world.ours, frame((1, 2)), ["shops:seen"])
        naive = frame((1, 2)).assign(event_timestamp=["2026-01-01 02:00:00"])
        assert world.asked(world.ours, naive, ["shops:seen"]).equals(found)
    finally:
        world.connection.execute(f"alter database {name} reset timezone")
    assert found["seen"].to_pylist() == [hours(1.25).replace(tzinfo=None)]


def test_keys_may_be_of_any_type(world: World) -> None:
    from uuid import uuid4

    world.connection.execute("create table sessions (session uuid, day date, at timestamptz, clicks int)")
    one, day = uuid4(), hours(0).date()
    world.rows("sessions", [(one, day, hours(1), 7)])
    entities = [Entity(name=name, join_keys=[name]) for name in ("session", "day")]
    view = FeatureView(
        name="sessions", entities=entities, source=source("sessions", created=""), ttl=timedelta(0),
        schema=[Field(name="clicks", dtype=Int64)],
    )  # fmt: skip
    store = store_on(world.database, world.folder / "sessions")
    store.apply([*entities, view])
    asked = frame((one, day, 2), (uuid4(), day, 2), (None, day, 2), keys=("session", "day"))
    assert world.asked(store, asked, ["sessions:clicks"])["clicks"].to_pylist() == [7, None, None]


def test_without_an_index_the_answer_is_the_same_and_the_log_names_the_index(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tidegate.stores.offline import join

    monkeypatch.setattr(join, "WORTH_AN_INDEX", 30)
    world.rows("pairs", [(n % 7, n % 3, hours(n), hours(n), n) for n in range(60)])
    asked = frame(*[(n % 7, n % 3, n * 1.3) for n in range(60)], keys=("user_id", "item_id"))
    with caplog.at_level(logging.WARNING, logger="tidegate.stores"):
        same(*world.both(asked, ["pairs:rank"]))
    [said] = caplog.messages
    made = said.rpartition("Make one: ")[2].rstrip(".")
    assert made == "create index on pairs (user_id, item_id, at, written)"
    world.rows("pairs", [(n % 70, n % 30, hours(n), hours(n), n) for n in range(3000)])
    world.connection.execute(f"{made}; analyze pairs")
    caplog.clear()
    same(*world.both(asked, ["pairs:rank"]))
    assert caplog.messages == []
    world.connection.execute("drop index pairs_user_id_item_id_at_written_idx")


def test_nothing_asked_is_nothing_found(world: World) -> None:
    found = world.asked(world.ours, frame((1, 2))[:0], ["shops:visits", "shops:tags"])
    assert found.num_rows == 0
    assert found.schema.field("tags").type == pa.list_(pa.string())


def test_a_frame_without_any_key_finds_nothing_where_the_plain_store_fails(world: World) -> None:
    world.rows("shops", [shop(1, 1)])
    nobody = pd.DataFrame({"user_id": [None], "event_timestamp": [hours(2)]})
    with pytest.raises(psycopg.errors.SyntaxError):
        world.asked(world.stock, nobody, ["shops:visits"])
    assert world.asked(world.ours, nobody, ["shops:visits"])["visits"].to_pylist() == [None]
    empty = pd.DataFrame({"user_id": [], "event_timestamp": []})
    assert world.asked(world.ours, empty, ["shops:visits"]).num_rows == 0


@pytest.mark.parametrize("ending", ["", "; ", " -- all of them"])
def test_a_statement_may_end_as_it_likes(world: World, ending: str) -> None:
    world.rows("shops", [shop(1, 1, visits=7)])
    asked = f"with a as (select 1::bigint as user_id) select a.*, now() as event_timestamp from a{ending}"
    assert world.asked(world.ours, asked, ["shops:visits"])["visits"].to_pylist() == [7]


def test_names_that_need_quotes_and_mapped_columns(world: World) -> None:
    world.connection.execute(
        """create schema "Odd one";
        create table "Odd one"."T%s ""x" ("User Id" bigint, "At %" timestamptz, "a {} ""x" text, "select" int)"""
    )
    view = FeatureView(
        name="Odd-View", entities=[user], ttl=timedelta(0),
        source=PostgreSQLSource(
            name="odd one", table='"Odd one"."T%s ""x"', timestamp_field="At %",
            field_mapping={"User Id": "user_id", "select": "chosen", "At %": "moment"},
        ),
        schema=[
            Field(name="user_id", dtype=Int64), Field(name='a {} "x', dtype=String), Field(name="chosen", dtype=Int32)
        ],
    )  # fmt: skip
    world.ours.apply([view])
    rows = {"User Id": [1], "At %": [hours(1)], 'a {} "x': ["z"], "select": [8]}
    world.ours.write_to_offline_store("Odd-View", pd.DataFrame(rows))
    names = ['Odd-View:a {} "x', "Odd-View:chosen"]
    joined = world.asked(world.ours, frame((1, 2)), names).to_pylist()
    between = world.ours.get_historical_features(features=names, start_date=hours(0), end_date=hours(2)).to_arrow()
    for found in (*joined, *between.to_pylist()):
        assert (found["user_id"], found['a {} "x'], found["chosen"]) == (1, "z", 8)


def test_a_table_is_written_by_the_name_by_which_it_is_read(world: World) -> None:
    world.connection.execute("create table folded (item_id bigint, at timestamptz, price double precision)")
    view = FeatureView(
        name="folded", entities=[item], ttl=timedelta(0), source=source("Public.Folded", created=""),
        schema=[Field(name="item_id", dtype=Int64), Field(name="price", dtype=Float64)],
    )  # fmt: skip
    world.ours.apply([view])
    world.ours.write_to_offline_store("folded", pd.DataFrame({"item_id": [5], "at": [hours(1)], "price": [2.5]}))
    assert world.asked(world.ours, frame((5, 2), keys=("item_id",)), ["folded:price"])["price"].to_pylist() == [2.5]


def test_names_longer_than_postgresqls_stay_whole_where_the_plain_store_cuts_them(world: World) -> None:
    world.rows("shops", [shop(1, 1, visits=7)])
    names = [f"a_view_whose_name_is_already_rather_long_for_postgresql_itself_{end}" for end in "ab"]
    views = [
        FeatureView(
            name=name, entities=[user], ttl=timedelta(0), schema=fresh.schema,
            source=PostgreSQLSource(
                name=name, query="select * from shops", timestamp_field="at", field_mapping={"visits": "recent_visits"}
            ),
        )
        for name in names
    ]  # fmt: skip
    for store in (world.stock, world.ours):
        store.apply(views)
    asked = [f"{name}:recent_visits" for name in names]
    with pytest.raises(psycopg.errors.DuplicateAlias):
        world.asked(world.stock, frame((1, 2)), asked, full_feature_names=True)
    (found,) = world.asked(world.ours, frame((1, 2)), asked, full_feature_names=True).to_pylist()
    assert [found[f"{name}__recent_visits"] for name in names] == [7, 7]


def test_a_view_that_is_asked_for_by_two_keys(world: World) -> None:
    world.rows("shops", [shop(n, n, visits=n) for n in range(4)])
    both = [
        shops[["visits"]].with_name(name).with_join_key_map({"user_id": f"{name}_id"}) for name in ("giver", "taker")
    ]
    for store in (world.stock, world.ours):
        store.apply([FeatureService(name="gifts", features=both)])
    asked = frame((1, 2, 9), (3, 1, 9), (2, 3, 2.5), keys=("giver_id", "taker_id"))
    same(*world.both(asked, world.ours.get_feature_service("gifts"), full_feature_names=True))


def test_a_missing_key_is_named(world: World) -> None:
    from feast.errors import FeastEntityDFMissingColumnsError

    with pytest.raises(FeastEntityDFMissingColumnsError, match="user_id"):
        world.asked(world.ours, frame((1, 2), keys=("other",)), ["shops:visits"])


def test_batches_are_the_table_in_parts_with_on_demand_features(world: World) -> None:
    world.rows("shops", [shop(n % 5, n, visits=n) for n in range(40)])
    asked = frame(*[(n % 6, n / 10) for n in range(400)], *[(9, 1)] * 200)
    job = world.ours.get_historical_features(entity_df=asked, features=["shops:visits", "doubled:twice"])
    parts = list(job.to_batches(block=2_000))
    assert len(parts) > 3
    whole = pa.Table.from_batches(parts)
    assert whole.to_pylist() == job.to_arrow().to_pylist()
    assert whole.schema.field("twice").type == pa.int64(), "whatever pandas makes of a batch with NULL"
    same(*world.both(asked, ["shops:visits", "doubled:twice"]))


def test_a_range_without_asked_rows(world: World) -> None:
    world.rows("shops", [shop(n % 3, n, visits=n) for n in range(9)])
    world.rows("items", [(1, hours(2), 1.0)])

    def found(store: Any, *features: str) -> list[dict[str, Any]]:
        between = {"start_date": hours(2), "end_date": hours(6)}
        rows = store.get_historical_features(features=list(features), **between).to_df()
        return rows.sort_values(["event_timestamp", "user_id"])[sorted(rows.columns)].astype(str).to_dict("records")

    for features in (["shops:visits"], ["shops:visits", "fresh:recent_visits"]):
        assert found(world.ours, *features) == found(world.stock, *features)
    assert len(found(world.ours, "shops:visits")) == 5


def test_a_range_of_views_with_different_keys_which_the_plain_store_cannot_answer(world: World) -> None:
    world.rows("shops", [shop(n, n, visits=n) for n in (1, 2, 9)])
    world.rows("items", [(5, hours(2), 1.5), (6, hours(3), 2.5)])
    world.rows("pairs", [(2, 5, hours(4), hours(4), 7), (1, 6, hours(1), hours(1), 8)])
    asked = {"start_date": hours(1), "end_date": hours(6)}
    features = ["shops:visits", "items:price", "pairs:rank"]
    with pytest.raises(psycopg.errors.SyntaxError):
        world.stock.get_historical_features(features=features, **asked).to_df()
    columns = ["user_id", "item_id", "visits", "price", "rank"]
    rows = world.ours.get_historical_features(features=features, **asked).to_arrow().to_pylist()
    assert [(row["event_timestamp"], *(row[name] for name in columns)) for row in rows] == [
        (hours(at).replace(tzinfo=None), *values)
        for at, *values in [
            (1, 1, 6, 1, None, 8),
            (1, 1, None, 1, None, None),
            (2, None, 5, None, 1.5, None),
            (2, 2, None, 2, None, None),
            (3, None, 6, None, 2.5, None),
            (4, 2, 5, 2, 1.5, 7),
        ]
    ]


def test_a_saved_dataset_never_leaves_the_database(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from tidegate.stores.offline import job as job_module

    world.rows("shops", [shop(n % 3, n, visits=n) for n in range(9)])
    job = world.ours.get_historical_features(entity_df=frame((1, 5), (2, 8)), features=["shops:visits"])
    dataset = world.ours.create_saved_dataset(job, "kept", SavedDatasetPostgreSQLStorage(table_ref="kept"))
    assert sorted(dataset.to_df()["visits"]) == [4, 8]
    with pytest.raises(psycopg.errors.DuplicateTable):
        job.persist(SavedDatasetPostgreSQLStorage(table_ref="kept"))
    job.persist(SavedDatasetPostgreSQLStorage(table_ref="kept"), allow_overwrite=True)
    with_on_demand = world.ours.get_historical_features(entity_df=frame((1, 5)), features=["doubled:twice"])
    with_on_demand.persist(SavedDatasetPostgreSQLStorage(table_ref="kept"), allow_overwrite=True)
    assert world.connection.execute("select twice from kept").fetchall() == [(8,)]
    monkeypatch.setattr(job_module, "BLOCK", 50)
    asked = frame(*[(9, 1)] * 20, *[(1, 5)] * 20)
    in_parts = world.ours.get_historical_features(entity_df=asked, features=["doubled:twice"])
    in_parts.persist(SavedDatasetPostgreSQLStorage(table_ref="kept"), allow_overwrite=True)
    assert world.connection.execute("select sum(twice), count(*) from kept").fetchall() == [(160, 40)]


class Size(Profile):
    """How many rows a dataset has."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def validate(self, dataset: pd.DataFrame) -> Any:
        same = len(dataset) == self.rows
        return type("Report", (ValidationReport,), {"is_success": same, "errors": [f"{len(dataset)} rows"]})()

    def to_proto(self) -> Any:
        raise NotImplementedError

    from_proto = classmethod(to_proto)


class SizeProfiler(Profiler):
    """Measures a dataset by its size."""

    def analyze_dataset(self, dataset: pd.DataFrame) -> Profile:
        return Size(len(dataset))

    def to_proto(self) -> Any:
        raise NotImplementedError

    from_proto = classmethod(to_proto)


def test_a_retrieval_is_validated_against_a_saved_dataset(world: World) -> None:
    world.rows("shops", [shop(1, 1)])

    def asked(*rows: tuple[int, int]) -> Any:
        return world.ours.get_historical_features(entity_df=frame(*rows), features=["shops:visits"])

    storage = SavedDatasetPostgreSQLStorage(table_ref="Measured")
    dataset = world.ours.create_saved_dataset(asked((1, 5), (1, 8)), "measured", storage)
    assert (dataset.min_event_timestamp, dataset.max_event_timestamp) == (hours(5), hours(8))
    reference = world.ours.get_saved_dataset("measured").as_reference("size", SizeProfiler())
    assert len(asked((1, 2), (1, 3)).to_df(validation_reference=reference)) == 2
    with pytest.raises(ValidationFailed):
        asked((1, 2)).to_df(validation_reference=reference)


def written(n: int) -> pd.DataFrame:
    """Return a row of shops as somebody pushes it."""
    columns = ["user_id", "at", "written", *TYPES]
    return pd.DataFrame([shop(n, n, visits=n, name='a "b",\n', tags=["x", 'y"z\\', None], seen=None)], columns=columns)


def test_rows_are_written_and_pushed_offline_where_the_plain_store_cannot(world: World) -> None:
    world.rows("shops", [shop(0, 0)])
    with pytest.raises(NotImplementedError):
        world.stock.push("push", written(1), to=PushMode.OFFLINE)
    world.ours.push("push", written(1), to=PushMode.OFFLINE)
    world.ours.write_to_offline_store("shops", written(2))
    rows = world.connection.execute("select user_id, name, tags, seen, scores from shops order by 1").fetchall()
    assert rows[1:] == [(n, 'a "b",\n', ["x", 'y"z\\', None], None, [0.1, 2.0]) for n in (1, 2)]
    world.ours.write_to_offline_store("items", pd.DataFrame({"item_id": [5], "at": [hours(1)], "price": [2.5]}))
    with pytest.raises(ValueError, match="reads a query"):
        world.ours.write_to_offline_store("fresh", written(3))


def test_a_number_of_32_bits_is_written_as_it_is_into_one_of_64(world: World) -> None:
    world.rows("items", [(4, hours(0), 1.0)])
    frame = pd.DataFrame({"item_id": [5], "at": [hours(1)], "price": pd.Series([0.1], dtype="float32")})
    world.ours.write_to_offline_store("items", frame)
    assert world.connection.execute("select price from items where item_id = 5").fetchall() == [
        (float(frame.price[0]),)
    ]


def test_what_was_served_is_logged_and_read_again(world: World) -> None:
    from feast.feature_logging import LOG_DATE_FIELD, LOG_TIMESTAMP_FIELD, REQUEST_ID_FIELD

    from tidegate.stores.offline import TidegateLoggingDestination

    service = FeatureService(
        name="served", features=[shops[["visits", "scores"]]],
        logging_config=LoggingConfig(destination=TidegateLoggingDestination(table="served_log")),
    )  # fmt: skip
    world.ours.apply([service])
    log = {"user_id": [1], "shops__visits": [3], "shops__scores": [[0.5, 1.0]]}
    for name in ("visits", "scores"):
        log |= {f"shops__{name}__timestamp": [hours(1)], f"shops__{name}__status": [2]}
    log |= {LOG_TIMESTAMP_FIELD: [hours(2)], LOG_DATE_FIELD: [hours(2).date()], REQUEST_ID_FIELD: ["r1"]}
    for _ in range(2):
        world.ours.write_logged_features(pa.table(log), world.ours.get_feature_service("served"))
    found = world.ours._get_provider().retrieve_feature_service_logs(
        world.ours.get_feature_service("served"), hours(0), hours(3), world.ours.config, world.ours.registry
    ).to_df()  # fmt: skip
    assert found["shops__visits"].tolist() == [3, 3]
    assert found["shops__scores"].map(list).tolist() == [[0.5, 1.0]] * 2


def test_pulling_is_the_plain_stores(world: World) -> None:
    world.rows("shops", [shop(n % 3, n, n, visits=n) for n in range(12)])

    def pulled(store: Any, which: str, features: list[str]) -> list[Any]:
        pull = getattr(store._get_provider().offline_store, f"pull_{which}_from_table_or_query")
        job = pull(
            config=store.config, data_source=shops.batch_source, join_key_columns=["user_id"],
            feature_name_columns=features, timestamp_field="at", created_timestamp_column="written",
            start_date=hours(2), end_date=hours(8),
        )  # fmt: skip
        table = job.to_arrow()
        return [table.schema, *sorted(map(str, table.to_pylist()))]

    for which in ("latest", "all"):
        for features in (["visits", "tags"], []):
            assert pulled(world.ours, which, features) == pulled(world.stock, which, features)


def test_bounds_keep_a_run_from_seeing_more_than_it_saw(world: World) -> None:
    world.rows("shops", [shop(1, n, small=n, visits=n) for n in range(6)])
    bounds = {"at_most": {"small": "last"}, "none_of": {"small": "excluded"}}
    store = store_on(world.database, world.folder / "bounds", **bounds)
    store.apply(OBJECTS)
    asked = frame((1, 9), (1, 9), (1, 2)).assign(last=[4, 9, 9], excluded=[[4, 3], [], [2]])
    assert world.asked(store, asked, ["shops:visits"])["visits"].to_pylist() == [2, 5, 1]
    assert world.asked(store, frame((1, 9)), ["shops:visits"])["visits"].to_pylist() == [5], "a frame without bounds"
    nothing = frame((1, 9)).assign(excluded=[[]])
    assert world.asked(store, nothing, ["shops:visits"])["visits"].to_pylist() == [5]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_memory_of_batches_does_not_grow_with_their_number(world: World) -> None:
    world.connection.execute(
        """create table much as
           select n as user_id, timestamptz '2026-01-01Z' as at, n as visits, repeat(n::text, 20) as name
             from generate_series(1, 500000) n;
        create index on much (user_id, at);
        analyze much"""
    )
    view = FeatureView(
        name="much", entities=[user], ttl=timedelta(0), source=source("much", created=""),
        schema=[Field(name=name, dtype=kind) for name, kind in (("visits", Int64), ("name", String))],
    )  # fmt: skip
    world.ours.apply([view])
    asked = "select user_id, now() as event_timestamp from much"
    batches = world.ours.get_historical_features(asked, ["much:visits", "much:name"]).to_batches()
    rows, held = 0, []
    for batch in batches:
        rows += batch.num_rows
        held.append(resident())
    assert (rows, len(held) > 8) == (500_000, True)
    assert max(held[2:]) - min(held[2:]) < 60 << 20


moments = st.integers(0, 12).map(lambda quarter: quarter / 4)
shop_rows = st.lists(
    st.builds(
        lambda who, at, written, visits, name, scores: shop(
            who, at, written, visits=visits, name=name, scores=scores, spend=None if visits is None else visits / 3
        ),
        st.integers(0, 3), moments, moments, st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=6),
        st.none() | st.lists(st.floats(width=64, allow_nan=False), max_size=3),
    ),
    min_size=1, max_size=25, unique_by=lambda row: row[:3],
)  # fmt: skip
questions = st.lists(st.tuples(st.integers(0, 4), moments), min_size=1, max_size=12)


@pytest.mark.long
@pytest.mark.timeout(600)
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=shop_rows, asked=questions, known=st.booleans(), full=st.booleans())
def test_any_rows_and_questions(world: World, rows: Any, asked: Any, known: bool, full: bool) -> None:
    world.rows("shops", rows)
    features = ["shops:visits", "shops:name", "shops:scores", "shops:spend", "fresh:recent_visits"]
    same(*world.both(frame(*asked), features, full_feature_names=full, filter_by_created_timestamp=known))


pair_rows = st.lists(
    st.tuples(st.integers(1, 23), st.integers(1, 23), moments, moments, st.integers(0, 999)),
    min_size=1, max_size=40, unique_by=lambda row: row[:4],
)  # fmt: skip


@pytest.mark.long
@pytest.mark.timeout(600)
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=pair_rows, more=st.lists(st.tuples(st.integers(1, 23), st.integers(1, 23), moments), max_size=5))
def test_any_pairs_against_the_obvious_answer(world: World, rows: Any, more: Any) -> None:
    """Keys of two columns, where the plain store is no measure: asked at each row's own time, and elsewhere."""
    world.rows("pairs", [(*row[:2], hours(row[2]), hours(row[3]), row[4]) for row in rows])
    asked = [(user, item, at) for user, item, at, _, _ in rows] + more

    def obvious(user: int, item: int, at: float) -> int | None:
        seen = [row for row in rows if row[:2] == (user, item) and row[2] <= at]
        return max(seen, key=lambda row: row[2:4])[4] if seen else None

    found = world.asked(world.ours, frame(*asked, keys=("user_id", "item_id")), ["pairs:rank"])
    assert found["rank"].to_pylist() == [obvious(*row) for row in asked]
