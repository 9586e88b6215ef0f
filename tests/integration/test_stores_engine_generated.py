"""The batch engine beside Feast's own, over generated rows: what is online afterwards is the same.

Three ways are compared: Feast's own engine on Feast's own stores, ours within the database, ours in batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.databases import clone, drop
from tests.support.feast_worlds import OURS, STOCK, hours, store_on
from tests.support.online import close
from tidegate.postgres import Database

feast = pytest.importorskip("feast")

from feast import Entity, FeatureView, Field, ValueType  # noqa: E402
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource  # noqa: E402
from feast.types import (  # noqa: E402
    Array,
    Bool,
    Bytes,
    Decimal,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    Set,
    String,
    UnixTimestamp,
    Uuid,
)

from tidegate.stores.offline import transport  # noqa: E402

ENGINE = {"type": "tidegate.stores.engine.TidegateComputeEngine"}
ONLINE = "tidegate.stores.online.TidegateOnlineStore"
# Feature: its type, the source's type, and the values that both ways can hold.
whole = st.integers(-(2**53), 2**53)  # pandas makes floats of integers beside a NULL
words = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=6)
reals = st.floats(width=64, allow_nan=False)
narrow = st.floats(width=32, allow_nan=False)
seconds = st.integers(0, 10_000).map(lambda second: hours(second / 7))
KINDS: dict[str, tuple[Any, str, Any]] = {
    "big": (Int64, "bigint", whole),
    "from_int": (Int64, "integer", st.integers(-(2**31), 2**31 - 1)),
    "small": (Int32, "smallint", st.integers(-(2**15), 2**15 - 1)),
    "double": (Float64, "double precision", reals),
    "single": (Float32, "real", narrow),
    "narrowed": (Float32, "double precision", narrow),
    "happy": (Bool, "boolean", st.booleans()),
    "name": (String, "text", words),
    "short": (String, "varchar(9)", words),
    "raw": (Bytes, "bytea", st.binary(min_size=1, max_size=4)),
    "seen": (UnixTimestamp, "timestamptz", seconds),
    "local": (UnixTimestamp, "timestamp", seconds.map(lambda time: time.replace(tzinfo=None))),
    "bigs": (Array(Int64), "bigint[]", st.lists(whole, max_size=3)),
    "doubles": (Array(Float64), "double precision[]", st.lists(reals, max_size=3)),
    "names": (Array(String), "text[]", st.lists(st.none() | words, max_size=3)),
    "flags": (Array(Bool), "boolean[]", st.lists(st.booleans(), max_size=3)),
}
# What Feast's own offline store cannot read, or reads with a loss.
MORE: dict[str, tuple[Any, str, Any]] = {
    "document": (Json, "json", st.dictionaries(words, whole | words, max_size=2).map(psycopg.types.json.Json)),
    "binary_document": (Json, "jsonb", st.dictionaries(words, whole, max_size=2).map(psycopg.types.json.Jsonb)),
    "money": (Float64, "numeric(12, 2)", st.decimals(-999, 999, places=2)),
    "exact": (Decimal, "numeric", st.decimals(allow_nan=False, allow_infinity=False, places=5)),
    "exacts": (Array(Decimal), "numeric[]", st.lists(st.decimals(-9, 9, places=3), max_size=3)),
    "each_once": (Set(Int64), "bigint[]", st.lists(whole, max_size=4)),
    "names_once": (Set(String), "text[]", st.lists(words, max_size=3)),
    "id": (Uuid, "uuid", st.uuids()),
    "times": (Array(UnixTimestamp), "timestamptz[]", st.lists(seconds, max_size=3)),
}
user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
thing = Entity(name="thing", join_keys=["item"], value_type=ValueType.STRING)
source = PostgreSQLSource(
    name="anything", table="anything", timestamp_field="at", created_timestamp_column="written",
    field_mapping={"big": "large", "user_id": "user_id"},
)  # fmt: skip


def view(name: str, entities: list[Any], *kinds: dict[str, tuple[Any, str, Any]], **more: Any) -> FeatureView:
    """Return a view of the table with a feature for each kind."""
    named = {source.field_mapping.get(one, one): kind for known in kinds for one, (kind, _, _) in known.items()} | more
    schema = [Field(name=one, dtype=kind) for one, kind in named.items()]
    return FeatureView(name=name, entities=entities, ttl=timedelta(0), source=source, schema=schema)


plain = view("plain", [user, thing], KINDS)
richer = view("richer", [user, thing], MORE)
in_batches = view("in_batches", [user, thing], KINDS, MORE, mapped=Map)
alone = view("alone", [], KINDS, MORE)


class World:
    """A table of every type, with the same views on Feast's own stores and on ours."""

    def __init__(self, database: Database, connection: psycopg.Connection[Any], folder: Any) -> None:
        self.connection = connection
        self.stock = store_on(database, folder / "stock", STOCK, {"type": STOCK, "db_schema": "stock"})
        ours = {"type": ONLINE, "db_schema": "ours"}
        self.ours = store_on(database, folder / "ours", OURS, ours, batch_engine=ENGINE)
        self.stock.apply([user, thing, plain])
        self.ours.apply([user, thing, plain, richer, in_batches, alone])

    def materialise(self, rows: list[tuple[Any, ...]], first: float, last: float, zone: str) -> None:
        """Fill the online stores from some rows; ours with a database in another time zone."""
        self.connection.execute("truncate anything, stock.world_plain, ours.world_thing_user, ours.world___dummy")
        with self.connection.cursor() as cursor:
            cursor.executemany(f"insert into anything values ({', '.join(['%s'] * (5 + len(ALL)))})", rows)
        self.stock.materialize(hours(first), hours(last))
        name = self.connection.info.dbname
        self.connection.execute(f"alter database {name} set timezone to '{zone}'")
        try:
            self.ours.materialize(hours(first), hours(last))
        finally:
            self.connection.execute(f"alter database {name} reset timezone")

    def online(self, store: Any, which: str, names: list[str]) -> list[dict[str, Any]]:
        answer = store.get_online_features([f"{which}:{name}" for name in names], KEYS)
        values = answer.to_dict(include_event_timestamps=True)
        return [{name: column[n] for name, column in sorted(values.items())} for n in range(len(KEYS))]


