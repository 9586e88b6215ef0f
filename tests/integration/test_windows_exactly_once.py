"""No committed event is ever in no window or in two.

A few seconds of chaos: writers of every kind on three streams, with cutters and sweeps beside them, and
then a count. Each event carries a key of its own, so that the answer is a comparison of two lists.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from tidegate.postgres import Database

SECONDS = 5.0
STREAMS = ("default", "shop", "news")
THRESHOLD = 700  # larger than most statements and small enough for a hundred windows
TABLE = "ingest.behaviour_events (stream, user_id, item_id, event_type, client_key)"
INSERT = f"insert into {TABLE} values (%s, %s, %s, %s, %s)".encode()
COPY = f"copy {TABLE} from stdin".encode()
READ = "select event_id, client_key from learning.read_window(%s) order by event_id"

Row = tuple[str, str, str, str, str]


@dataclass
class Writer:
    """A client that knows which of its events it has committed."""

    name: int
    connection: psycopg.Connection[Any]
    random: random.Random
    valid: list[str] = field(default_factory=list)
    flawed: list[str] = field(default_factory=list)
    written: int = 0

    def rows(self, most: int) -> list[Row]:
        """Return 1 to `most` new rows, about one in twenty with a flaw."""
        return [self.row() for _ in range(self.random.randint(1, most))]

    def row(self) -> Row:
        """Return a new row; a flawed one says so in its key."""
        self.written += 1
        flaw = self.random.random()
        kind = "stare" if flaw < 0.03 else self.random.choice(("view", "click", "purchase"))
        stream = "nobody's" if 0.03 <= flaw < 0.05 else self.random.choice(STREAMS)
        key = f"{'flawed' if flaw < 0.05 else 'valid'}-{self.name}-{self.written}"
        return (stream, f"user-{self.random.randint(1, 50)}", f"item-{self.random.randint(1, 50)}", kind, key)

    def insert(self, most: int = 3) -> list[Row]:
        """Insert rows, a statement each."""
        rows = self.rows(most)
        for row in rows:
            self.connection.execute(INSERT, row)
        return rows

    def committed(self, rows: list[Row]) -> None:
        """Remember rows after their commit."""
        for row in rows:
            (self.valid if row[-1].startswith("valid") else self.flawed).append(row[-1])

    def pause(self) -> None:
        """Keep a transaction open for a moment, so that others overtake it."""
        time.sleep(self.random.random() * 0.02)


def single(writer: Writer) -> None:
    """Commit one row."""
    writer.committed(writer.insert(most=1))


def several_statements(writer: Writer) -> None:
    """Commit several statements at once, with a wait between them."""
    with writer.connection.transaction():
        rows = writer.insert()
        writer.pause()
        rows += writer.insert()
    writer.committed(rows)


def savepoint(writer: Writer) -> None:
    """Undo the middle of a transaction."""
    with writer.connection.transaction():
        rows = writer.insert()
        with writer.connection.transaction():
            undo(writer.insert())
        rows += writer.insert()
    writer.committed(rows)


def undo(_: list[Row]) -> None:
    """Roll the innermost transaction block back; its rows are never to be seen."""
    raise psycopg.Rollback()


def abort(writer: Writer) -> None:
    """Undo everything."""
    with writer.connection.transaction():
        rows = writer.insert()
        writer.pause()
        undo(rows)


def copy(writer: Writer) -> None:
    """Commit a COPY that mixes streams and flaws, in runs and gaps of ids."""
    rows = writer.rows(most=900)
    with writer.connection.cursor() as cursor, cursor.copy(COPY) as stream:
        for row in rows:
            stream.write_row(row)
    writer.committed(rows)


def repeatable_read(writer: Writer) -> None:
    """Commit from a snapshot that is older than other writers' commits and cuts."""
    with writer.connection.transaction():
        writer.connection.execute("set transaction isolation level repeatable read")
        rows = writer.insert()
        writer.pause()
        rows += writer.insert()
    writer.committed(rows)


WAYS: tuple[Callable[[Writer], None], ...] = (
    single,
    several_statements,
    savepoint,
    abort,
    copy,
    repeatable_read,
)


