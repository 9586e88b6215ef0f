"""The whole path on the real processes: rows are inserted with SQL, and everything else happens by itself.

One story in steps, because starting a stack with a real language model takes a minute: its tests share one database.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest

from tests.support.databases import clone, drop
from tests.support.processes import tidegate
from tests.support.waiting import wait_until
from tidegate import feature_store, features
from tidegate.features import apply_definitions
from tidegate.postgres import Database
from tidegate.stack import Stack

pytestmark = pytest.mark.timeout(420)

USERS = 60
FRUITS = ("apple", "pear", "plum", "cherry", "grape", "melon", "fig", "kiwi", "lemon", "lime")
TOOLS = ("hammer", "saw", "drill", "wrench", "chisel", "plane", "file", "clamp", "level", "axe")
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
THRESHOLD = 1500


@pytest.fixture(scope="module")
def story(server: Database, template: Database) -> Iterator[psycopg.Connection[Any]]:
    """A running stack on a database of its own, with a catalogue of two shelves."""
    database = clone(server, "acceptance", template.parameters["dbname"])
    apply_definitions(database)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
    environment["TIDEGATE_DATABASE_URL"] = database.conninfo
    lines: list[str] = []
    with database.connect(autocommit=True) as connection:
        stock(connection)
        with Stack(("keeper", "features", "gpu"), lambda name, line: lines.append(line), environment) as stack:
            connection.stack = stack  # type: ignore[attr-defined]
            connection.lines = lines  # type: ignore[attr-defined]
            yield connection
    drop(server, database)


def stock(connection: psycopg.Connection[Any]) -> None:
    """Fill the catalogue, and have windows cut at THRESHOLD events."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into catalogue.items (item_id, title, category) values (%s, %s, %s)",
            [(name, name, "fruit") for name in FRUITS] + [(name, name, "tool") for name in TOOLS],
        )
    connection.execute("update learning.streams set threshold = %s, settings = %s", (THRESHOLD, '{"first_epochs": 3}'))


def shop(connection: psycopg.Connection[Any], first_day: int, days: int, swapped: bool = False) -> None:
    """Insert some days: half of the users take fruits and half take tools, or the other way round."""
    random = np.random.default_rng(first_day)
    for day in range(first_day, first_day + days):
        rows = []
        for user in range(USERS):
            shelf = FRUITS if (user % 2 == 0) != swapped else TOOLS
            at = START + dt.timedelta(days=day, minutes=user)
            rows += [(f"user-{user}", item, "purchase", 1.0, at) for item in random.choice(shelf, 3, replace=False)]
        with (
            connection.cursor() as cursor,
            cursor.copy(
                "copy ingest.behaviour_events (user_id, item_id, event_type, value, occurred_at) from stdin"
            ) as copy,
        ):
            for row in rows:
                copy.write_row(row)


def versions(connection: psycopg.Connection[Any], at_least: int) -> int:
    """Wait until so many windows were trained, and nothing more is under way; return the live version's number.

    A dead process fails the test.
    """

    def trained() -> bool:
        connection.stack.check()  # type: ignore[attr-defined]
        parked = connection.execute("select reason from learning.windows where state = 'parked'").fetchone()
        assert parked is None, parked
        row = connection.execute(
            "select count(*) filter (where state = 'trained'), bool_and(state = 'trained'),"
            "       (select coalesce(sum(n), 0) from ingest.batches) < %s from learning.windows",
            (THRESHOLD,),
        ).fetchone()
        return row is not None and row[0] >= at_least and row[1] and row[2]

    try:
        wait_until(trained, 240, f"{at_least} trained windows")
    except AssertionError as error:
        raise AssertionError("\n".join(connection.lines[-40:])) from error  # type: ignore[attr-defined]
    row = connection.execute(
        "select v.number from learning.versions v where v.version_id = serving.live_version('default')"
    ).fetchone()
    return 0 if row is None else int(row[0])


