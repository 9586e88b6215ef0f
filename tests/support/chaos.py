"""Writers, cutters, folders and a server that is killed, all at once; and then the count.

What must be true afterwards is in `Aftermath`; the tests ask it.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import psycopg

from tests.support.activity import fold
from tests.support.days import add_day
from tests.support.waiting import wait_until
from tests.support.writers import OLD_DAYS, RECOVERY_SECONDS, STREAMS, WAYS, Journal, Writer, connected, lost, roll_back
from tidegate import lifetime
from tidegate.postgres import Database, EmbeddedServer

THRESHOLD = 700  # larger than most statements and small enough for a hundred windows
TRAINED = "update learning.windows set state = 'trained', finished_at = clock_timestamp() where state = 'ready'"
MATERIALISE = (
    "select features.materialise_window(max(window_id)) from learning.windows where state = 'cut' and stream = %s"
)
UNFINISHED = (
    "select (select count(*) from learning.windows where state <> 'trained')"
    " + (select count(*) from ingest.retention_plan())"
)
READ = "select e::text from learning.read_window(%s) e order by event_id"
BACKEND = "select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"

Connect = Callable[[], psycopg.Connection[Any]]
Reading = list[tuple[str]]


@dataclass
class Observations:
    """What the cutters were given, and how it read."""

    handed_out: set[int] = field(default_factory=set)
    readings: dict[int, Reading] = field(default_factory=dict)
    repeated: int = 0
    changed: list[int] = field(default_factory=list)
    folded: int = 0
    kept: int = 0  # events whose day was dropped
    crashes: int = 0

    def read(self, window: int, rows: Reading) -> None:
        """Remember a reading; one that differs from the first is what must never happen."""
        if self.readings.setdefault(window, rows) is not rows:
            self.repeated += 1
            if self.readings[window] != rows:
                self.changed.append(window)


class Chaos:
    """One run: so many events, from one seed; the interleaving is the machine's own."""

    def __init__(self, database: Database, seed: int, events: int, server: EmbeddedServer | None = None) -> None:
        self.database = database
        self.server = server  # killed in the middle where there is one
        self.seed = seed
        self.events = events
        self.journal = Journal(backfills=lambda written: not events * 0.2 < written < events * 0.9)
        self.seen = Observations()
        self._stop = threading.Event()

    def run(self) -> Aftermath:
        """Let everybody loose until the events are written; return what is left when all is quiet."""
        with self.connect() as connection:
            connection.execute("insert into learning.streams (stream) values ('shop'), ('news')")
            connection.execute("update learning.streams set keep_events = true, threshold = %s", (THRESHOLD,))
            add_day(connection, OLD_DAYS)
            lifetime.set_lifetime(connection, keep_events="2d")
        writers = [Writer(n, self.connect, self.seed * 100 + n, self.journal, lazy=n >= 6) for n in range(8)]
        with ThreadPoolExecutor(16) as pool:
            writing = [pool.submit(writer.work, WAYS, self.enough) for writer in writers]
            beside = [pool.submit(self.cut, random.Random(self.seed * 100 + 50 + n)) for n in range(3)]
            beside += [pool.submit(self.fold) for _ in range(2)]
            beside.append(pool.submit(self.let_go))
            beside += [pool.submit(self.kill)] if self.server else []
            try:
                for job in writing:
                    job.result()
            finally:
                self._stop.set()
            for job in beside:
                job.result()
        return self.settle()

    def connect(self) -> psycopg.Connection[Any]:
        """Return a connection in autocommit."""
        return psycopg.connect(self.database.conninfo, autocommit=True, connect_timeout=10)

    def enough(self) -> bool:
        """Return whether the events are written."""
        return self.journal.events >= self.events

    def cut(self, chance: random.Random) -> None:
        """Cut, sweep and read until told to stop."""
        self.survive(lambda connection: self.cut_once(connection, chance))

    def cut_once(self, connection: psycopg.Connection[Any], chance: random.Random) -> None:
        """Do one of the things that cutters and readers do."""
        act = chance.random()
        if act < 0.1:
            swept = connection.execute("select subject from learning.sweep() where what = 'cut'").fetchall()
            self.seen.handed_out.update(int(window) for (window,) in swept)
        elif act < 0.2:
            self.cut_and_give_up(connection, chance.choice(STREAMS))
        elif act < 0.4 and self.seen.handed_out:
            window = chance.choice(sorted(self.seen.handed_out))
            self.seen.read(window, connection.execute(READ, (window,)).fetchall())
        else:
            force = chance.random() < 0.05
            window = one(connection, "select learning.cut_window(%s, null, %s)", (chance.choice(STREAMS), force))
            if window is not None:
                self.seen.handed_out.add(window)
                self.seen.read(window, connection.execute(READ, (window,)).fetchall())

    def cut_and_give_up(self, connection: psycopg.Connection[Any], stream: str) -> None:
        """Roll a cut back: its events must be back in the ledger."""
        connection.execute("begin")
        connection.execute("select learning.cut_window(%s, null, true)", (stream,))
        connection.execute("rollback")

    def fold(self) -> None:
        """Fold until told to stop, two at a time."""
        self.survive(self.fold_once)

    def fold_once(self, connection: psycopg.Connection[Any]) -> None:
        """Fold as the keeper does."""
        self.seen.folded += fold(connection)

    def let_go(self) -> None:
        """Finish windows and drop the days that are past their retention until told to stop."""
        self.survive(self.let_go_once)

    def let_go_once(self, connection: psycopg.Connection[Any]) -> None:
        """Finish a window of each stream, as training does, and let go of what nothing needs any more."""
        for stream in STREAMS:
            connection.execute(MATERIALISE, (stream,))
        connection.execute(TRAINED)
        lifetime.apply(connection, tries=1)

    def survive(self, act: Callable[[psycopg.Connection[Any]], None]) -> None:
        """Repeat an act until told to stop, through serialization failures and the server's deaths."""
        connection = self.connect()
        while not self._stop.wait(0.005):
            try:
                act(connection)
            except psycopg.errors.SerializationFailure:
                roll_back(connection)
            except psycopg.OperationalError as error:
                if not lost(error):
                    raise
                connection.close()
                connection = wait_until(lambda: connected(self.connect), RECOVERY_SECONDS, "the server is back")
        connection.close()

    def kill(self) -> None:
        """Kill the server and one of its backends by turns, at a quarter, a half and three quarters."""
        assert self.server is not None
        for crash, part in ((self.kill_server, 0.25), (self.kill_backend, 0.5), (self.kill_server, 0.75)):
            if self.journal.wait_for(int(self.events * part), 300):
                crash()
                self.seen.crashes += 1

    def kill_server(self) -> None:
        """Kill the postmaster; its children follow. Start it again, which recovers."""
        assert self.server is not None
        pid = self.server.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        self.server.join()

    def kill_backend(self) -> None:
        """Kill somebody's backend: the postmaster ends all others and recovers by itself."""
        with self.connect() as connection:
            victims = [pid for (pid,) in connection.execute(BACKEND).fetchall()]
        os.kill(random.Random(self.seed).choice(victims), signal.SIGKILL)

    def settle(self) -> Aftermath:
        """Cut and fold what is left, and return what the database says."""
        with wait_until(lambda: connected(self.connect), RECOVERY_SECONDS, "the server is back") as connection:
            for stream in STREAMS:
                one(connection, "select learning.cut_window(%s, null, true)", (stream,))
            while fold(connection):
                pass
            while one(connection, UNFINISHED):
                self.let_go_once(connection)
            self.seen.kept = one(connection, "select count(*) from ingest.kept_events")
            return Aftermath(self.seed, self.journal, self.seen, *look(connection))