def write(writer: Writer, until: float) -> Writer:
    """Write in random ways until the time is over."""
    while time.monotonic() < until:
        writer.random.choice(WAYS)(writer)
    writer.connection.close()
    return writer


def cut(connection: psycopg.Connection[Any], chance: random.Random, stop: threading.Event) -> dict[int, list[Any]]:
    """Cut and sweep until told to stop; return each window of this cutter as it read it at once."""
    first_reading = {}
    while not stop.wait(0.005):
        if chance.random() < 0.1:
            connection.execute("select learning.sweep()")
            continue
        force = chance.random() < 0.05
        window = one(connection, "select learning.cut_window(%s, null, %s)", (chance.choice(STREAMS), force))
        if window is not None:
            first_reading[window] = connection.execute(READ, (window,)).fetchall()
    connection.close()
    return first_reading


def one(connection: psycopg.Connection[Any], query: str, parameters: tuple[Any, ...] = ()) -> Any:
    """Return the first column of the first row."""
    row = connection.execute(query.encode(), parameters).fetchone()
    return None if row is None else row[0]


@dataclass
class Aftermath:
    """What the writers know, and what the database says when all is quiet."""

    seed: int  # of the writers' choices; the interleaving is the machine's own
    writers: list[Writer]
    first_reading: dict[int, list[Any]]
    last_reading: dict[int, list[Any]]
    quarantined: list[str]
    left_in_ledger: int

    @property
    def windowed(self) -> list[str]:
        """Return the keys in all windows, repetitions included."""
        return sorted(key for events in self.last_reading.values() for _, key in events)


def wreak(database: Database, seed: int) -> tuple[list[Writer], dict[int, list[Any]]]:
    """Let six writers and three cutters loose; return what each of them knows."""
    stop = threading.Event()
    until = time.monotonic() + SECONDS
    writers = [Writer(n, database.connect(autocommit=True), random.Random(seed + n)) for n in range(6)]
    with ThreadPoolExecutor(9) as pool:
        cutting = [
            pool.submit(cut, database.connect(autocommit=True), random.Random(seed - n - 1), stop) for n in range(3)
        ]
        writing = [pool.submit(write, writer, until) for writer in writers]
        try:
            done = [job.result() for job in writing]
        finally:
            stop.set()
        return done, {window: events for job in cutting for window, events in job.result().items()}


@pytest.fixture
def aftermath(database: Database) -> Iterator[Aftermath]:
    """Return the state after the chaos and one last cut of each stream."""
    seed = random.SystemRandom().randrange(10**6)
    with database.connect(autocommit=True) as connection:
        connection.execute("insert into learning.streams (stream) values ('shop'), ('news')")
        connection.execute("update learning.streams set threshold = %s", (THRESHOLD,))
        writers, first_reading = wreak(database, seed)
        for stream in STREAMS:
            connection.execute("select learning.cut_window(%s, null, true)", (stream,))
        windows = connection.execute("select window_id from learning.windows").fetchall()
        quarantined = connection.execute("select event ->> 'client_key' from ingest.quarantined_events").fetchall()
        yield Aftermath(
            seed,
            writers,
            first_reading,
            {window: connection.execute(READ, (window,)).fetchall() for (window,) in windows},
            sorted(key for (key,) in quarantined),
            one(connection, "select count(*) from ingest.batches"),
        )


@pytest.mark.timeout(60)
def test_every_committed_valid_event_is_in_exactly_one_window(aftermath: Aftermath) -> None:
    valid = sorted(key for writer in aftermath.writers for key in writer.valid)
    assert aftermath.windowed == valid, f"seed {aftermath.seed}"
    assert len(aftermath.windowed) > 1000
    assert len(aftermath.last_reading) > 10
    assert aftermath.left_in_ledger == 0
    # No aborted event is among them, and a flawed one is in quarantine instead.
    assert aftermath.quarantined == sorted(key for writer in aftermath.writers for key in writer.flawed)
    assert aftermath.quarantined
    # A window is a fixed set: read at once and read in the end, it is the same.
    assert aftermath.first_reading
    assert {window: aftermath.last_reading[window] for window in aftermath.first_reading} == aftermath.first_reading


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
