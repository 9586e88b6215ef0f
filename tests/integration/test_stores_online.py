"""Our online store beside Feast's own on PostgreSQL: the same answers, and better ones where stock is wrong."""

from __future__ import annotations

import asyncio
import decimal
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest
from feast import FeatureService, Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import (
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
    ScalarMap,
    Set,
    String,
    Struct,
    TimeUuid,
    UnixTimestamp,
    Uuid,
    ZonedTimestamp,
)
from psycopg import sql

from tests.support.online import ITEM, OURS, STOCK, USER, Both, assert_same, close, store, vectors, view, write
from tidegate.postgres import Database
from tidegate.stores.online import ReadOnlyView
from tidegate.stores.online_response import NOT_FOUND, OUTSIDE_MAX_AGE, PRESENT

NOW = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
PROFILE = {"age": Int64, "name": String, "score": Float64, "vector": Array(Float32)}


@pytest.fixture
def both(empty_database: Database, tmp_path: Path) -> Iterator[Both]:
    made = Both(
        store(empty_database, tmp_path / "stock", STOCK, conn_type="pool"),
        store(empty_database, tmp_path / "ours", OURS),
    )
    yield made
    made.close()


def shop(both: Both) -> None:
    both.apply(USER, ITEM, view("profile", [USER], PROFILE), view("pair", [USER, ITEM], {"n": Int32}))
    users = [{"user_id": n, "age": 20 + n, "name": f"u{n}", "score": n / 3, "vector": [1.0, n / 2]} for n in range(30)]
    users.append({"user_id": 30, "age": None, "name": None, "score": None, "vector": None})
    both.write("profile", users, NOW)
    both.write("pair", [{"user_id": n, "item_id": f"i{m}", "n": n * m} for n in range(3) for m in range(3)], NOW)


@pytest.mark.parametrize("full_feature_names", [False, True])
@pytest.mark.parametrize("users", [[1], [1, 2, 1, 30, 99, 0], [99]])
def test_answers_are_those_of_stock(both: Both, users: list[int], full_feature_names: bool) -> None:
    shop(both)
    rows = [{"user_id": user, "item_id": f"i{number % 4}"} for number, user in enumerate(users)]
    features = [*(f"profile:{name}" for name in PROFILE), "pair:n"]
    assert_same(*both.answers(features, rows, full_feature_names=full_feature_names))
    columns = {name: [row[name] for row in rows] for name in ("user_id", "item_id")}
    assert_same(*both.answers(features, columns, full_feature_names=full_feature_names))


def test_the_asynchronous_answer_is_the_same(both: Both) -> None:
    shop(both)

    async def ask() -> Any:
        answer = await both.ours.get_online_features_async(["profile:age", "pair:n"], [{"user_id": 1, "item_id": "i2"}])
        await both.ours.close()
        return answer

    assert asyncio.run(ask()).to_dict() == {"user_id": [1], "item_id": ["i2"], "age": [21], "n": [2]}


def test_a_loop_that_ends_has_no_connection_in_the_making(both: Both) -> None:
    """It would wait for that connection for ever: Python 3.11 may lose the cancellation of one."""
    shop(both)
    connections = both.ours._get_provider().online_store.connections(both.ours.config)

    async def ask() -> int:
        await both.ours.get_online_features_async(["profile:age"], [{"user_id": 1}])
        (pool,) = connections._async_pools.values()
        return int(pool.get_stats()["connections_num"])

    assert asyncio.run(ask()) == 1


def test_a_backfill_replaces_newer_values_in_stock_only(both: Both) -> None:
    both.apply(USER, view("profile", [USER], {"age": Int64}))
    both.write("profile", [{"user_id": 1, "age": 2}], NOW)
    both.write("profile", [{"user_id": 1, "age": 1}], NOW - timedelta(days=1))
    stock, ours = both.answers(["profile:age"], [{"user_id": 1}])
    assert (stock.to_dict()["age"], ours.to_dict()["age"]) == ([1], [2])