@pytest.fixture(scope="module")
def world(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    database = clone(server, "feast_engine_generated", "template0")
    columns = ", ".join(f"{name} {sql}" for name, (_, sql, _) in ALL.items())
    with database.connect(autocommit=True) as connection:
        connection.execute(f"create table anything ({FIRST}, {columns})")
        made = World(database, connection, tmp_path_factory.mktemp("generated"))
        yield made
        close(made.stock)
        close(made.ours)
    drop(server, database)


ALL = KINDS | MORE
FIRST = "user_id bigint, item text, at timestamptz, written timestamptz, mapped jsonb"
KEYS = [{"user_id": who, "item": what} for who in range(3) for what in ("a", "é,\n")]
moments = st.integers(0, 24).map(lambda quarter: quarter / 4)
documents = st.dictionaries(words, whole | words, max_size=2).map(psycopg.types.json.Jsonb)
happened = st.lists(
    st.tuples(
        st.integers(0, 2), st.sampled_from(["a", "é,\n"]), moments.map(hours), moments.map(hours),
        st.none() | documents, *(st.none() | values for _, _, values in ALL.values()),
    ),
    min_size=1, max_size=12, unique_by=lambda row: row[:4],
)  # fmt: skip
zones = st.sampled_from(["UTC", "Asia/Kolkata", "America/St_Johns"])


def compare(world: World, rows: Any, first: float, last: float, zone: str) -> None:
    world.materialise(rows, first, last, zone)
    names, more = [source.field_mapping.get(name, name) for name in KINDS], list(MORE)
    ours = world.online(world.ours, "plain", names)
    assert differing(ours, world.online(world.stock, "plain", names)) == []
    assert differing(ours, world.online(world.ours, "in_batches", names)) == []
    richer = world.online(world.ours, "richer", more)
    assert differing(richer, world.online(world.ours, "in_batches", more)) == []


def differing(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> list[tuple[str, Any, Any]]:
    """Return what differs between two answers: the name, the one value, the other."""
    pairs = [(name, one[name], other[name]) for one, other in zip(some, others, strict=True) for name in one]
    return [found for found in pairs if found[1] != found[2]]


anything = {"rows": happened, "first": moments, "length": moments, "zone": zones}


# Shrinking fills both stores some hundred times: that is for the long form.
@settings(
    max_examples=8, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(**anything)
def test_some_rows(world: World, rows: Any, first: float, length: float, zone: str) -> None:
    compare(world, rows, first, first + length, zone)


@pytest.mark.long
@pytest.mark.timeout(900)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(**anything)
def test_any_rows(world: World, rows: Any, first: float, length: float, zone: str) -> None:
    compare(world, rows, first, first + length, zone)


def test_nothing_but_a_map_visits_the_client(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("rows were read")

    monkeypatch.setattr(transport.Reader, "tables", refuse)
    for which in (plain, richer, alone):
        world.ours.materialize(hours(0), hours(1), feature_views=[which.name])
    with pytest.raises(AssertionError, match="rows were read"):
        world.ours.materialize(hours(0), hours(1), feature_views=[in_batches.name])
