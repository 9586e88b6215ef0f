"""Our online store beside Feast's own on PostgreSQL: the same answers, and better ones where stock is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from feast.types import Array, Float32, Float64, Int32, Int64, String

from tests.support.online import ITEM, OURS, STOCK, USER, Both, store, view
from tidegate.postgres import Database

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


def vectors(answer: Any) -> dict[str, Any]:
    """Return a proto's vectors by name: Feast's order of features differs between processes."""
    return dict(zip(answer.proto.metadata.feature_names.val, answer.proto.results, strict=True))


def assert_same(stock: Any, ours: Any) -> None:
    assert ours.to_dict(include_event_timestamps=True) == stock.to_dict(include_event_timestamps=True)
    assert vectors(ours) == vectors(stock)


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