def test_a_read_survives_a_terminated_backend(both: Both, empty_database: Database) -> None:
    shop(both)
    assert both.ours.get_online_features(["profile:age"], [{"user_id": 1}]).to_dict()["age"] == [21]
    with empty_database.connect(autocommit=True) as connection:
        terminate_others(connection)
    assert both.ours.get_online_features(["profile:age"], [{"user_id": 1}]).to_dict()["age"] == [21]


def terminate_others(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )


EVERY_TYPE: dict[str, tuple[Any, list[Any]]] = {
    "bytes": (Bytes, [b"\x00\xff", b""]),
    "string": (String, ["ü 'quoted'", ""]),
    "int32": (Int32, [-(2**31), 0]),
    "int64": (Int64, [2**63 - 1, -1]),
    "float64": (Float64, [1e300, -0.0, float("inf")]),
    "float32": (Float32, [0.1, -2.5]),
    "bool": (Bool, [True, False]),
    "moment": (UnixTimestamp, [datetime(1969, 7, 20, 20, 17, tzinfo=UTC), NOW.replace(microsecond=0)]),
    "uuid": (Uuid, [UUID(int=7)]),
    "time_uuid": (TimeUuid, [UUID("2b1a0b1e-7c2f-11ee-b962-0242ac120002")]),
    "decimal": (Decimal, [decimal.Decimal("1.10"), decimal.Decimal("-123456789012345678901234567890.5")]),
    "json": (Json, ['{"b": 1,  "a": [null, 1e5]}', "3"]),
    "map": (Map, [{"a": 1, "b": {"c": [1.5, 2.5]}}, {}]),
    "scalar_map": (ScalarMap, [{1: "one", 2: 2.0}]),
    "struct": (Struct({"a": Int64, "b": String}), [{"a": 1, "b": "x"}]),
    "zoned": (ZonedTimestamp, [datetime(2026, 1, 1, 8, tzinfo=ZoneInfo("Asia/Tokyo"))]),
    "floats": (Array(Float32), [[0.1, 2.0], []]),
    "doubles": (Array(Float64), [[0.1], []]),
    "int32s": (Array(Int32), [[1, 2]]),
    "int64s": (Array(Int64), [[2**62]]),
    "strings": (Array(String), [["", "a,{b}", 'c"\\'], []]),
    "many_bytes": (Array(Bytes), [[b"\x00", b""]]),
    "bools": (Array(Bool), [[True, False]]),
    "moments": (Array(UnixTimestamp), [[NOW.replace(microsecond=0)]]),
    "uuids": (Array(Uuid), [[UUID(int=1), UUID(int=2)]]),
    "decimals": (Array(Decimal), [[decimal.Decimal("0.10")]]),
    "jsons": (Array(Json), [['{"a":  1}', "[]"]]),
    "maps": (Array(Map), [[{"a": 1}, {}]]),
    "nested": (Array(Array(Int64)), [[[1, 2], []]]),
    "string_set": (Set(String), [{"a", "b"}]),
    "int_set": (Set(Int64), [{1, 2}]),
    "uuid_set": (Set(Uuid), [{UUID(int=3)}]),
}


def test_every_type_of_feast_comes_back_as_from_stock(both: Both) -> None:
    names = {name: kind for name, (kind, _) in EVERY_TYPE.items()}
    both.apply(USER, view("types", [USER], names))
    rounds = max(len(values) for _, values in EVERY_TYPE.values())
    rows = [
        {"user_id": number, **{name: values[number % len(values)] for name, (_, values) in EVERY_TYPE.items()}}
        for number in range(rounds)
    ]
    both.write("types", [*rows, {"user_id": rounds, **dict.fromkeys(names)}], NOW)
    stock, ours = both.answers([f"types:{name}" for name in names], [{"user_id": n} for n in range(rounds + 2)])
    shown, expected = ours.to_dict(), stock.to_dict()
    assert {name: shown[name] for name in names} == {name: expected[name] for name in names}
    sets = {name for name in names if name.endswith("_set")}  # their order is anybody's
    sent, wanted = vectors(ours), vectors(stock)
    assert {n: sent[n] for n in names if n not in sets} == {n: wanted[n] for n in names if n not in sets}


