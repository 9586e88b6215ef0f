"""The batch engine beside Feast's own: what is online after `materialize`, by the database or by Python."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.databases import clone, drop
from tests.support.feast_worlds import OURS, STOCK, hours, reached, store_on
from tests.support.memory import Watch, resident
from tests.support.online import close
from tidegate.postgres import Database

feast = pytest.importorskip("feast")

from feast import BatchFeatureView, Entity, FeatureView, Field, ValueType  # noqa: E402
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource  # noqa: E402
from feast.types import Array, Bool, Float32, Float64, Int32, Int64, Json, Map, String, UnixTimestamp  # noqa: E402

from tidegate.stores import engine_batches  # noqa: E402
from tidegate.stores.engine import TidegateComputeEngine  # noqa: E402
from tidegate.stores.offline import transport  # noqa: E402

ENGINE = {"type": "tidegate.stores.engine.TidegateComputeEngine"}
ONLINE = "tidegate.stores.online.TidegateOnlineStore"
SCHEMA = """
create table happened (
    user_id bigint, item text, at timestamptz, written timestamptz,
    visits bigint, small smallint, spend numeric, ratio double precision, name varchar, happy boolean, seen timestamptz,
    scores double precision[], tags text[], raw bytea, document json
)
"""
TYPES = {
    "counted": Int64, "small": Int32, "spend": Float64, "ratio": Float32, "name": String, "happy": Bool,
    "seen": UnixTimestamp, "scores": Array(Float64), "tags": Array(String),
}  # fmt: skip

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
thing = Entity(name="thing", join_keys=["item"], value_type=ValueType.STRING)
source = PostgreSQLSource(
    name="happened", table="happened", timestamp_field="at", created_timestamp_column="written",
    field_mapping={"visits": "counted"},
)  # fmt: skip
schema = [Field(name=name, dtype=dtype) for name, dtype in TYPES.items()]
pairs = FeatureView(name="pairs", entities=[user, thing], ttl=timedelta(0), source=source, schema=schema)
documents = FeatureView(
    name="documents", entities=[user], ttl=timedelta(0), source=source, schema=[Field(name="document", dtype=Json)]
)
alone = FeatureView(
    name="alone", entities=[], ttl=timedelta(0), source=source, schema=[Field(name="counted", dtype=Int64)]
)
narrow = FeatureView(
    name="narrow", entities=[user], ttl=timedelta(0), source=source, schema=[Field(name="ratio", dtype=Float32)]
)
vectors = FeatureView(
    name="vectors", entities=[user], ttl=timedelta(0), source=source,
    schema=[Field(name="scores", dtype=Array(Float64), vector_index=True, vector_length=2)],
)  # fmt: skip
doubled = BatchFeatureView(
    name="doubled", entities=[user], ttl=timedelta(0), source=source, schema=[Field(name="twice", dtype=Int64)],
    online=True, mode="pandas", udf=lambda frame: frame.assign(twice=frame["counted"] * 2), udf_string="",
)  # fmt: skip


class World:
    """One database, with the same project on Feast's own stores and on ours."""

    def __init__(self, database: Database, connection: psycopg.Connection[Any], folder: Any) -> None:
        self.database = database
        self.connection = connection
        self.stock = store_on(database, folder / "stock", STOCK, {"type": STOCK, "db_schema": "stock"})
        ours = {"type": ONLINE, "db_schema": "ours"}
        self.ours = store_on(database, folder / "ours", OURS, ours, batch_engine=ENGINE)
        for store in (self.stock, self.ours):
            store.apply([user, thing, pairs, documents, alone, narrow, vectors])

    def rows(self, *rows: tuple[Any, ...]) -> None:
        """Replace what happened, and forget what is online."""
        self.connection.execute("truncate happened, stock.world_pairs, ours.world_thing_user")
        with self.connection.cursor() as cursor:
            cursor.executemany(f"insert into happened values ({', '.join(['%s'] * 15)})", rows)

    def materialise(self, first: float, last: float, *stores: Any, views: tuple[str, ...] = ("pairs",)) -> None:
        for store in stores or (self.stock, self.ours):
            store.materialize(hours(first), hours(last), feature_views=list(views))

    def online(self, store: Any, *keys: tuple[int, str]) -> list[dict[str, Any]]:
        rows = [{"user_id": who, "item": what} for who, what in keys]
        answer = store.get_online_features([f"pairs:{name}" for name in TYPES], rows)
        values = answer.to_dict(include_event_timestamps=True)
        return [{name: column[number] for name, column in sorted(values.items())} for number in range(len(rows))]


