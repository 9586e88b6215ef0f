"""The commands that an operator works with."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.support.activity import Event, insert, make_window
from tests.support.learning import add_items, deploy_version, one
from tests.support.processes import Command, tidegate

EVENT = "insert into ingest.behaviour_events (user_id, item_id, event_type) values (%s, %s, %s)"
VECTORS = {"tea": [1.0, 0.0], "milk": [0.0, 1.0]}


def test_recommend_shows_item_why_version_and_freshness(run: Command, connection: psycopg.Connection[Any]) -> None:
    add_items(connection, *VECTORS)
    deploy_version(connection, VECTORS, {"a": [1.0, 0.0]})
    connection.execute(EVENT, ["a", "tea", "view"])
    shown = run("recommend", "a", "-k", "1")
    for fact in ("Tea", "close to what you choose", "personal", "version 1", "counted at its commit"):
        assert fact in shown
    assert "Milk" not in shown
    found = json.loads(run("recommend", "a", "--json"))
    assert [item["item_id"] for item in found["items"]] == ["tea", "milk"]
    assert one(connection, "select distinct source from serving.impressions") == "cli"


def test_recommend_says_that_an_unknown_user_gets_a_cold_start(
    run: Command, connection: psycopg.Connection[Any]
) -> None:
    assert "nothing to recommend" in run("recommend", "nobody")
    add_items(connection, *VECTORS)
    assert "nothing is live yet" in run("recommend", "nobody")
    deploy_version(connection, VECTORS)
    shown = run("recommend", "nobody")
    assert "cold start" in shown
    assert "unknown user" in shown


def test_features_are_shown_now_and_as_they_were(
    run: Command, refuse: Command, connection: psycopg.Connection[Any]
) -> None:
    start = datetime(2025, 3, 1, tzinfo=UTC)
    insert(connection, [Event("ann", "tea", "purchase", 2.5, start + timedelta(days=day)) for day in range(3)])
    make_window(connection)
    insert(connection, [Event("ann", "tea", "view", None, start + timedelta(days=9))])

    assert json.loads(run("features", "ann", "--json"))["features"]["n_events"] == 4
    then = json.loads(run("features", "ann", "--at", "2025-03-02", "--json"))["features"]
    assert (then["n_purchase"], then["spend"], then["event_at"]) == (2, 5.0, (start + timedelta(days=1)).timestamp())
    assert "ann as of 2025-03-02T00:00:00+00:00" in run("features", "ann", "--at", "2025-03-02T00:00:00Z")
    assert "Nothing is known of ann at 2025-02-28" in run("features", "ann", "--at", "2025-02-28")
    assert "--at must be ISO 8601" in refuse("features", "ann", "--at", "yesterday")


def test_status_shows_streams_quarantine_and_what_is_live(run: Command, connection: psycopg.Connection[Any]) -> None:
    deploy_version(connection, VECTORS)
    connection.execute(EVENT, ["a", "tea", "buy"])
    connection.execute(EVENT, ["a", "tea", "view"])
    shown = run("status")
    for fact in ("1 / 10,000", "version 1 of 1", "1 events in 1 batches", "event_type must be"):
        assert fact in shown
    [stream] = json.loads(run("status", "--json"))["streams"]
    assert (stream["waiting"], stream["live"]["number"], stream["windows"]) == (1, 1, {"trained": 1})


def test_deploying_shows_a_plan_asks_and_rolls_back(
    run: Command, refuse: Command, environment: dict[str, str], connection: psycopg.Connection[Any]
) -> None:
    first = deploy_version(connection, VECTORS)
    second = deploy_version(connection, VECTORS)
    asked = tidegate("versions", "deploy", str(first), environment=environment, input="n\n")
    assert asked.returncode == 1
    assert "roll back to version 1" in asked.stdout
    live = "select version_id from serving.deployments where live_until is null"
    assert one(connection, live) == second
    run("versions", "deploy", str(first), "--yes", "--reason", "worse clicks")
    assert one(connection, live) == first
    assert "is live already" in refuse("versions", "deploy", str(first), "--yes")
    assert "does not exist" in refuse("versions", "deploy", "77", "--yes")
    assert [version["live"] for version in json.loads(run("versions", "list", "--json"))] == [False, True]
    assert "worse clicks" in run("versions", "show", str(first))


def test_a_version_without_vectors_cannot_go_live(refuse: Command, connection: psycopg.Connection[Any]) -> None:
    deploy_version(connection, VECTORS)
    version = deploy_version(connection, VECTORS)
    connection.execute("select learning.deploy(1, 'back')")
    connection.execute("delete from serving.item_vectors where version_id = %s", [version])
    assert "has no item vectors" in refuse("versions", "deploy", str(version), "--yes")


def test_quarantine_lists_reasons_and_events(run: Command, connection: psycopg.Connection[Any]) -> None:
    assert "Nothing is in quarantine" in run("quarantine", "list")
    connection.execute(EVENT, ["a", "tea", "buy"])
    connection.execute(EVENT, ["", "tea", "view"])
    assert "event_type must be" in run("quarantine", "list")
    found = json.loads(run("quarantine", "list", "--reason", "user_id", "--json"))
    assert len(found["by_reason"]) == 2
    assert [row["event"]["item_id"] for row in found["newest"]] == ["tea"]


@pytest.mark.parametrize(
    "arguments",
    [("status",), ("streams", "list"), ("windows", "list"), ("recommend", "a"), ("quarantine", "list")],
)
def test_without_the_schema_a_command_says_to_migrate(empty_database: Any, arguments: tuple[str, ...]) -> None:
    import os

    done = tidegate(*arguments, environment=os.environ | {"TIDEGATE_DATABASE_URL": empty_database.conninfo})
    assert done.returncode == 1
    assert "tidegate migrate" in done.stderr
    assert "Traceback" not in done.stderr