def test_a_value_older_than_its_ttl_is_served_by_stock_only(both: Both) -> None:
    both.apply(USER, view("fresh", [USER], {"a": Int64}, ttl=timedelta(hours=1)), view("old", [USER], {"b": Int64}))
    now = datetime.now(UTC)
    both.write(
        "fresh", [{"user_id": 1, "a": 1, "event_timestamp": now - timedelta(hours=2)}, {"user_id": 2, "a": 2}], now
    )
    both.write("old", [{"user_id": 1, "b": 1}], NOW)
    stock, ours = both.answers(["fresh:a", "old:b"], [{"user_id": user} for user in (1, 2, 3)])
    assert (stock.to_dict()["a"], list(vectors(stock)["a"].statuses)) == ([1, 2, None], [PRESENT, PRESENT, NOT_FOUND])
    assert (ours.to_dict()["a"], list(vectors(ours)["a"].statuses)) == (
        [None, 2, None],
        [OUTSIDE_MAX_AGE, PRESENT, NOT_FOUND],
    )
    assert list(vectors(ours)["b"].statuses) == [PRESENT, NOT_FOUND, NOT_FOUND]


def test_a_database_in_another_time_zone_shifts_times_in_stock_only(both: Both, empty_database: Database) -> None:
    with empty_database.connect(autocommit=True) as connection:
        name = sql.Identifier(empty_database.parameters["dbname"])
        connection.execute(sql.SQL("alter database {} set timezone = 'Asia/Tokyo'").format(name))
    both.apply(USER, view("profile", [USER], {"age": Int64}))
    both.write("profile", [{"user_id": 1, "age": 2}], NOW)
    stock, ours = both.answers(["profile:age"], [{"user_id": 1}])
    stamps = [answer.to_dict(include_event_timestamps=True)["age__ts"] for answer in (stock, ours)]
    right = int(NOW.timestamp())
    assert stamps == [[right - 9 * 3600], [right]]


def test_keys_of_several_columns_never_run_together(both: Both) -> None:
    both.apply(USER, ITEM, view("pair", [USER, ITEM], {"n": Int64}))
    pairs = [(1, "23"), (12, "3"), (1, "2"), (2, "1")]
    both.write("pair", [{"user_id": user, "item_id": item, "n": n} for n, (user, item) in enumerate(pairs)], NOW)
    rows = [{"user_id": user, "item_id": item} for user, item in [*pairs, (123, ""), (3, "12")]]
    stock, ours = both.answers(["pair:n"], rows)
    assert ours.to_dict()["n"] == stock.to_dict()["n"] == [0, 1, 2, 3, None, None]


def test_within_a_batch_the_newest_row_stays(both: Both) -> None:
    both.apply(USER, view("profile", [USER], {"age": Int64}))
    for size in (3, 60):  # row by row, and by way of a temporary table
        rows = [{"user_id": size, "age": n, "event_timestamp": NOW + timedelta(seconds=n % 7)} for n in range(size)]
        write(both.ours, "profile", rows, NOW)
        newest = max(rows, key=lambda row: (row["event_timestamp"], row["age"]))
        found = both.ours.get_online_features(["profile:age"], [{"user_id": size}]).to_dict()
        assert found["age"] == [newest["age"]]


def test_at_the_same_event_time_the_later_creation_stays(both: Both) -> None:
    both.apply(USER, view("profile", [USER], {"age": Int64}))
    for age, created in ((1, NOW), (2, NOW + timedelta(hours=1)), (3, NOW + timedelta(minutes=1))):
        write(both.ours, "profile", [{"user_id": 1, "age": age, "created": created}], NOW)
    assert both.ours.get_online_features(["profile:age"], [{"user_id": 1}]).to_dict()["age"] == [2]


