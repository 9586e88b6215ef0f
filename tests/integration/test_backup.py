"""A dump of everything, restored into a fresh cluster, goes on where it was taken; what is less than that does not."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.activity import fold
from tests.support.days import add_day, write
from tests.support.learning import add_items, deploy_version, one
from tests.support.processes import tidegate
from tidegate import backup, lifetime, migrate
from tidegate.doctor import check_trigger
from tidegate.errors import DatabaseError
from tidegate.postgres import Database, EmbeddedServer
from tidegate.postgres.binaries import client_program
from tidegate.postgres.profiles import TEST
from tidegate.postgres.variables import libpq_variables

Connection = psycopg.Connection[Any]
EVENT = "insert into ingest.behaviour_events (stream, user_id, item_id, event_type) values ('busy', 'u', 'i', 'view')"
READINGS = (
    "select w.window_id, array_agg(e::text order by e.event_id)"
    " from learning.windows w, learning.read_window(w.window_id) e where w.stream <> 'busy' group by w.window_id"
)
OWNED = (
    "select (select count(*) from ingest.behaviour_events),"
    " (select count(distinct e.event_id) from learning.windows w, learning.read_window(w.window_id) e),"
    " (select count(*) from learning.windows w, learning.read_window(w.window_id) e),"
    " (select coalesce(sum(n), 0) from ingest.batches)"
)
COUNTS = "select sum(n_events) from features.user_activity"
QUEUED = "select queue_name, message ->> 'body' from pgmq.q_{0}, pgmq.meta where queue_name = '{0}' order by msg_id"
ENABLED = "select tgenabled from pg_trigger where tgname = 'receive_events' and not tgisinternal"
# What numbers things, and the largest number that it has given out.
NUMBERS = {
    "learning.fencing_tokens": "select max(token) from learning.runs",
    "ingest.behaviour_events.event_id": "select max(event_id) from ingest.behaviour_events",
    "learning.windows.window_id": "select max(window_id) from learning.windows",
    "learning.versions.version_id": "select max(version_id) from learning.versions",
    "pgmq.q_features.msg_id": "select max(msg_id) from pgmq.q_features",
}


@pytest.fixture
def lived(connection: Connection) -> Connection:
    """A database that has seen something of everything."""
    connection.execute("insert into learning.streams (stream, keep_events) values ('shop', true), ('busy', false)")
    lifetime.set_lifetime(connection, keep_events="10d")
    add_items(connection, "tea", "milk")
    deploy_version(connection, {"tea": [1.0, 0.0], "milk": [0.0, 1.0]})
    old = add_day(connection, 20)
    for stream in ("shop", "default", "shop"):
        write(connection, 20, 30, stream)
    fold(connection)
    cut(connection, "shop", "trained")
    cut(connection, "default", "skipped")
    assert lifetime.apply(connection).dropped == [old]
    for state in ("cut", "ready", "parked"):
        write(connection, 1, 10)
        write(connection, 0, 10, "shop")
        cut(connection, "shop", state)
    connection.execute("select run_id from learning.claim_window('shop', 'w', '1 hour')")
    connection.execute(
        "insert into ingest.behaviour_events (user_id, item_id, event_type) values (null, 'i', 'view')"
    )  # to quarantine
    return connection


def cut(connection: Connection, stream: str, state: str) -> None:
    """Cut what a stream has and bring the window into a state."""
    window = one(connection, "select learning.cut_window(%s, null, true)", (stream,))
    if state != "cut":
        connection.execute("select features.materialise_window(%s)", (window,))
    finished = {"trained": ("trained", None), "parked": ("parked", "r"), "skipped": ("skipped", "r")}.get(state)
    if state == "skipped":
        connection.execute(
            "update learning.windows set state = 'parked', reason = 'r', finished_at = now() where window_id = %s",
            (window,),
        )
    if finished:
        connection.execute(
            "update learning.windows set state = %s, reason = %s, finished_at = now() where window_id = %s",
            (*finished, window),
        )


@pytest.fixture
def elsewhere(bare_home: Path) -> Iterator[Database]:
    """An empty database in a fresh cluster."""
    server = EmbeddedServer(bare_home, TEST)
    database = Database(server.join(), server)
    yield database
    database.close()


def test_a_restored_database_goes_on_where_the_dump_was_taken(
    database: Database, lived: Connection, elsewhere: Database, tmp_path: Path
) -> None:
    readings = dict(lived.execute(READINGS.encode()).fetchall())
    queued = [lived.execute(QUEUED.format(q).encode()).fetchall() for q in ("features", "gpu")]
    file = tmp_path / "tidegate.dump"
    with busy(database):
        run(database, "dump", str(file))
    run(elsewhere, "restore", str(file))

    with elsewhere.connect(autocommit=True) as restored:
        # All is there, of one moment although a writer was at work.
        assert dict(restored.execute(READINGS.encode()).fetchall()) == readings
        assert [restored.execute(QUEUED.format(q).encode()).fetchall() for q in ("features", "gpu")] == queued
        assert all(queued)
        stored, distinct, windowed, waiting = restored.execute(OWNED.encode()).fetchone()
        dropped = one(restored, "select count(*) from ingest.kept_events")
        assert (distinct, windowed + waiting) == (windowed, stored + dropped)
        assert one(restored, "select count(*) from ingest.batches where stream = 'busy'") > 0
        assert one(restored, "select count(*) from ingest.quarantined_events") == 1
        assert one(restored, ENABLED) == "A"
        assert (
            migrate.current(elsewhere),
            restored.execute("select * from serving.rank('u', 2, 'default')").rowcount,
        ) == (
            migrate.head(),
            2,
        )
        # Numbers go on.
        for number, largest in NUMBERS.items():
            assert next_number(restored, number) > one(restored, largest), number
        # New events get windows together with those that waited, each once; the live features count all.
        write(restored, 0, 40, "busy")
        fold(restored)
        for stream in ("default", "shop", "busy"):
            one(restored, "select learning.cut_window(%s, null, true)", (stream,))
        assert restored.execute(OWNED.encode()).fetchone() == (
            stored + 40,
            windowed + waiting + 40,
            windowed + waiting + 40,
            0,
        )
        assert one(restored, COUNTS) == stored + 40 + 90  # 90 were dropped with their day
        assert dict(restored.execute(READINGS.encode()).fetchall()).items() >= readings.items()


def next_number(connection: Connection, name: str) -> int:
    """Take the next number of a sequence, or of the identity of a column."""
    table, _, column = name.rpartition(".")
    sequence = one(connection, "select pg_get_serial_sequence(%s, %s)", (table, column)) if table.count(".") else name
    return int(one(connection, "select nextval(%s)", (sequence,)))


class busy:  # noqa: N801  # reads as a statement
    """A writer that goes on writing single events until the block ends, and has begun when it begins."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stop = threading.Event()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def _write(self) -> None:
        with self._database.connect(autocommit=True) as writer:
            while not self._stop.is_set():
                writer.execute(EVENT)
                self._begun.set()

    def __enter__(self) -> None:
        self._thread.start()
        assert self._begun.wait(10)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def run(database: Database, *arguments: str) -> None:
    """Run `tidegate database …` on a database; it must succeed."""
    environment = os.environ | {"TIDEGATE_DATABASE_URL": database.conninfo}
    done = tidegate("database", *arguments, environment=environment)
    assert done.returncode == 0, done.stderr


