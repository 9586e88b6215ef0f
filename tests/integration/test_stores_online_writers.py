"""Writers and readers of the online store at the same time, on the connections that they share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from feast import FeatureStore
from feast.types import Int64

from tests.support.online import ITEM, OURS, USER, close, prepared, store, view, write
from tests.support.waiting import wait_until
from tidegate.postgres import Database

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MANY = 200  # rows: by way of a temporary table


@pytest.fixture
def ours(empty_database: Database, tmp_path: Path) -> Iterator[FeatureStore]:
    made = store(empty_database, tmp_path, OURS, max_conn=4)
    made.apply([USER, ITEM, view("profile", [USER], {"age": Int64}), view("pair", [USER, ITEM], {"n": Int64})])
    yield made
    close(made)


def rows(number: int, age: int, **more: Any) -> list[dict[str, Any]]:
    return [{"user_id": user, "age": age, **more} for user in range(number)]


def ages(one: FeatureStore, number: int) -> set[int]:
    """Return the ages of the first users."""
    found = one.get_online_features(["profile:age"], [{"user_id": user} for user in range(number)])
    return set(found.to_dict()["age"])


async def write_async(one: FeatureStore, number: int, age: int, at: datetime = NOW) -> None:
    await online(one).online_write_batch_async(*prepared(one, "profile", rows(number, age), at), None)


def online(one: FeatureStore) -> Any:
    return one._get_provider().online_store


def in_a_loop(one: FeatureStore, work: Callable[[], Awaitable[Any]]) -> Any:
    """Return what some work in an event loop of its own returns, its connections closed."""

    async def run() -> Any:
        try:
            return await asyncio.wait_for(work(), timeout=30)
        finally:
            await online(one).close()

    return asyncio.run(run())


def waiting(connection: psycopg.Connection[Any]) -> int:
    """Return how many of the others wait for a lock."""
    row = connection.execute("select count(*) from pg_stat_activity where wait_event_type = 'Lock'").fetchone()
    return int(row[0]) if row else 0


@pytest.mark.parametrize("number", [3, MANY])
def test_an_asynchronous_write_that_waits_holds_up_nobody(
    ours: FeatureStore, empty_database: Database, number: int
) -> None:
    write(ours, "profile", rows(number, 1), NOW - timedelta(days=1))
    with empty_database.connect(autocommit=True) as other, empty_database.connect() as holder:

        async def meanwhile() -> int:
            threads = threading.active_count()
            holder.execute("select from ours.shop_user where user_id = 1 for update")
            held = asyncio.create_task(write_async(ours, number, 2))
            while not waiting(other):
                await asyncio.sleep(0)
            found = await ours.get_online_features_async(["profile:age"], [{"user_id": 1}])
            assert (found.to_dict()["age"], held.done()) == ([1], False)
            more = threading.active_count() - threads
            holder.rollback()
            await held
            return more

        assert in_a_loop(ours, meanwhile) == 0
    assert ages(ours, number) == {2}


def test_asynchronous_writes_of_the_same_rows_keep_the_newest(ours: FeatureStore) -> None:
    async def all_at_once() -> None:
        moments = [7, 3, 11, 5, 2, 10, 1, 8]
        await asyncio.gather(*(write_async(ours, MANY, n, NOW + timedelta(seconds=n)) for n in moments))

    in_a_loop(ours, all_at_once)
    assert ages(ours, MANY) == {11}


@pytest.mark.parametrize("number", [15, MANY])
def test_two_writers_of_the_same_rows_in_opposite_order_both_end_and_the_newest_stays(
    ours: FeatureStore, number: int
) -> None:
    rounds, ready = 10, threading.Barrier(2)
    failed: list[BaseException] = []

    def write_all(backwards: bool) -> None:
        try:
            for turn in range(rounds):
                at = NOW + timedelta(seconds=2 * turn + backwards)
                batch = rows(number, 2 * turn + backwards)
                ready.wait(30)
                write(ours, "profile", batch[::-1] if backwards else batch, at)
        except BaseException as error:
            failed.append(error)
            ready.abort()

    writers = [threading.Thread(target=write_all, args=(backwards,)) for backwards in (False, True)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failed == []
    assert ages(ours, number) == {2 * rounds - 1}


def test_a_cancelled_read_gives_its_connection_back(ours: FeatureStore, empty_database: Database) -> None:
    write(ours, "profile", rows(1, 5), NOW)
    with empty_database.connect(autocommit=True) as other, empty_database.connect() as holder:

        async def cancel_many() -> Any:
            asked = (["profile:age"], [{"user_id": 0}])
            await online(ours).initialize(ours.config)
            for _ in range(6):  # more than there are connections
                holder.execute("lock table ours.shop_user")
                reading = asyncio.create_task(ours.get_online_features_async(*asked))
                while not waiting(other):
                    await asyncio.sleep(0)
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
                holder.rollback()
            return (await ours.get_online_features_async(*asked)).to_dict()["age"]

        assert in_a_loop(ours, cancel_many) == [5]
        wait_until(lambda: waiting(other) == 0, what="the cancelled reads to be gone from the server")


def test_asynchronous_work_survives_terminated_backends(ours: FeatureStore, empty_database: Database) -> None:
    async def survive() -> Any:
        await write_async(ours, MANY, 1)
        with empty_database.connect(autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        await write_async(ours, MANY, 2)
        return (await ours.get_online_features_async(["profile:age"], [{"user_id": 0}])).to_dict()["age"]

    assert in_a_loop(ours, survive) == [2]


def test_a_write_that_fails_half_way_leaves_nothing_behind(ours: FeatureStore) -> None:
    config, kept, data = prepared(ours, "profile", rows(MANY, 1), NOW)
    data[-1] = (data[-1][0], data[-1][1], "no time", None)
    for _ in range(6):  # more than there are connections
        with pytest.raises(AttributeError):
            online(ours).online_write_batch(config, kept, data, None)
    assert ages(ours, MANY) == {None}


def test_ten_thousand_keys_are_answered_at_once_in_the_order_of_asking(ours: FeatureStore) -> None:
    asked = [{"user_id": n * 7 % 5_000, "item_id": f"i{n % 3}"} for n in range(10_000)]
    write(ours, "profile", [{"user_id": n, "age": n} for n in range(5_000)], NOW)
    write(ours, "pair", [{"user_id": n, "item_id": "i1", "n": -n} for n in range(5_000)], NOW)
    found = ours.get_online_features(["profile:age", "pair:n"], asked).to_dict()
    assert found["age"] == [row["user_id"] for row in asked]
    assert found["n"] == [-row["user_id"] if row["item_id"] == "i1" else None for row in asked]
