"""Clients that write events in every way there is, and know what became of each of them.

A commit has three outcomes, not two: the server said yes, the server said no, or it died before it could
say. What a client may believe of the third is decided by looking at the table afterwards.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.support.waiting import wait_until

STREAMS = ("default", "shop", "news")
COLUMNS = "stream, user_id, item_id, event_type, occurred_at, context"
INSERT = f"insert into ingest.behaviour_events ({COLUMNS}) values (%s, %s, %s, %s, %s, %s)".encode()
INSERT_KEYED = (
    f"insert into ingest.behaviour_events ({COLUMNS}, client_key) values (%s, %s, %s, %s, %s, %s, %s)".encode()
)
INSERT_MANY = (
    f"insert into ingest.behaviour_events ({COLUMNS}) select {COLUMNS} from jsonb_to_recordset(%s)"
    " as r(stream text, user_id text, item_id text, event_type text, occurred_at timestamptz, context jsonb)"
).encode()
BACKFILL = (
    f"insert into ingest.behaviour_events ({COLUMNS}, ingested_at)"
    f" select {COLUMNS}, %s from jsonb_to_recordset(%s)"
    " as r(stream text, user_id text, item_id text, event_type text, occurred_at timestamptz, context jsonb)"
).encode()
OLD_DAYS = 3  # how long ago backfilled events say that they were ingested
COPY = f"copy ingest.behaviour_events ({COLUMNS}) from stdin".encode()
RECOVERY_SECONDS = 60.0

Row = tuple[str, str | None, str, str, str, str]


def key(row: Row) -> str:
    """Return the name that a writer gave its event."""
    return str(json.loads(row[-1])["key"])


def records(rows: list[Row]) -> str:
    """Return rows as a JSON list of objects."""
    names = COLUMNS.split(", ")
    return json.dumps([dict(zip(names, (*row[:-1], json.loads(row[-1])), strict=True)) for row in rows])


def lost(error: psycopg.Error) -> bool:
    """Return whether the connection ended, so that the server's answer is not known."""
    return error.sqlstate is None or error.sqlstate.startswith("57P")


@dataclass
class Journal:
    """What all writers know together."""

    committed: set[str] = field(default_factory=set)
    # Transactions, as lists of keys, of which a crash leaves all or nothing: the answer to COMMIT was lost, or
    # the writer did not wait for the log.
    unsure: list[list[str]] = field(default_factory=list)
    lazy: list[list[str]] = field(default_factory=list)
    retries: int = 0
    events: int = 0
    # Old events come in the beginning and in the end, so that between them their day can be dropped.
    backfills: Callable[[int], bool] = lambda events: True
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def note(self, kind: str, rows: list[Row]) -> None:
        """Remember a transaction as `committed`, `unsure` or `lazy`."""
        keys = [key(row) for row in rows]
        with self._changed:
            self.events += len(keys)
            self.committed.update(keys) if kind == "committed" else getattr(self, kind).append(keys)
            self._changed.notify_all()

    def wait_for(self, events: int, seconds: float) -> bool:
        """Wait until so many events were written in all; return whether they were."""
        with self._changed:
            return self._changed.wait_for(lambda: self.events >= events, seconds)


class Undo(Exception):
    """Raised inside a transaction that its client gives up."""


