"""`tidegate backtest` compares methods on the events of a live database, and changes nothing."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import Any

import psycopg
import pytest

from tests.support.learning import one
from tests.support.processes import tidegate
from tidegate.errors import BadRequest
from tidegate.postgres import Database
from workers.backtest import read_log

pytestmark = pytest.mark.timeout(120)  # torch is imported

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
COPY = "copy ingest.behaviour_events (stream, user_id, item_id, event_type, value, occurred_at) from stdin"
USERS, DAYS = 12, 20


@pytest.fixture
def sold(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Everybody buys an own article each day, and one that all buy; another stream has other events."""
    connection.autocommit = True
    connection.execute("insert into learning.streams (stream) values ('other')")
    rows = [
        (stream, f"user-{user}", item, "purchase", 1.5, START + dt.timedelta(days=day, minutes=user))
        for stream, shared in (("default", "bread"), ("other", "salt"))
        for day in range(DAYS if stream == "default" else 1)
        for user in range(USERS)
        for item in (f"own-{user}", shared)
    ]
    with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        for row in rows:
            copy.write_row(row)
    connection.execute(
        "insert into catalogue.items (item_id, title, category, created_at) values"
        " ('bread', 'a loaf', 'food', '2026-03-01'), ('own-1', 'a thing', null, '2025-01-01'),"
        " ('later', 'a novelty', 'food', '2026-01-10')"
        " on conflict (item_id) do update set title = excluded.title, category = excluded.category,"
        " created_at = excluded.created_at"
    )
    return connection


def test_the_log_is_what_the_stream_holds(database: Database, sold: psycopg.Connection[Any]):
    log = read_log(database, "default", text=False)
    assert (len(log), len(log.users)) == (2 * USERS * DAYS, USERS)
    assert "salt" not in log.catalogue.item_ids
    about = {name: (log.about.texts[n], log.about.born[n]) for n, name in enumerate(log.catalogue.item_ids)}
    assert about["bread"] == ("a loaf | food", float("-inf"))  # noted after it was taken: it was there before
    assert about["later"] == ("a novelty | food", dt.datetime(2026, 1, 10, tzinfo=dt.UTC).timestamp())
    assert log.catalogue.item_ids[-1] == "later"
    assert log.repeats
    assert set(log.value.tolist()) == {1.5}


def test_times_bound_what_is_read(database: Database, sold: psycopg.Connection[Any]):
    log = read_log(database, "default", START + dt.timedelta(days=5), START + dt.timedelta(days=15), text=False)
    assert len(log) == 2 * USERS * 10


def test_a_stream_with_too_few_events_is_refused(database: Database, sold: psycopg.Connection[Any]):
    with pytest.raises(BadRequest, match="'other' has 24 events"):
        read_log(database, "other")


def test_the_command_compares_methods_and_says_so_in_json(database: Database, sold: psycopg.Connection[Any]):
    environment = {"TIDEGATE_DATABASE_URL": database.conninfo, "PATH": "/usr/bin:/bin"}
    environment["PYTHONPATH"] = ":".join(sys.path)
    asked = ("backtest", "popularity", "own-frequency", "--no-text", "--windows", "4", "--json")
    said = tidegate(*asked, environment=environment)
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    own, popular = (found["methods"][name]["figures"] for name in ("own-frequency", "popularity"))
    assert own["recall@10"]["mean"] == 1.0  # an own article and the bread: both were taken before
    assert own["ndcg@10"]["mean"] > popular["ndcg@10"]["mean"]
    assert "own-frequency: seed 0" in said.stderr
    assert one(sold, "select count(*) from learning.windows") == 0
    wrong = tidegate("backtest", "nobody", "--no-text", environment=environment)
    assert wrong.returncode == 1
    assert "no method 'nobody'" in wrong.stderr
