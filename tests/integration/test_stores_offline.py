"""The offline store beside Feast's own: the same definitions, rows and questions; where it differs, both are shown."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
import pytest

from tests.support.feast_worlds import hours, store_on
from tidegate.postgres import Database

feast = pytest.importorskip("feast")

from feast import Entity, FeatureService, FeatureView, Field, ValueType  # noqa: E402
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (  # noqa: E402
    PostgreSQLSource,
)
from feast.types import Int32, Int64, String  # noqa: E402

from tests.support.offline import (  # noqa: E402
    ALL,
    OBJECTS,
    World,
    frame,
    fresh,
    offline_world,
    same,
    shop,
    shops,
    source,
    user,
)


@pytest.fixture(scope="module")
def world(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with offline_world(server, tmp_path_factory.mktemp("worlds"), "feast_offline") as made:
        yield made


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


def test_a_uuid_may_be_asked_for_as_text_where_the_plain_store_fails(world: World) -> None:
    one = "80379135-03ae-4533-b545-3e0913d2cc90"
    world.connection.execute("create table visits (id uuid, at timestamptz, visits bigint)")
    world.rows("visits", [(one, hours(1), 4)])
    visit = Entity(name="visit", join_keys=["id"], value_type=ValueType.STRING)
    view = FeatureView(
        name="visits", entities=[visit], ttl=timedelta(0), source=source("visits", created=""),
        schema=[Field(name="visits", dtype=Int64)],
    )  # fmt: skip
    for store in (world.stock, world.ours):
        store.apply([visit, view])
    with pytest.raises(psycopg.errors.UndefinedFunction):
        world.asked(world.stock, frame((one, 2), keys=("id",)), ["visits:visits"])
    for asked in (frame((one, 2), keys=("id",)), f"select '{one}' as id, now() as event_timestamp"):
        assert world.asked(world.ours, asked, ["visits:visits"])["visits"].to_pylist() == [4]


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