class Writer:
    """One client with one connection, which it makes anew when the server has been away."""

    def __init__(
        self, name: int, connect: Callable[[], psycopg.Connection[Any]], seed: int, journal: Journal, lazy: bool = False
    ) -> None:
        self.name = name
        self.chance = random.Random(seed)
        self.journal = journal
        self.lazy = lazy  # does not wait for the log: synchronous_commit = off
        self._connect = connect
        self.sent: list[Row] = []  # with client keys, by the transaction before
        self._written = 0
        self.reconnect()

    def reconnect(self) -> None:
        """Connect, waiting for a server that recovers."""
        self.connection = wait_until(lambda: connected(self._connect), RECOVERY_SECONDS, "the server is back")
        if self.lazy:
            self.connection.execute("set synchronous_commit = off")

    def row(self, sound: bool = False) -> Row:
        """Return a new row; about one in twenty has a flaw and says so in its key, unless all shall be `sound`."""
        self._written += 1
        flaw = 1.0 if sound else self.chance.random()
        kind = "stare" if flaw < 0.02 else self.chance.choice(("view", "click", "purchase"))
        stream = "nobody's" if 0.02 <= flaw < 0.035 else self.chance.choice(STREAMS)
        user = None if 0.035 <= flaw < 0.05 else f"user-{self.chance.randint(1, 50)}"
        name = f"{'flawed' if flaw < 0.05 else 'valid'}-{self.name}-{self._written}"
        return (stream, user, f"item-{self.chance.randint(1, 200)}", kind, self.moment(), json.dumps({"key": name}))

    def moment(self) -> str:
        """Return when it happened: mostly now, sometimes long ago."""
        late = self.chance.random() < 0.1
        days = self.chance.random() * 400 if late else 0
        return (dt.datetime.now(dt.UTC) - dt.timedelta(days=days)).isoformat()

    def rows(self, most: int) -> list[Row]:
        """Return 1 to `most` new rows."""
        return [self.row() for _ in range(self.chance.randint(1, most))]

    def insert(self, most: int = 3) -> list[Row]:
        """Insert rows, a statement each."""
        rows = self.rows(most)
        for row in rows:
            self.connection.execute(INSERT, row)
        return rows

    def insert_keyed(self, rows: list[Row]) -> None:
        """Insert rows under their keys, a statement each: a repeat counts no second time."""
        for row in rows:
            self.connection.execute(INSERT_KEYED, (*row, key(row)))

    def insert_many(self, most: int) -> list[Row]:
        """Insert rows by one statement."""
        rows = self.rows(most)
        self.connection.execute(INSERT_MANY, (records(rows),))
        return rows

    def copy(self, most: int) -> list[Row]:
        """Copy rows that mix streams and flaws, in runs and gaps of ids."""
        rows = self.rows(most)
        with self.connection.cursor() as cursor, cursor.copy(COPY) as stream:
            for row in rows:
                stream.write_row(row)
        return rows

    @contextmanager
    def transaction(self, isolation: str = "read committed", repeated: bool = False) -> Iterator[list[Row]]:
        """Open a transaction and note the rows of the yielded list as what their commit made of them.

        An error before COMMIT was sent means that nothing is committed; after it, only the table knows, unless
        the client goes on `repeated`ly until it is told.
        """
        rows: list[Row] = []
        self.connection.execute(f"begin isolation level {isolation}".encode())
        try:
            yield rows
        except Undo:
            roll_back(self.connection)
            return
        with self.settling(rows, repeated):
            self.connection.execute("commit")

    @contextmanager
    def settling(self, rows: list[Row], repeated: bool = False) -> Iterator[None]:
        """Note rows by the outcome of what is inside, which commits them."""
        try:
            yield
        except psycopg.Error as error:
            if lost(error) and not repeated:
                self.journal.note("unsure", rows)
            raise
        self.journal.note("lazy" if self.lazy else "committed", rows)

    def work(self, ways: tuple[Callable[[Writer], None], ...], until: Callable[[], bool]) -> None:
        """Write in random ways until it is enough, as a client that survives the server's deaths."""
        while not until():
            self.once(self.chance.choice(ways))
        self.connection.close()

    def once(self, way: Callable[[Writer], None]) -> None:
        """Write in one way; a serialization failure is tried again, a lost connection is made again."""
        state = self.chance.getstate(), self._written
        try:
            way(self)
        except psycopg.errors.SerializationFailure:
            roll_back(self.connection)
            self.again(way, *state)
        except psycopg.OperationalError as error:
            if not lost(error):
                raise
            self.connection.close()
            self.reconnect()
            if way is client_keys:
                self.again(way, *state)

    def again(self, way: Callable[[Writer], None], chance: Any, written: int) -> None:
        """Write the same rows again, by their old names: counted twice, they would be found twice."""
        self.journal.retries += 1
        self.chance.setstate(chance)
        self._written = written
        self.once(way)


def connected(connect: Callable[[], psycopg.Connection[Any]]) -> psycopg.Connection[Any] | None:
    """Return a connection that answers, or None while there is none."""
    try:
        return connect()
    except (psycopg.OperationalError, ConnectionError):
        return None


