"""Days of traffic in a minute: single inserts and batches, folds, cuts and tasks, with autovacuum beside them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg

from tests.support.activity import fold
from tests.support.waiting import wait_until
from tidegate.postgres import Database

EVENTS_A_ROUND = 20_000
SINGLES = 4_000  # of them, each a statement and a transaction of its own
BATCH = 100
# Few users and items, so that the wide tables have all their rows after the first rounds.
ROWS = (
    "insert into ingest.behaviour_events (user_id, item_id, event_type)"
    " select 'user-' || (random() * 80)::int, 'item-' || (random() * 80)::int, 'view' from generate_series(1, %s)"
)
TABLES = (
    "ingest.batches",
    "features.unfolded_batches",
    "features.user_activity",
    "features.item_activity",
    "features.user_item_activity",
    "features.clocks",
    "learning.streams",
    "pgmq.q_features",
    "pgmq.q_gpu",
)
SIZES = "select t, pg_total_relation_size(t::regclass) from unnest(%s::text[]) as t"
# What is still dead and over the table's own threshold: autovacuum has work to do.
DIRTY = """
select relid::regclass::text, n_dead_tup
  from pg_stat_user_tables s
  join pg_class c on c.oid = s.relid
  left join lateral (
       select max(option_value) filter (where option_name = 'autovacuum_vacuum_threshold') as threshold,
              max(option_value) filter (where option_name = 'autovacuum_vacuum_scale_factor') as scale
         from pg_options_to_table(c.reloptions)) o on true
 where relid = any (%s::regclass[])
   and n_dead_tup > coalesce(o.threshold, '50')::float + coalesce(o.scale, '0.2')::float * greatest(c.reltuples, 0)
"""

Sizes = dict[str, int]
Connection = psycopg.Connection[Any]


class Churn:
    """Traffic on one database, a round at a time."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with self.connect() as connection:
            connection.execute("update learning.streams set threshold = 1000")

    def connect(self) -> Connection:
        """Return a connection in autocommit."""
        return self.database.connect(autocommit=True)

    def round(self) -> Sizes:
        """Have a round of traffic; return the sizes once autovacuum has nothing left to do."""
        self.run()
        with self.connect() as connection:
            wait_until(lambda: not connection.execute(DIRTY, (list(TABLES),)).fetchall(), 60, "autovacuum is done")
        return self.sizes()

    def round_held(self) -> Sizes:
        """Have a round of traffic while a snapshot is open: autovacuum cannot finish, so nobody waits for it."""
        self.run()
        return self.sizes()

    def run(self) -> None:
        """Write, fold, cut and consume."""
        stop = threading.Event()
        with ThreadPoolExecutor(6) as pool:
            beside = [pool.submit(self.repeat, stop, work) for work in (fold, cut, consume)]
            writing = [pool.submit(self.write, SINGLES // 2, 1) for _ in range(2)]
            writing.append(pool.submit(self.write, (EVENTS_A_ROUND - SINGLES) // BATCH, BATCH))
            for job in writing:
                job.result()
            stop.set()
            for job in beside:
                job.result()
        self.settle()

    def write(self, statements: int, rows: int) -> None:
        """Write so many statements of so many rows."""
        with self.connect() as connection:
            for _ in range(statements):
                connection.execute(ROWS.encode(), (rows,))

    def repeat(self, stop: threading.Event, work: Callable[[Connection], object]) -> None:
        """Do something every few milliseconds until told to stop."""
        with self.connect() as connection:
            while not stop.wait(0.02):
                work(connection)

    def settle(self) -> None:
        """Finish what is left."""
        with self.connect() as connection:
            while fold(connection):
                pass
            connection.execute("select learning.cut_window('default', null, true)")
            consume(connection)

    def sizes(self) -> Sizes:
        """Return the bytes of each table with its indexes and its toast."""
        with self.connect() as connection:
            return dict(connection.execute(SIZES, (list(TABLES),)).fetchall())

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Keep a snapshot open, as a forgotten transaction does: vacuum may remove nothing that died since."""
        with self.database.connect() as forgotten:
            forgotten.execute("set transaction isolation level repeatable read")
            forgotten.execute("select count(*) from learning.streams")
            yield


def cut(connection: Connection) -> None:
    """Cut a window if there are enough events, and let it be trained at once, as far as the tables can tell."""
    row = connection.execute("select learning.cut_window('default')").fetchone()
    if row is not None and row[0] is not None:
        connection.execute("select features.materialise_window(%s)", (row[0],))


def consume(connection: Connection) -> None:
    """Take all messages from the queues as workers do: hidden by a read, deleted when done."""
    for queue in ("features", "gpu"):
        for (message,) in connection.execute("select msg_id from pgmq.read(%s, 30, 50)", (queue,)).fetchall():
            connection.execute("select pgmq.delete(%s, %s::bigint)", (queue, message))