def one(connection: psycopg.Connection[Any], query: str, parameters: tuple[Any, ...] = ()) -> Any:
    """Return the first column of the first row."""
    row = connection.execute(query.encode(), parameters).fetchone()
    return None if row is None else row[0]


STORED = "(table ingest.behaviour_events union all table ingest.kept_events) e"
KEYS = f"select coalesce(context ->> 'key', '?') from {STORED}"
QUARANTINED = "select event #>> '{context,key}' from ingest.quarantined_events"
WINDOWED = (
    "select w.window_id, e.context ->> 'key' from learning.windows w, learning.read_window(w.window_id) e"
    " order by w.window_id, e.event_id"
)
USERS = f"select user_id, count(*) from {STORED} group by user_id"
ITEMS = f"select item_id, count(*) from {STORED} group by item_id"
FOLDED_USERS = "select user_id, n_events from features.user_activity"
FOLDED_ITEMS = "select item_id, n_events from features.item_activity"
LEFT = "select (select count(*) from ingest.batches) + (select count(*) from features.unfolded_batches)"


def look(connection: psycopg.Connection[Any]) -> tuple[Any, ...]:
    """Return what `Aftermath` compares."""
    windows = [row[0] for row in connection.execute("select window_id from learning.windows").fetchall()]
    return (
        [key for (key,) in connection.execute(KEYS.encode()).fetchall()],
        [key for (key,) in connection.execute(QUARANTINED).fetchall()],
        [key for _, key in connection.execute(WINDOWED).fetchall()],
        {window: connection.execute(READ, (window,)).fetchall() for window in windows},
        one(connection, "select sum(n)::bigint from learning.windows"),
        one(connection, LEFT),
        (connection.execute(USERS.encode()).fetchall(), connection.execute(FOLDED_USERS).fetchall()),
        (connection.execute(ITEMS.encode()).fetchall(), connection.execute(FOLDED_ITEMS).fetchall()),
    )


