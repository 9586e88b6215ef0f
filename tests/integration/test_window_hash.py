"""A window has a name for what it holds, the same in every session."""

from __future__ import annotations

import os
from hashlib import sha256

import psycopg

from tests.support.activity import insert, make_window, some_events
from tests.support.learning import one
from tests.support.processes import tidegate
from tidegate.postgres import Database

HASH = "select learning.window_hash(1)"


def test_it_is_taken_when_features_are_made_and_any_session_finds_the_same(
    connection: psycopg.Connection, database: Database
) -> None:
    insert(connection, some_events(seed=1, n=60))
    make_window(connection)
    kept = one(connection, "select content_hash from learning.windows")
    with database.connect(autocommit=True) as other:
        for setting in ("timezone = 'Asia/Kathmandu'", "datestyle = 'German'", "extra_float_digits = -15"):
            other.execute(f"set {setting}".encode())
        assert one(other, HASH) == kept == one(connection, HASH)


def test_it_is_the_hash_of_the_hashes_of_its_events(connection: psycopg.Connection) -> None:
    connection.execute(
        "insert into ingest.behaviour_events (user_id, item_id, event_type, value, occurred_at, context, client_key)"
        """ values ('a', 'tea', 'purchase', 0.1, '2026-01-02 03:04:05.678901Z', '{"b": 1}', 'k'),"""
        " ('a', 'tea', 'view', null, '2026-01-02', null, null)"
    )
    make_window(connection)
    ids = [row[0] for row in connection.execute("select event_id from ingest.behaviour_events order by 1")]
    rows = [
        f'({ids[0]},default,a,tea,purchase,0.1,"2026-01-02 03:04:05.678901+00","{{""b"": 1}}",k)',
        f'({ids[1]},default,a,tea,view,,"2026-01-02 00:00:00+00",,)',
    ]
    expected = sha256(b"".join(sha256(row.encode()).digest() for row in rows)).hexdigest()
    assert one(connection, HASH) == expected


def test_it_is_null_where_an_event_is_missing(connection: psycopg.Connection) -> None:
    insert(connection, some_events(seed=2, n=10))
    make_window(connection)
    connection.execute(
        "delete from ingest.behaviour_events where event_id = (select min(lower(ids)) from learning.windows)"
    )
    assert one(connection, HASH) is None


def test_the_command_finds_the_window_that_was_changed(connection: psycopg.Connection, database: Database) -> None:
    for seed in range(3):
        insert(connection, some_events(seed, n=10))
        make_window(connection)
    environment = os.environ | {"TIDEGATE_DATABASE_URL": database.conninfo}
    assert tidegate("windows", "verify", environment=environment).returncode == 0
    connection.execute(
        "update ingest.behaviour_events set item_id = 'other' where event_id ="
        " (select min(lower(ids)) from learning.windows where window_id = 2)"
    )
    connection.execute(
        "delete from ingest.behaviour_events where event_id ="
        " (select min(lower(ids)) from learning.windows where window_id = 3)"
    )
    said = tidegate("windows", "verify", environment=environment)
    assert said.returncode == 1
    assert said.stdout.count("as it was") == 1
    assert said.stdout.count("CHANGED") == 1
    assert "9 of 10 events are left" in said.stdout
    assert tidegate("windows", "verify", "1", environment=environment).returncode == 0
    assert "does not exist" in tidegate("windows", "verify", "99", environment=environment).stderr
