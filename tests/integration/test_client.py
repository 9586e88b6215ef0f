"""tidegate.Client: one line to record, one to ask."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from typing import Any

import psycopg
import pytest

import tidegate
from tests.support.learning import add_items, deploy_version, one
from tidegate.errors import BadRequest, DatabaseUnavailable, UnknownStream
from tidegate.postgres import Database

TEA = {"user_id": "a", "item_id": "tea", "event_type": "purchase", "value": 4.5}


@pytest.fixture
def client(database: Database) -> Iterator[tidegate.Client]:
    with tidegate.Client(database.conninfo) as made:
        yield made


def test_one_event_or_many_are_recorded(client: tidegate.Client, connection: psycopg.Connection[Any]) -> None:
    assert client.record(TEA).accepted == 1
    assert client.record([TEA, TEA]).accepted == 2
    assert client.record([]).accepted == 0
    assert one(connection, "select sum(n) from ingest.batches") == 3


def test_quarantined_events_come_back_with_place_and_reason(client: tidegate.Client) -> None:
    given = [TEA, TEA | {"value": "dear"}, TEA | {"event_type": "buy"}, TEA, TEA | {"occurred_at": "soon"}]
    receipt = client.record(given)
    assert receipt.accepted == 2
    assert [(event.place, event.reason.split()[0]) for event in receipt.quarantined] == [
        (1, "value"),
        (2, "event_type"),
        (4, "occurred_at"),
    ]
    assert [event.event for event in receipt.quarantined] == [given[1], given[2], given[4]]


def test_two_writers_hear_of_their_own_quarantined_events_only(client: tidegate.Client) -> None:
    found: dict[str, set[str]] = {}

    def write(name: str) -> None:
        found[name] = {
            event.event["user_id"]
            for _ in range(20)
            for event in client.record([TEA | {"user_id": name, "event_type": "buy"}]).quarantined
        }

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {name: {name} for name in "abcd"}


def test_a_batch_key_counts_once_and_a_bad_one_writes_nothing(
    client: tidegate.Client, connection: psycopg.Connection[Any]
) -> None:
    assert client.record([TEA, TEA], batch_key="k").accepted == 2
    again = client.record([TEA, TEA], batch_key="k")
    assert (again.accepted, again.repeated) == (0, 2)
    with pytest.raises(BadRequest, match="1 to 256"):
        client.record(TEA, batch_key="")
    assert one(connection, "select sum(n) from ingest.batches") == 2


def test_with_a_batch_key_a_commit_whose_answer_is_lost_is_repeated_and_counts_once(
    client: tidegate.Client, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection dies after the server has committed and before the client hears of it."""
    commit = psycopg.Connection.commit
    lost: list[bool] = []

    def commit_and_lose(own: psycopg.Connection[Any]) -> None:
        commit(own)
        if not lost:
            lost.append(True)
            raise psycopg.OperationalError("the server closed the connection")

    monkeypatch.setattr(psycopg.Connection, "commit", commit_and_lose)
    receipt = client.record([TEA, TEA], batch_key="k")
    assert lost == [True]
    assert receipt.accepted + receipt.repeated == 2
    assert one(connection, "select sum(n) from ingest.batches") == 2


@pytest.mark.parametrize("event", [{"user": "a"}, TEA | {"when": 1}, "tea", None])
def test_what_is_no_event_is_refused_and_nothing_is_written(
    client: tidegate.Client, connection: psycopg.Connection[Any], event: Any
) -> None:
    with pytest.raises(BadRequest, match="user_id, item_id"):
        client.record([TEA, event])
    assert one(connection, "select count(*) from ingest.behaviour_events") == 0


def test_a_recommendation_is_frozen_and_says_where_it_comes_from(
    client: tidegate.Client, connection: psycopg.Connection[Any]
) -> None:
    add_items(connection, "tea", "milk")
    version = deploy_version(connection, {"tea": [1.0, 0.0], "milk": [0.0, 1.0]}, {"a": [1.0, 0.0]})
    best, *_ = client.recommend("a", k=2)
    assert (best.place, best.item_id, best.title, best.layer, best.version_id) == (
        1,
        "tea",
        "Tea",
        "personal",
        version,
    )
    with pytest.raises(FrozenInstanceError):
        best.place = 2  # type: ignore[misc]
    assert one(connection, "select source from serving.impressions") == "python"


def test_features_are_fresh_at_commit(client: tidegate.Client) -> None:
    assert client.features("a") == {}
    client.record([TEA, TEA])
    features = client.features("a")
    assert (features["n_purchase"], features["spend"], features["recent_items"]) == (2, 9.0, ["tea", "tea"])


def test_questions_that_cannot_be_answered_say_why(client: tidegate.Client) -> None:
    with pytest.raises(UnknownStream, match="tidegate streams list"):
        client.recommend("a", stream="nope")
    for user, k in (("a", 0), ("a", 10**12), ("", 1), ("a\x00", 1), ("\ud800", 1)):
        with pytest.raises(BadRequest):
            client.recommend(user, k)


def test_the_catalogue_is_merged(client: tidegate.Client, connection: psycopg.Connection[Any]) -> None:
    first = client.put("items", [{"item_id": "tea", "title": "Tea", "price": "4.5"}, {"item_id": "milk"}])
    assert (first.named, first.changed) == (2, 2)
    again = client.put("items", [{"item_id": "tea", "title": "Tea"}, {"item_id": "milk", "available": "no"}])
    assert (again.named, again.changed) == (2, 1)
    assert connection.execute("select item_id, title, price, available from catalogue.items order by 1").fetchall() == [
        ("milk", None, None, False),
        ("tea", "Tea", 4.5, True),
    ]


def test_the_catalogue_adopts_an_item_that_events_made_known(
    client: tidegate.Client, connection: psycopg.Connection[Any]
) -> None:
    connection.execute("insert into catalogue.items (item_id, adopted) values ('tea', true)")
    assert client.put("items", [{"item_id": "tea"}]).changed == 1
    assert one(connection, "select adopted from catalogue.items") is False


def test_items_that_break_a_rule_are_left_out_and_named(client: tidegate.Client) -> None:
    rows: list[dict[str, Any]] = [
        {"item_id": "a", "price": -1},
        {"item_id": ""},
        {"item_id": "b", "attributes": [1]},
    ]
    merged = client.put("items", [*rows, {"item_id": "c"}])
    assert merged.changed == 1
    assert [refused.reason.split()[0] for refused in merged.refused] == ["price", "item_id", "attributes"]


def test_the_pool_survives_that_all_its_connections_are_ended(
    client: tidegate.Client, connection: psycopg.Connection[Any]
) -> None:
    client.record(TEA)
    connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    assert client.record(TEA).accepted == 1
    assert one(connection, "select count(*) from ingest.behaviour_events") == 2


def test_a_connection_that_is_lost_before_the_commit_is_tried_once_more(
    client: tidegate.Client, connection: psycopg.Connection[Any]
) -> None:
    attempts: list[int] = []

    def action(own: psycopg.Connection[Any]) -> int:
        attempts.append(own.info.backend_pid)
        if len(attempts) == 1:
            connection.execute("select pg_terminate_backend(%s)", [own.info.backend_pid])
        return int(own.execute("select 7").fetchone()[0])  # type: ignore[index]

    assert client.run(action) == 7
    assert len(set(attempts)) == 2


def test_without_a_server_the_error_says_what_to_do() -> None:
    with (
        tidegate.Client("host=127.0.0.1 port=1 user=nobody dbname=none", connections=1) as client,
        pytest.raises(DatabaseUnavailable, match="tidegate doctor"),
    ):
        client.record(TEA)