@pytest.fixture(scope="module")
def world(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    database = clone(server, "feast_engine", "template0")
    with database.connect(autocommit=True) as connection:
        connection.execute(SCHEMA)
        made = World(database, connection, tmp_path_factory.mktemp("engines"))
        yield made
        close(made.stock)
        close(made.ours)
    drop(server, database)


def row(who: int, what: str, at: float, written: float | None = None, visits: Any = 1, **other: Any) -> tuple[Any, ...]:
    found = {"small": 2, "spend": 1.5, "ratio": 0.1, "name": "ada", "happy": True, "seen": hours(1.2500001),
             "scores": [0.1, 2.0], "tags": ["a,b", 'c"'], "raw": b"\0", "document": '{"a": 1}'} | other  # fmt: skip
    return (who, what, hours(at), hours(at if written is None else written), visits, *found.values())


@pytest.fixture
def by_python(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The views that went Feast's own way."""
    went: list[str] = []
    local = TidegateComputeEngine.__bases__[0]
    way = local._materialize_one

    def noted(engine: Any, registry: Any, task: Any, **options: Any) -> Any:
        went.append(task.feature_view.name)
        return way(engine, registry, task, **options)

    monkeypatch.setattr(local, "_materialize_one", noted)
    return went


def test_what_is_online_is_what_feasts_own_engine_writes(world: World, by_python: list[str]) -> None:
    world.rows(
        *(row(n % 3, "ab"[n % 2], n, visits=n, spend=n / 4, scores=[float(n)]) for n in range(14)),
        row(7, "é,\n", 3, 3, visits=1), row(7, "é,\n", 3, 5, visits=2), row(7, "é,\n", 3, 4, visits=3),
        row(8, "text", 2, name="", tags=[], seen=None),
    )  # fmt: skip
    world.materialise(0, 10)
    asked = [(n % 3, "ab"[n % 2]) for n in range(6)] + [(7, "é,\n"), (8, "text"), (9, "nobody")]
    stock, ours = world.online(world.stock, *asked), world.online(world.ours, *asked)
    assert ours == stock
    assert by_python == ["pairs"], "Feast's own engine, for Feast's own store only"
    assert [found["counted"] for found in ours[:6]] == [6, 7, 8, 9, 10, 5]
    assert ours[6]["counted"] == 2, "the row that was written last"


def test_ranges_are_closed_at_both_ends(world: World) -> None:
    world.rows(row(1, "a", 2), row(2, "a", 5), row(3, "a", 1.9999), row(4, "a", 5.0001))
    world.materialise(2, 5)
    for store in (world.stock, world.ours):
        assert [found["counted"] for found in world.online(store, *((n, "a") for n in range(1, 5)))] == [
            1,
            1,
            None,
            None,
        ]


def test_a_backfill_never_overwrites_newer_values_where_the_plain_store_does(world: World) -> None:
    world.rows(row(1, "a", 1, visits=1), row(1, "a", 8, visits=8))
    world.materialise(5, 9)
    world.materialise(0, 5)
    [stock], [ours] = (world.online(store, (1, "a")) for store in (world.stock, world.ours))
    assert (stock["counted"], ours["counted"]) == (1, 8)


def test_a_number_beside_a_null_stays_exact(world: World) -> None:
    """Feast's own engine goes through pandas, where a column of integers with a NULL is one of floats."""
    world.rows(row(1, "a", 1, visits=2**53 + 1), row(2, "a", 1, visits=None), (None, *row(3, "a", 1)[1:]))
    world.materialise(0, 5, world.ours)
    assert [found["counted"] for found in world.online(world.ours, (1, "a"), (2, "a"))] == [2**53 + 1, None]


def test_no_row_visits_the_client(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("rows were read")

    monkeypatch.setattr(transport.Reader, "tables", refuse)
    world.rows(row(1, "a", 1))
    world.materialise(0, 5, world.ours)
    assert world.online(world.ours, (1, "a"))[0]["counted"] == 1


def test_what_a_function_computes_goes_feasts_own_way(world: World, by_python: list[str]) -> None:
    world.rows(row(1, "a", 1, visits=4))
    world.ours.apply([doubled])
    world.materialise(0, 5, world.ours, views=("documents", "doubled"))
    asked = world.ours.get_online_features(["documents:document", "doubled:twice"], [{"user_id": 1}]).to_dict()
    assert by_python == ["doubled"]
    assert (asked["document"], asked["twice"]) == ([{"a": 1}], [8])


def test_a_view_without_entities_has_one_row_where_the_plain_engine_fails(world: World, by_python: list[str]) -> None:
    world.rows(row(1, "a", 1, visits=1), row(2, "b", 3, visits=3), row(3, "c", 2, visits=2))
    with pytest.raises(ValueError, match="__dummy_id not found"):
        world.materialise(0, 5, world.stock, views=("alone",))
    world.materialise(0, 5, world.ours, views=("alone",))
    beside_another = world.ours.get_online_features(["alone:counted", "narrow:ratio"], [{"user_id": 1}]).to_dict()
    assert beside_another["counted"] == [3]
    assert by_python == ["alone"], "for Feast's own store only"


def test_what_the_database_refuses_is_what_python_makes_of_it(world: World, by_python: list[str]) -> None:
    world.rows(row(1, "a", 1, ratio=1e300), row(2, "a", 1, ratio=0.1))
    world.materialise(0, 5, views=("narrow",))
    asked = [{"user_id": 1}, {"user_id": 2}]
    stock, ours = (store.get_online_features(["narrow:ratio"], asked).to_dict() for store in (world.stock, world.ours))
    assert by_python == ["narrow"], "for Feast's own store only"
    assert ours == stock
    assert ours["ratio"][0] == float("inf")


def test_a_vector_of_another_length_than_promised_is_refused(world: World) -> None:
    world.rows(row(1, "a", 1, scores=[1.0, 2.0]), row(2, "a", 1, scores=[1.0]))
    for store in (world.stock, world.ours):
        with pytest.raises(ValueError, match="Vector length 1 does not match"):
            world.materialise(0, 5, store, views=("vectors",))


def test_sources_of_unusual_types(world: World, by_python: list[str], tmp_path: Path) -> None:
    """Keys that are times, a time without a zone in a column with a space, enums, padded text, lists of lists."""
    world.connection.execute(
        """create type mood as enum ('sad', 'ok');
        create table odd (k timestamptz, "at %" timestamp, mood mood, moods mood[], padded char(5), lists bigint[],
                          documents jsonb, texts text);
        insert into odd values
            ('2026-01-01 00:00:00.25Z', '2026-01-01 02:00', 'sad', '{sad,ok}', 'ab', '{{1,2},{3,4}}',
             '[[1], [2, 3]]', '[[5]]'),
            ('2026-01-01 00:00:00.75Z', '2026-01-01 01:00', 'ok', null, null, null, null, null)"""
    )
    at = Entity(name="at", join_keys=["k"], value_type=ValueType.UNIX_TIMESTAMP)
    nested = Array(Array(Int64))
    kinds = {
        "enums": {"feeling": String, "moods": Array(String)},
        "others": {"padded": String, "lists": nested, "documents": nested, "texts": nested},
    }
    views = [
        FeatureView(
            name=name, entities=[at], ttl=timedelta(0),
            schema=[Field(name=feature, dtype=kind) for feature, kind in fields.items()],
            source=PostgreSQLSource(
                name=name, query="select * from odd where padded is distinct from '%s'", timestamp_field="at %",
                field_mapping={"mood": "feeling", "at %": "when"},
            ),
        )
        for name, fields in kinds.items()
    ]  # fmt: skip
    store = store_on(world.database, tmp_path, OURS, {"type": ONLINE, "db_schema": "odd"}, batch_engine=ENGINE)
    store.apply([at, *views])
    world.materialise(0, 5, store, views=tuple(kinds))
    names = [f"{view}:{name}" for view, fields in kinds.items() for name in fields]
    found = store.get_online_features(names, [{"k": hours(0)}]).to_dict()
    found.pop("k")
    assert {name: value for name, (value,) in found.items()} == {
        "feeling": "sad", "moods": ["sad", "ok"], "padded": "ab   ",
        "lists": [[1, 2], [3, 4]], "documents": [[1], [2, 3]], "texts": [[5]],
    }  # fmt: skip
    assert by_python == []
    close(store)


def test_vectors_go_from_pgvector_to_pgvector_in_the_database(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("rows were read")

    monkeypatch.setattr(transport.Reader, "tables", refuse)
    world.connection.execute("create extension if not exists vector")
    world.connection.execute("create table looks (item text, at timestamptz, image vector(2), words real[])")
    looks = FeatureView(
        name="looks", entities=[thing], ttl=timedelta(0),
        source=PostgreSQLSource(name="looks", table="looks", timestamp_field="at"),
        schema=[
            Field(name="image", dtype=Array(Float32), vector_index=True, vector_length=2, vector_search_metric="l2"),
            Field(name="words", dtype=Array(Float64)),
        ],
    )  # fmt: skip
    with world.connection.cursor() as cursor:
        rows = [
            (what, hours(at), [at, 1.0], [at, 0.5]) for what, at in (("a", 1.0), ("a", 2.0), ("b", 4.0), ("c", 9.0))
        ]
        cursor.executemany("insert into looks values (%s, %s, %s::real[]::vector, %s)", rows)
    settings = {"type": ONLINE, "db_schema": "searched", "vector_enabled": True}
    store = store_on(world.database, tmp_path, OURS, settings, batch_engine=ENGINE)
    store.apply([thing, looks])
    world.materialise(0, 5, store, views=("looks",))
    near = store.retrieve_online_documents_v2(["looks:item", "looks:words"], query=[2.2, 1.0], top_k=2).to_dict()
    assert near["words"] == [[2.0, 0.5], [4.0, 0.5]]
    close(store)


def test_a_source_in_another_database_is_read_in_batches(
    world: World, by_python: list[str], server: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.rows(*(row(n % 50, "a", n / 100, visits=n) for n in range(200)), (None, *row(3, "a", 1)[1:]))
    monkeypatch.setattr(engine_batches, "BLOCK", 500)
    far = clone(server, "feast_engine_far", "template0")
    try:
        store = store_on(world.database, tmp_path, OURS, {**reached(far), "type": ONLINE}, batch_engine=ENGINE)
        store.apply([user, thing, pairs])
        world.materialise(0, 5, store)
        world.materialise(0, 1, store)
        found = world.online(store, *((n, "a") for n in range(50)))
        assert [one["counted"] for one in found] == list(range(150, 200)), "the newest, even after a backfill"
        assert by_python == []
        close(store)
    finally:
        drop(server, far)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_memory_stays_within_bounds_whatever_is_materialised(world: World, tmp_path: Path) -> None:
    world.connection.execute(
        """create table much as
           select n as user_id, timestamptz '2026-01-01Z' as at, n as counted, jsonb_build_object('n', n) as mapped
             from generate_series(1, 400000) n;
        analyze much"""
    )
    kinds = {"counted": Int64, "mapped": Map}
    views = [
        FeatureView(
            name=name, entities=[user], ttl=timedelta(0), schema=[Field(name=name, dtype=kind)],
            source=PostgreSQLSource(name=name, table="much", timestamp_field="at"),
        )
        for name, kind in kinds.items()
    ]  # fmt: skip
    store = store_on(world.database, tmp_path, OURS, {"type": ONLINE, "db_schema": "much"}, batch_engine=ENGINE)
    store.apply([user, *views])
    for name, bound in (("counted", 20 << 20), ("mapped", 150 << 20)):
        before = resident()
        with Watch() as watch:
            world.materialise(-1, 1, store, views=(name,))
        assert watch.most - before < bound
    found = store.get_online_features(["counted:counted", "mapped:mapped"], [{"user_id": 400_000}]).to_dict()
    assert (found["counted"], found["mapped"]) == ([400_000], [{"n": 400_000}])
    close(store)


def test_another_online_store_is_filled_in_batches(world: World, by_python: list[str], tmp_path: Path) -> None:
    world.rows(row(1, "a", 1, visits=4))
    mixed = store_on(world.database, tmp_path, OURS, {"type": STOCK, "db_schema": "mixed"}, batch_engine=ENGINE)
    mixed.apply([user, thing, pairs])
    world.materialise(0, 5, mixed)
    assert (by_python, world.online(mixed, (1, "a"))[0]["counted"]) == ([], 4)
    close(mixed)


def test_a_mistake_is_the_databases_own_error(world: World) -> None:
    world.rows(row(1, "a", 1))
    world.connection.execute("alter table happened rename column visits to vanished")
    try:
        with pytest.raises(psycopg.errors.UndefinedColumn):
            world.materialise(0, 5, world.ours)
    finally:
        world.connection.execute("alter table happened rename column vanished to visits")
