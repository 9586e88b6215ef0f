"""What a run reads of its users through Feast: the served values, within its bounds, in a stream."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pyarrow as pa
import pytest

from tests.support.activity import Event, insert, make_window, some_events
from tests.support.feast import land
from tidegate import feature_store, features, moments
from tidegate.errors import ServiceChanged
from tidegate.families import SEQUENTIAL_RECOMMENDER, Service
from tidegate.features import PROFILE, PROFILED
from tidegate.postgres import Database, is_outage
from workers.profiles import profiled
from workers.reading import Items, ReadHashes, Task, read_task, read_timelines

feast = pytest.importorskip("feast")

Connection = psycopg.Connection[Any]
Served = dict[tuple[str, datetime], features.Features | None]
# What is asked of the SQL that Feast's join is held against: nothing of it is tidegate's own.
HISTORY = "select user_id, event_timestamp, position, {} from features.user_activity_history"
IMPORTING = """
from tidegate import feature_store
from tidegate.postgres import Database
feature_store.open_store(Database("host=nowhere dbname=nothing"))
import feast, typeguard
names = feast.FeatureView.__init__.__code__.co_names
print(any("check_argument" in name for name in names), typeguard.typechecked.__module__.partition(".")[0])
"""
FOLD = "begin isolation level repeatable read; select features.fold(); commit"


def in_order(seed: int, n: int) -> list[Event]:
    """Return events in order of time: what is served while they come is what is known at each moment."""
    return sorted(some_events(seed, n), key=lambda event: event.occurred_at)


def served_meanwhile(database: Database, writer: Connection, events: list[Event]) -> Served:
    """Insert events one by one; return what the online store says of each user just before each moment."""
    served: Served = {}
    for n, event in enumerate(events):
        if (moment := (event.user_id, event.occurred_at)) not in served:
            served[moment] = features.online(database, [event.user_id])["users"][event.user_id]
        insert(writer, [event])
        if n % 7 == 3:  # some are folded by then, and some are not
            writer.execute(FOLD)
    return served


def as_profile(found: features.Features | None, at: datetime) -> list[float]:
    """Return the profile of features at a moment."""
    if found is None:
        return [np.nan] * len(PROFILE)
    row = pa.RecordBatch.from_pylist([{name: found[name] for name in PROFILED}])
    return moments.profile(row, np.array([round(at.timestamp() * 1e6)]))[0].tolist()


def trained(database: Database, connection: Connection, task: Task) -> dict[tuple[str, datetime], list[float]]:
    """Return the profiles of all moments, as a run reads them: of its timelines."""
    hashes = ReadHashes(task.first)
    timelines, _ = read_timelines(connection, task, Items(()).add, hashes)
    found = {}
    for timeline in profiled(database, task, timelines, hashes):
        assert timeline.profiles is not None
        for at, row in zip(np.unique(timeline.times), timeline.profiles, strict=True):
            moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=round(at * 1e6))
            found[timeline.user, moment] = row.tolist()
    return found


def task_of(connection: Connection, position: int) -> Task:
    """Return the task of the window at a position."""
    row = connection.execute("select window_id from learning.windows where position = %s", [position]).fetchone()
    assert row is not None
    return read_task(connection, row[0])


@pytest.mark.parametrize("stores", ["tidegate", "stock"])
def test_training_and_serving_see_the_same_at_the_same_moment(
    store_database: Database, writer: Connection, stores: str, request: pytest.FixtureRequest
) -> None:
    events, served = in_order(31, 90), Served()
    for start in range(0, 90, 30):
        served |= served_meanwhile(store_database, writer, events[start : start + 30])
        position = make_window(writer)
    if stores == "stock":  # what serves is another store then; a run reads as always
        request.getfixturevalue("stock")
    read = trained(store_database, writer, task_of(writer, position))
    assert set(read) == set(served)
    for (user, at), found in served.items():
        assert read[user, at] == pytest.approx(as_profile(found, at), rel=1e-6, abs=1e-6, nan_ok=True), (user, at)
        by_sql = features.as_of(store_database, user, at - timedelta(microseconds=1))
        assert read[user, at] == pytest.approx(as_profile(by_sql, at), rel=1e-6, abs=1e-6, nan_ok=True), (user, at)
    assert sum(found is not None for found in served.values()) > 50, "most moments have a past"


def newest(
    rows: list[tuple[Any, ...]], user: str, at: datetime, last: int, excluded: list[int]
) -> tuple[Any, ...] | None:
    """Return the row that a user's moment may see, the slow way."""
    seen = [r for r in rows if r[0] == user and r[1] < at and r[2] <= last and r[2] not in excluded]
    return max(seen, key=lambda row: (row[1], row[2]), default=None)


