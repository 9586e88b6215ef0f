"""No committed event is ever in no window or in two.

Writers of every kind on three streams, with cutters, sweeps and folders beside them, on a server that is
killed in the middle; and then a count. Each event carries a key of its own, so that the answer is a
comparison of two lists. The long form is ten such runs of 80 thousand events: `make test-long`.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator

import psycopg
import pytest

from tests.conftest import open_folder
from tests.support.chaos import Aftermath, Chaos, one
from tests.support.databases import clone, drop
from tidegate import migrate
from tidegate.postgres import Database, EmbeddedServer
from tidegate.postgres.profiles import TEST

# A killed process loses what it had not written, and the machine itself stays up: the log need not reach the disk,
# but a commit must wait until it is written. The log writer is slow, so that a commit that does not wait is lost.
DURABLE = {**TEST, "synchronous_commit": "on", "wal_writer_delay": "10s", "autovacuum_naptime": "1s"}
SEEDS = range(1, 11)
EVENT = "insert into ingest.behaviour_events (user_id, item_id, event_type) values ('a', 'b', 'view')"


@pytest.fixture(scope="module")
def mortal() -> Iterator[EmbeddedServer]:
    """A server that may be killed, with a template database."""
    home = open_folder()
    server = EmbeddedServer(home, DURABLE)
    database = Database(server.join(), server)
    migrate.upgrade(clone(database, "template_mortal", "template0"))
    yield server
    database.close()
    EmbeddedServer(home).stop(force=True)
    shutil.rmtree((home / "postgres").resolve(), ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)


def wreak(server: EmbeddedServer, seed: int, events: int) -> Aftermath:
    """Run one chaos in a database of its own."""
    main = Database(server.join(), server)
    database = clone(main, f"chaos_{seed}", "template_mortal")
    aftermath = Chaos(database, seed, events, server).run()
    drop(main, database)
    print(aftermath)  # noqa: T201  # what the long runs show with `pytest -s`
    return aftermath


def check(aftermath: Aftermath) -> None:
    """Assert all that exactly once means."""
    about = str(aftermath)
    # Everything that was committed is in one window or in quarantine, once; nothing that was aborted is anywhere.
    assert aftermath.halved == [], about
    assert Counter(aftermath.stored) == aftermath.expected("valid"), about
    assert Counter(aftermath.windowed) == aftermath.expected("valid"), about
    assert Counter(aftermath.quarantined) == aftermath.expected("flawed"), about
    assert (aftermath.claimed, aftermath.left) == (len(aftermath.stored), 0), about
    # A window that was handed out is there for ever, and reads the same each time.
    assert aftermath.seen.handed_out <= set(aftermath.last_readings), about
    assert aftermath.seen.changed == [], about
    assert {w: aftermath.last_readings[w] for w in aftermath.seen.readings} == aftermath.seen.readings, about
    # Live features count each event once.
    for counted, folded in (aftermath.users, aftermath.items):
        assert sorted(folded) == sorted(counted), about
    # It happened at all.
    assert (aftermath.seen.crashes, bool(aftermath.quarantined)) == (3, True), about
    assert len(aftermath.last_readings) > 5, about
    assert (aftermath.seen.repeated > 0, aftermath.seen.kept > 0) == (True, True), about


@pytest.mark.timeout(120)
def test_every_committed_event_is_in_exactly_one_window(mortal: EmbeddedServer) -> None:
    check(wreak(mortal, random.SystemRandom().randrange(1000, 10**6), events=8_000))


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_one_of_80_thousand_events_is_in_exactly_one_window(mortal: EmbeddedServer, seed: int) -> None:
    check(wreak(mortal, seed, events=80_000))


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_writers_that_cross_the_threshold_do_not_wait_for_each_other(database: Database, isolation: str) -> None:
    rows = "select 'u', 'i', 'view' from generate_series(1, 600)"
    crossing = f"insert into ingest.behaviour_events (user_id, item_id, event_type) {rows}".encode()
    with database.connect() as slow, database.connect() as quick:
        slow.execute("update learning.streams set threshold = 1")
        slow.commit()
        quick.execute(f"set transaction isolation level {isolation}".encode())
        quick.execute("set local lock_timeout = '1s'")
        one(quick, "select count(*) from learning.windows")
        slow.execute(crossing)
        quick.execute(crossing)
        quick.commit()
        slow.commit()
        assert one(slow, "select count(*) from pgmq.q_features") == 2


def test_a_window_that_was_cut_survives_a_crash_of_writers_that_did_not_wait(mortal: EmbeddedServer) -> None:
    main = Database(mortal.join(), mortal)
    database = clone(main, "lazy", "template_mortal")
    chaos = Chaos(database, seed=1, events=0, server=mortal)
    with chaos.connect() as connection:
        connection.execute("set synchronous_commit = off")
        connection.execute(EVENT)
        window = one(connection, "select learning.cut_window('default', null, true)")
        chaos.kill_server()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    with chaos.connect() as connection:
        assert one(connection, "select count(*) from learning.read_window(%s)", (window,)) == 1
    drop(main, database)
