"""Several streams side by side: each with windows, versions and a live version of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import psycopg
import pytest

from tests.support.activity import make_window
from tests.support.learning import one
from tests.support.windows import claimed, publication, ready_window, state_of
from tidegate import features
from tidegate.gate import Verdict
from tidegate.postgres import Database
from tidegate.versions import Followers, Vectors, publish
from tidegate.windows import fail
from workers import reading

Connection = psycopg.Connection[Any]
EVENTS = (
    "insert into ingest.behaviour_events (stream, user_id, item_id, event_type)"
    " select %s, 'ann', 'tea', 'view' from generate_series(1, %s)"
)
LIVE = (
    "select d.stream, v.number from serving.deployments d join learning.versions v using (version_id)"
    " where d.live_until is null order by 1"
)


@pytest.fixture(autouse=True)
def _streams(connection: Connection) -> None:
    """Make two streams with rules of their own."""
    connection.execute(
        "insert into learning.streams (stream, threshold, max_attempts, on_parked)"
        " values ('news', 700, 5, 'continue'), ('shop', 600, 1, 'stop')"
    )


def train(connection: Connection, stream: str) -> int:
    """Publish a version of a stream's next window, live at once; return the window."""
    run = claimed(connection, stream)
    made = publication(run, f"weights of {stream} {run.window_id}".encode(), stream)
    vectors = Vectors(("tea",), np.ones((1, 2)))
    promoted = Verdict("promote", "a test")
    publish(connection, replace(made, verdict=promoted, items=vectors, followers=Followers.unknown(1)))
    return run.window_id


def test_one_statement_of_two_streams_nudges_each_by_its_own_threshold(connection: Connection) -> None:
    connection.execute(
        "insert into ingest.behaviour_events (stream, user_id, item_id, event_type)"
        " select s, 'ann', 'tea', 'view' from unnest(array['news', 'shop']) s, generate_series(1, 650)"
    )
    nudged = connection.execute("select message #>> '{headers,kwargsrepr}' from pgmq.q_features").fetchall()
    assert [("shop" in text, "news" in text) for (text,) in nudged] == [(True, False)]


def test_a_held_stream_gets_no_cut_task(connection: Connection) -> None:
    ready_window(connection, "shop")
    before = one(connection, "select count(*) from pgmq.q_features")
    connection.execute("update learning.streams set min_interval = '1 hour' where stream = 'shop'")
    for stream, tasks in (("shop", 0), ("news", 1)):
        connection.execute(EVENTS, [stream, 1_200])
        assert one(connection, "select count(*) from pgmq.q_features") == before + tasks


def test_each_stream_trains_its_own_windows_in_its_own_order(connection: Connection) -> None:
    windows = {stream: [ready_window(connection, stream) for _ in range(2)] for stream in ("news", "shop")}
    assert [train(connection, stream) for stream in ("shop", "news", "news", "shop")] == [
        windows["shop"][0],
        windows["news"][0],
        windows["news"][1],
        windows["shop"][1],
    ]
    assert connection.execute(LIVE).fetchall() == [("news", 2), ("shop", 2)]


def test_a_run_continues_from_its_own_streams_version_and_reads_its_own_events(connection: Connection) -> None:
    ready_window(connection, "shop")
    train(connection, "shop")
    news = ready_window(connection, "news")
    task = reading.read_task(connection, news)
    assert (task.parent_id, task.first) == (None, 1)
    found, times = reading.read_timelines(connection, task, reading.Items(()).add, reading.ReadHashes(task.first))
    assert (len(times), [len(timeline) for timeline in found]) == (1, [1])


def test_a_parked_window_stops_its_own_stream_only(connection: Connection) -> None:
    windows = {stream: [ready_window(connection, stream) for _ in range(2)] for stream in ("news", "shop")}
    assert fail(connection, claimed(connection, "shop"), "an error") == "parked"
    assert fail(connection, claimed(connection, "news"), "an error") == "failed"
    assert connection.execute("select * from learning.claim_window('shop', 'w', '1 minute')").fetchall() == []
    assert train(connection, "news") == windows["news"][0]
    assert state_of(connection, windows["shop"][1]) == "ready"


@pytest.mark.timeout(180)
def test_values_of_both_streams_go_online_and_the_newest_stays(database: Database, connection: Connection) -> None:
    # A user is one person in all streams: what is online counts the events of both.
    features.apply_definitions(database)
    positions = []
    for stream, n in (("shop", 2), ("news", 3)):
        connection.execute(EVENTS, [stream, n])
        positions.append(make_window(connection, stream))
    for position in reversed(positions):
        features.materialise_window_online(database, position)
    found = features.online(database, users=["ann"])["users"]["ann"]
    assert found is not None
    assert found["n_view"] == 5