def roll_back(connection: psycopg.Connection[Any]) -> None:
    """Roll back; where the server is gone, it has done so."""
    with suppress(psycopg.OperationalError):
        connection.execute("rollback")


def single(writer: Writer) -> None:
    """Commit one row by itself."""
    row = writer.row()
    with writer.settling([row]):
        writer.connection.execute(INSERT, row)


def one_statement_of_many(writer: Writer) -> None:
    """Commit some hundred rows by one INSERT."""
    with writer.transaction() as rows:
        rows.extend(writer.insert_many(300))


def several_statements(writer: Writer) -> None:
    """Commit several statements at once, while others commit between them."""
    with writer.transaction() as rows:
        rows.extend(writer.insert())
        overtaken(writer, by=10)
        rows.extend(writer.insert())


def savepoint(writer: Writer) -> None:
    """Undo the middle of a transaction."""
    with writer.transaction() as rows:
        rows.extend(writer.insert())
        writer.connection.execute("savepoint middle")
        writer.insert_many(20)
        writer.connection.execute("rollback to middle")
        rows.extend(writer.insert())


def released_savepoint(writer: Writer) -> None:
    """Keep one subtransaction and lose another that failed by itself."""
    with writer.transaction() as rows:
        writer.connection.execute("savepoint first")
        rows.extend(writer.insert())
        writer.connection.execute("release first")
        writer.connection.execute("savepoint second")
        writer.insert()
        try:
            writer.connection.execute("select 1 / 0")
        except psycopg.errors.DivisionByZero:
            writer.connection.execute("rollback to second")


def abort(writer: Writer) -> None:
    """Undo everything."""
    with writer.transaction():
        writer.insert()
        overtaken(writer, by=10)
        writer.insert_many(50)
        raise Undo


def copy(writer: Writer) -> None:
    """Commit a COPY."""
    with writer.transaction() as rows:
        rows.extend(writer.copy(900))


def long_transaction(writer: Writer) -> None:
    """Commit long after hundreds of others, windows and all, have overtaken."""
    with writer.transaction() as rows:
        rows.extend(writer.insert())
        overtaken(writer, by=1500)
        rows.extend(writer.insert())


def repeatable_read(writer: Writer) -> None:
    """Commit from a snapshot that is older than other writers' commits and cuts."""
    with writer.transaction("repeatable read") as rows:
        rows.extend(writer.insert())
        overtaken(writer, by=200)
        rows.extend(writer.insert())


def serializable(writer: Writer) -> None:
    """Commit what must fit into one order with everything else, or be told to try again."""
    with writer.transaction("serializable") as rows:
        writer.connection.execute("select count(*) from ingest.batches")
        rows.extend(writer.insert_many(30))
        overtaken(writer, by=50)
        rows.extend(writer.insert())


def client_keys(writer: Writer) -> None:
    """Commit rows under client keys, and some of them again; repeat all until the server says that it is done."""
    with writer.transaction(repeated=True) as rows:
        rows.extend(writer.row(sound=True) for _ in range(5))
        writer.insert_keyed([*rows, *rows[:2], *writer.sent])
    writer.sent = rows


def backfill(writer: Writer) -> None:
    """Commit rows of a day that is long over, as long as such rows come at all."""
    if not writer.journal.backfills(writer.journal.events):
        return
    day = dt.datetime.now(dt.UTC) - dt.timedelta(days=OLD_DAYS)
    with writer.transaction() as rows:
        rows.extend(writer.rows(40))
        writer.connection.execute(BACKFILL, (day, records(rows)))


def overtaken(writer: Writer, by: int) -> None:
    """Wait until others have written so many events; not for ever, for all may wait for each other."""
    writer.journal.wait_for(writer.journal.events + by, seconds=0.5)


WAYS: tuple[Callable[[Writer], None], ...] = (
    single,
    single,
    one_statement_of_many,
    several_statements,
    savepoint,
    released_savepoint,
    abort,
    copy,
    long_transaction,
    repeatable_read,
    serializable,
    client_keys,
    backfill,
)