@dataclass
class Aftermath:
    """What the writers know, what the cutters saw, and what the database says when all is quiet."""

    seed: int
    journal: Journal
    seen: Observations
    stored: list[str]
    quarantined: list[str]
    windowed: list[str]
    last_readings: dict[int, Reading]
    claimed: int  # the sum of what the windows say they hold
    left: int  # ledger rows and unfolded batches
    users: tuple[list[tuple[str, int]], list[tuple[str, int]]]  # counted from the events, and as folded
    items: tuple[list[tuple[str, int]], list[tuple[str, int]]]

    @cached_property
    def committed(self) -> set[str]:
        """Return all keys that are committed, the doubtful transactions decided by what is there."""
        there = {*self.stored, *self.quarantined}
        decided = (keys for keys in self.doubtful if keys and keys[0] in there)
        return self.journal.committed.union(*decided)

    @property
    def doubtful(self) -> list[list[str]]:
        """Return the transactions that a crash may have taken back."""
        return [*self.journal.unsure, *self.journal.lazy]

    @property
    def halved(self) -> list[list[str]]:
        """Return doubtful transactions of which a part is there."""
        there = {*self.stored, *self.quarantined}
        return [keys for keys in self.doubtful if 0 < len(there.intersection(keys)) < len(keys)]

    def expected(self, kind: str) -> Counter[str]:
        """Return the committed keys of a kind, each once."""
        return Counter(key for key in self.committed if key.startswith(kind))

    def __str__(self) -> str:
        taken_back = sum(1 for keys in self.doubtful if keys and keys[0] not in self.committed)
        return (
            f"seed {self.seed}: {len(self.stored):,} events in {len(self.last_readings)} windows,"
            f" {len(self.quarantined):,} quarantined, {self.journal.retries} transactions tried again,"
            f" {self.seen.crashes} crashes, {len(self.journal.unsure)} commits with unknown outcome,"
            f" {taken_back} transactions taken back, {self.seen.repeated} windows read again while it lasted,"
            f" {self.seen.kept:,} events kept past the drop of their day"
        )