def test_a_dump_is_not_restored_over_a_schema(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "tidegate.dump"
    backup.dump(database, file)
    with pytest.raises(DatabaseError, match="is not empty"):
        backup.restore(database, file)


def copy_events(source: Database, target: Database, file: Path, *options: str, root: bool = True) -> None:
    """Copy the events alone into a schema that is there already, which is what one must not do."""
    way = ["--load-via-partition-root"] if root else []
    for program, database, arguments in (
        ("pg_dump", source, ["--table=ingest.behaviour_events*", "--data-only", "-Fc", f"--file={file}", *way]),
        ("pg_restore", target, ["--data-only", *options, f"--dbname={target.parameters['dbname']}", str(file)]),
    ):
        environment = os.environ | libpq_variables(database)
        done = subprocess.run([client_program(program), *arguments], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def migrated(elsewhere: Database) -> Database:
    """A fresh cluster with the schema and no events."""
    migrate.upgrade(elsewhere)
    return elsewhere


WAITING = "select coalesce(sum(n), 0) from ingest.batches"


def test_the_trap_of_events_alone(
    database: Database, connection: Connection, migrated: Database, tmp_path: Path
) -> None:
    write(connection, 0, 20)
    with migrated.connect(autocommit=True) as restored:
        # Straight into the partitions, as pg_restore does by itself: no window will ever own them.
        copy_events(database, migrated, tmp_path / "straight", root=False)
        assert one(restored, "select count(*) from ingest.behaviour_events") == 20
        assert one(restored, WAITING) == 0
        restored.execute("truncate ingest.behaviour_events")
        # Through the table: each is counted again, and --disable-triggers means the partitions' own.
        copy_events(database, migrated, tmp_path / "root", "--disable-triggers")
        assert one(restored, WAITING) == 20


def test_the_way_out_is_to_switch_the_trigger_off_and_always_on_again(
    database: Database, connection: Connection, migrated: Database, tmp_path: Path
) -> None:
    write(connection, 0, 20)
    with migrated.connect(autocommit=True) as restored:
        restored.execute("alter table ingest.behaviour_events disable trigger receive_events")
        assert "off" in check_trigger(restored).says
        copy_events(database, migrated, tmp_path / "data")
        assert one(restored, WAITING) == 0
        restored.execute("alter table ingest.behaviour_events enable trigger receive_events")
        assert "enable always" in check_trigger(restored).mend
        restored.execute("alter table ingest.behaviour_events enable always trigger receive_events")
        assert check_trigger(restored).state == "ok"
        write(restored, 0, 5)
        assert one(restored, WAITING) == 5