def test_a_runs_bounds_hold(store_database: Database, writer: Connection) -> None:
    """Late events are at the newest row's time, so that moments have rows of several positions."""
    events = some_events(22, 160)
    positions = land(writer, [events[n : n + 40] for n in range(0, 160, 40)])
    # Which of them is newer is the position's to say: the time of writing may be any.
    writer.execute("update features.user_activity_history set created_at = now() - position * interval '1 hour'")
    columns = ", ".join(PROFILED[:-1]) + ", extract(epoch from event_timestamp)::float8"
    rows = writer.execute(HISTORY.format(columns).encode()).fetchall()
    asked = [(e.user_id, e.occurred_at + timedelta(microseconds=step)) for e in events for step in (0, 1)]
    asked += [("user-0", datetime(2024, 1, 1, tzinfo=UTC)), ("nobody", datetime(2026, 1, 1, tzinfo=UTC)), *asked[:5]]
    users, times = [user for user, _ in asked], np.array([at.timestamp() for _, at in asked])
    answers = []
    for last, excluded in ((positions[3], []), (positions[2], []), (positions[3], positions[1:3]), (positions[0], [])):
        found = moments.profiles_before(store_database, users, times, last, excluded)
        seen = [newest(rows, user, at, last, excluded) for user, at in asked]
        wanted = [
            as_profile(row and dict(zip(PROFILED, row[3:], strict=True)), at)
            for row, (_, at) in zip(seen, asked, strict=True)
        ]
        np.testing.assert_array_equal(found, np.array(wanted))
        answers.append(found)
    assert not any(np.array_equal(answers[0], other, equal_nan=True) for other in answers[1:]), "the bounds matter"


def test_nothing_asked_is_nothing_found(store_database: Database) -> None:
    assert moments.profiles_before(store_database, [], np.zeros(0)).shape == (0, len(PROFILE))


def test_a_service_that_is_not_what_the_manifest_says_is_refused(store_database: Database, writer: Connection) -> None:
    land(writer, [some_events(3, 20)])
    task = task_of(writer, 1)
    for service in (
        Service("sequential_recommender@v9", SEQUENTIAL_RECOMMENDER.features),
        Service(SEQUENTIAL_RECOMMENDER.name, (*SEQUENTIAL_RECOMMENDER.features, "user_activity:mood")),
        Service(SEQUENTIAL_RECOMMENDER.name, SEQUENTIAL_RECOMMENDER.features[1:]),
    ):
        with pytest.raises(ServiceChanged, match=service.name):
            trained(store_database, writer, replace(task, service=service))


def test_the_answer_is_streamed(store_database: Database, writer: Connection) -> None:
    """Four times as many moments take no more memory at once: neither Arrow's nor Python's."""
    land(writer, [some_events(4, 60)])
    peaks = [peak(store_database, n) for n in (20_000, 20_000, 80_000)]  # the first pays for what is made once
    assert peaks[2] < 1.2 * peaks[1], peaks


def peak(database: Database, n: int) -> int:
    """Return the most bytes that reading `n` moments holds beside the asked rows."""
    users = pa.array(np.arange(n) % 5).cast(pa.string())
    names = pa.compute.binary_join_element_wise("user", users, "-")
    asked = moments.asked_rows(names, np.full(n, 1_800_000_000_000_000), moments.EVERY_POSITION, ())
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    tracemalloc.start()
    for batch in moments.batches(database, SEQUENTIAL_RECOMMENDER, asked, block=1 << 17):
        most = max(most, pa.total_allocated_bytes() - before)
        rows += batch.num_rows
    python = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == n
    return most + python


def test_an_arrow_table_asks_as_a_frame_does_and_takes_what_it_wants(
    store_database: Database, writer: Connection
) -> None:
    events = some_events(5, 80)
    land(writer, [events])
    asked = pd.DataFrame({"user_id": [e.user_id for e in events], "event_timestamp": [e.occurred_at for e in events]})
    table = pa.Table.from_pandas(asked, preserve_index=False)
    for name, value in {"city": ["Ulm"], "tried": [[1, 2]]}.items():  # said once, and once a row
        asked[name] = value * len(events)
        table = table.append_column(name, moments.same(value[0], pa.array(value).type, len(events)))
    wanted = ["spend", "n_view"]
    with feature_store.opened(store_database) as store:
        references = [f"user_activity:{name}" for name in ("n_view", "n_click", "spend")]
        by_frame = store.get_historical_features(entity_df=asked, features=references)
        by_table: Any = store.get_historical_features(entity_df=table, features=references)
        assert by_table.to_arrow().equals(by_frame.to_arrow())
        assert vars(by_table.metadata) == vars(by_frame.metadata)
        parts = list(by_table.to_batches(block=500, columns=wanted))
        assert len(parts) > 1
        assert pa.Table.from_batches(parts).combine_chunks().equals(by_frame.to_arrow().select(wanted))


def test_feasts_connections_are_a_runs(store_database: Database) -> None:
    """A trainer that is frozen holds nothing for ever, wherever it froze."""
    from tidegate.stores.offline.transport import connected

    guarded = store_database.configured(statement_timeout="12345", idle_in_transaction_session_timeout="54321")
    with feature_store.opened(guarded, training=True) as store, connected(store.config.offline_store) as connection:
        shown = [connection.execute(f"show {name}".encode()).fetchone() for name in (
            "statement_timeout", "idle_in_transaction_session_timeout", "timezone")]  # fmt: skip
    assert shown == [("12345ms",), ("54321ms",), ("UTC",)]


def test_a_registry_whose_server_went_away_is_an_outage(store_database: Database) -> None:
    away = Database(store_database.conninfo + " port=1")
    with pytest.raises(Exception, match=r"PGSQL\.1") as caught:
        moments.profiles_before(away, ["ann"], np.array([1.0]))
    assert is_outage(caught.value)


def test_feast_is_imported_without_the_checks_that_take_most_of_its_import() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTING], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "typeguard"], "nobody else's checks are left out"