def recommended(connection: psycopg.Connection[Any], user: str) -> tuple[list[str], str]:
    """Return the items that a user is recommended, and the layer that answered."""
    rows = connection.execute("select item_id, layer from serving.recommend(%s, 5)", (user,)).fetchall()
    return [item for item, _ in rows], rows[0][1]


def test_1_before_anything_is_trained_popularity_answers(story: psycopg.Connection[Any]) -> None:
    shop(story, first_day=0, days=1)
    assert recommended(story, "user-0")[1] == "popularity"


def test_2_crossing_the_threshold_trains_and_deploys_a_first_version(story: psycopg.Connection[Any]) -> None:
    shop(story, first_day=1, days=10)
    assert versions(story, 1) == 1
    items, layer = recommended(story, "user-0")
    assert layer == "personal"
    assert set(items) <= set(FRUITS)
    assert set(recommended(story, "user-1")[0]) <= set(TOOLS)


def test_3_new_behaviour_changes_what_is_recommended(story: psycopg.Connection[Any]) -> None:
    shop(story, first_day=30, days=40, swapped=True)
    versions(story, 2)
    assert len(set(recommended(story, "user-0")[0]) & set(TOOLS)) >= 3


def test_4_every_event_is_in_exactly_one_window_or_in_the_ledger(story: psycopg.Connection[Any]) -> None:
    row = story.execute(
        "select (select count(*) from ingest.behaviour_events),"
        " (select sum(n) from learning.windows) + (select coalesce(sum(n), 0) from ingest.batches),"
        " (select count(distinct e.event_id) from learning.windows w cross join learning.read_window(w.window_id) e),"
        " (select sum(n) from learning.windows)"
    ).fetchone()
    assert row is not None
    assert row[0] == row[1]
    assert row[2] == row[3]


def test_5_evaluations_manifest_and_hash_are_rows(story: psycopg.Connection[Any]) -> None:
    subjects = {s for (s,) in story.execute("select distinct subject from learning.evaluations").fetchall()}
    assert {"candidate", "popularity", "frequency", "live"} <= subjects
    manifests = story.execute(
        "select manifest, encode(sha256(w.content), 'hex') = w.weights_hash"
        " from learning.versions join learning.weights w using (weights_hash)"
    ).fetchall()
    for manifest, honest in manifests:
        assert {"window_id", "seed", "settings", "encoder", "seconds"} <= set(manifest)
        assert honest


def test_6_feast_serves_what_is_committed(story: psycopg.Connection[Any]) -> None:
    (expected,) = story.execute("select n_events from features.user_features('user-0')").fetchall()
    found = features.online(Database(story.info.dsn), users=["user-0"])["users"]["user-0"]
    feature_store.close()
    assert found is not None
    assert found["n_events"] == expected[0]


def test_7_the_command_line_shows_the_same(story: psycopg.Connection[Any]) -> None:
    environment = os.environ | {"TIDEGATE_DATABASE_URL": story.info.dsn}
    said = tidegate("recommend", "user-0", "-k", "5", "--json", environment=environment)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)
    cold = tidegate("recommend", "nobody-knows-me", environment=environment)
    assert cold.returncode == 0
    assert "cold" in cold.stdout.lower()


def test_8_a_killed_keeper_loses_nothing(story: psycopg.Connection[Any]) -> None:
    keeper = story.stack.services["keeper"]  # type: ignore[attr-defined]
    keeper.process.send_signal(signal.SIGKILL)
    keeper.process.wait()
    shop(story, first_day=80, days=1)
    keeper.start(lambda name, line: None)
    wait_until(
        lambda: story.execute("select not exists (select from features.unfolded_batches)").fetchone()[0],  # type: ignore[index]
        20,
        "everything folded",
    )
    counted = story.execute("select sum(n_events) from features.user_activity").fetchone()
    assert counted == story.execute("select count(*) from ingest.behaviour_events").fetchone()