def test_a_feature_that_a_row_never_brought_is_not_found_in_stock_and_null_here(both: Both) -> None:
    """A column cannot say whether its NULL was written. The value is the same; only the status differs."""
    both.apply(USER, view("profile", [USER], {"age": Int64}))
    both.write("profile", [{"user_id": 1, "age": 1}], NOW)
    both.apply(USER, view("profile", [USER], {"age": Int64, "name": String}))
    stock, ours = both.answers(["profile:age", "profile:name"], [{"user_id": 1}, {"user_id": 2}])
    assert stock.to_dict()["name"] == ours.to_dict()["name"] == [None, None]
    assert list(vectors(stock)["name"].statuses) == [NOT_FOUND, NOT_FOUND]
    assert list(vectors(ours)["name"].statuses) == [PRESENT, NOT_FOUND]


def test_reads_are_counted_in_feasts_figures_as_by_stock(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    from feast import metrics

    shop(both)
    monkeypatch.setattr(metrics, "_config", metrics.build_metrics_flags(None))
    rows = [{"user_id": user, "item_id": "i1"} for user in (1, 2, 1, 99)]
    counted = []
    for one in (both.stock, both.ours):
        before = figures(metrics)
        one.get_online_features(["profile:age", "profile:name", "pair:n"], rows)
        counted.append({name: value - before.get(name, 0) for name, value in figures(metrics).items()})
    assert counted[0] == counted[1]
    assert counted[1][("profile", "present")] == 6
    assert counted[1][("pair", "not_found")] == 1
    assert counted[1]["reads"] == 1


def figures(metrics: Any) -> dict[Any, float]:
    """Return how many values of each view were found or not, and how many reads were timed."""
    statuses = {
        (sample.labels["feature_view"], sample.labels["status"]): sample.value
        for family in metrics.online_features_status_total.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }
    timed = [s for family in metrics.online_store_read_duration_seconds.collect() for s in family.samples]
    return {**statuses, "reads": sum(sample.value for sample in timed if sample.name.endswith("_count"))}


def test_a_row_may_bring_some_of_the_features(both: Both) -> None:
    both.apply(USER, view("profile", [USER], {"age": Int64, "name": String}))
    both.write("profile", [{"user_id": 1, "age": 1, "name": "ann"}], NOW)
    both.write("profile", [{"user_id": 1, "age": 2}], NOW + timedelta(seconds=1))
    for answer in both.answers(["profile:age", "profile:name"], [{"user_id": 1}]):
        found = answer.to_dict()
        assert (found["age"], found["name"]) == ([2], ["ann"])


def test_a_service_and_on_demand_features_are_answered_as_by_stock(both: Both) -> None:
    profile = view("profile", [USER], {"age": Int64, "score": Float64}, ttl=timedelta(days=36_500))

    @on_demand_feature_view(
        sources=[profile, RequestSource(name="request", schema=[Field(name="plus", dtype=Int64)])],
        schema=[Field(name="older", dtype=Int64)],
        mode="python",
    )
    def aged(inputs: dict[str, Any]) -> dict[str, Any]:
        added = zip(inputs["age"], inputs["plus"], strict=True)
        return {"older": [None if age is None else age + plus for age, plus in added]}

    service = FeatureService(name="both", features=[profile[["score"]], aged])
    both.apply(USER, profile, aged, FeatureService(name="plain", features=[profile]), service)
    both.write("profile", [{"user_id": 1, "age": 30, "score": 0.5}], NOW)
    rows = [{"user_id": 1, "plus": 4}, {"user_id": 2, "plus": 5}]
    assert_same(*both.answers(["profile:age", "aged:older"], rows))
    for name in ("both", "plain"):
        asked = both.ours.get_feature_service(name)
        assert_same(*both.answers(asked, rows if name == "both" else [{"user_id": 1}, {"user_id": 2}]))


def test_a_view_without_entities_is_answered_as_by_stock(both: Both) -> None:
    both.apply(view("shop", [], {"open": Bool}))
    both.write("shop", [{"__dummy_id": "", "open": True}], NOW)
    assert_same(*both.answers(["shop:open"], {"anything": [1, 2]}))


def test_metadata_of_versions_is_given_when_asked_for(both: Both) -> None:
    shop(both)
    options = {"include_feature_view_version_metadata": True}
    stock, ours = both.answers(["profile:age", "pair:n"], [{"user_id": 1, "item_id": "i1"}], **options)
    names = [{(m.name, m.version) for m in answer.proto.metadata.feature_view_metadata} for answer in (stock, ours)]
    assert names[0] == names[1] != set()


def test_missing_keys_are_refused_as_by_stock(both: Both) -> None:
    shop(both)
    for one in (both.stock, both.ours):
        with pytest.raises(KeyError, match="Missing join key values"):
            one.get_online_features(["profile:age"], [{"item_id": "i1"}])
        with pytest.raises(ValueError, match="same keys"):
            one.get_online_features(["profile:age"], [{"user_id": 1}, {"item_id": "i1"}])


def test_a_failed_read_gives_its_connection_back(empty_database: Database, tmp_path: Path) -> None:
    ours = store(empty_database, tmp_path, OURS, max_conn=2)
    ours.apply([USER, view("profile", [USER], {"age": Int64})])
    with empty_database.connect(autocommit=True) as connection:
        connection.execute("alter table ours.shop_user rename to gone")
        for _ in range(5):
            with pytest.raises(psycopg.errors.UndefinedTable):
                ours.get_online_features(["profile:age"], [{"user_id": 1}])
        connection.execute("alter table ours.gone rename to shop_user")
    assert ours.get_online_features(["profile:age"], [{"user_id": 1}]).to_dict()["age"] == [None]
    close(ours)


def test_a_forked_process_opens_connections_of_its_own(both: Both) -> None:
    shop(both)
    asked = (["profile:age"], [{"user_id": 1}])
    both.ours.get_online_features(*asked)
    child = os.fork()
    if child == 0:
        age = both.ours.get_online_features(*asked).to_dict()["age"]
        os._exit(0 if age == [21] else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert both.ours.get_online_features(*asked).to_dict()["age"] == [21]


def test_apply_widens_and_narrows_the_table_and_may_be_repeated(both: Both, empty_database: Database) -> None:
    both.ours.apply([USER, view("profile", [USER], {"age": Int64, "name": String})])
    write(both.ours, "profile", [{"user_id": 1, "age": 1, "name": "ann"}], NOW)
    for _ in range(2):
        both.ours.apply(
            [USER, view("profile", [USER], {"age": Int64, "score": Float64}), view("more", [USER], {"x": Int32})]
        )
    with empty_database.connect(autocommit=True) as connection:
        assert columns(connection) == {
            "shop_user": [
                "more__created", "more__event_timestamp", "more__x",
                "profile__age", "profile__created", "profile__event_timestamp", "profile__score", "user_id",
            ]
        }  # fmt: skip
        found = both.ours.get_online_features(["profile:age", "profile:score", "more:x"], [{"user_id": 1}])
        assert found.to_dict() == {"user_id": [1], "age": [1], "score": [None], "x": [None]}
        both.ours.apply([], objects_to_delete=[both.ours.get_feature_view("more")], partial=False)
        assert not [name for name in columns(connection)["shop_user"] if name.startswith("more")]
        both.ours.apply([], objects_to_delete=[both.ours.get_feature_view("profile")], partial=False)
        assert columns(connection) == {}


def test_two_projects_share_a_schema_and_keep_apart(both: Both, empty_database: Database, tmp_path: Path) -> None:
    definitions = [USER, view("profile", [USER], {"age": Int64})]
    other = store(empty_database, tmp_path / "other", OURS, project="other")
    for one in (both.ours, other):
        one.apply(definitions)
        write(one, "profile", [{"user_id": 1, "age": 1 if one is other else 2}], NOW)
    other.teardown()
    with empty_database.connect(autocommit=True) as connection:
        assert list(columns(connection)) == ["shop_user"]
        assert both.ours.get_online_features(["profile:age"], [{"user_id": 1}]).to_dict()["age"] == [2]
        taken = store(empty_database, tmp_path / "taken", OURS, project="taken")
        connection.execute("create table ours.taken_user (user_id bigint)")
        with pytest.raises(Exception, match="is not of the project 'taken'"):
            taken.apply(definitions)
    close(taken)
    close(other)


def test_long_names_are_shortened_and_stay_apart(both: Both) -> None:
    features = {f"{'a_very_long_feature_name_' * 3}{n}": Int64 for n in range(2)}
    both.apply(USER, view("profile_" * 5, [USER], features))
    both.write("profile_" * 5, [{"user_id": 1, **{name: n for n, name in enumerate(features)}}], NOW)
    assert_same(*both.answers([f"{'profile_' * 5}:{name}" for name in features], [{"user_id": 1}]))


def test_each_version_of_a_view_keeps_its_values(empty_database: Database, tmp_path: Path) -> None:
    ours = store(empty_database, tmp_path, OURS, versions=True)
    for version, features in enumerate([{"age": Int64}, {"age": Int64, "name": String}]):
        ours.apply([USER, view("profile", [USER], features)])
        write(ours, "profile", [{"user_id": 1, "age": version, "name": "ann"}], NOW)
    asked = ["profile@v0:age", "profile@v1:age", "profile@v1:name"]
    found = ours.get_online_features(asked, [{"user_id": 1}], full_feature_names=True).to_dict()
    assert found == {"user_id": [1], "profile@v0__age": [0], "profile@v1__age": [1], "profile@v1__name": ["ann"]}
    close(ours)


def test_a_table_of_somebody_else_is_served_as_it_is(empty_database: Database, tmp_path: Path) -> None:
    with empty_database.connect(autocommit=True) as connection:
        connection.execute("create schema live")
        connection.execute(
            "create table live.users (id bigint primary key, seen timestamptz, n int, likes jsonb, at date)"
        )
        connection.execute("""insert into live.users values (1, '2026-03-01 12:00Z', 3, '{"a": 1.5}', '2026-01-02')""")
        tables = {
            "profile": {
                "table": "live.users",
                "event_timestamp": "seen",
                "keys": {"user_id": "id"},
                "columns": {"n_events": "n", "day": "extract(day from at)"},
            }
        }
        ours = store(empty_database, tmp_path, OURS, tables=tables)
        profile = view("profile", [USER], {"n_events": Int64, "likes": Map, "day": Float64})
        ours.apply([USER, profile])
        asked = ["profile:n_events", "profile:likes", "profile:day"]
        found = ours.get_online_features(asked, [{"user_id": 1}, {"user_id": 2}])
        assert found.to_dict() == {
            "user_id": [1, 2], "n_events": [3, None], "likes": [{"a": 1.5}, None], "day": [2.0, None]
        }  # fmt: skip
        assert vectors(found)["likes"].values[0].map_val.val["a"].double_val == 1.5
        connection.execute("update live.users set n = 4")
        assert ours.get_online_features(asked[:1], [{"user_id": 1}]).to_dict()["n_events"] == [4]
        with pytest.raises(ReadOnlyView, match=r"served from live\.users"):
            write(ours, "profile", [{"user_id": 1, "n_events": 1}], NOW)
        ours.teardown()
        assert connection.execute("select count(*) from live.users").fetchone() == (1,)


def columns(connection: psycopg.Connection[Any]) -> dict[str, list[str]]:
    """Return the columns of our tables."""
    found = connection.execute(
        "select table_name, array_agg(column_name::text order by column_name)"
        " from information_schema.columns where table_schema = 'ours' group by 1"
    ).fetchall()
    return dict(found)
