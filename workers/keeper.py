"""The keeper: one small process that keeps everything moving, and that nothing waits for.

It folds new batches into the live features, cuts what nudges missed, expires leases, repeats lost tasks,
makes tomorrow's partitions, and hands tasks on where the broker is not PostgreSQL. Each of these is one
idempotent SQL call: two keepers do no harm, and without one reads stay right and only get slower.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import psycopg

from tidegate import log as logs
from tidegate.errors import TidegateError
from tidegate.log import get_log
from tidegate.queries import queries
from tidegate.settings import get_settings
from workers.connections import connection

log = get_log("keeper")

FOLD_EVERY = 0.2  # seconds: the age of live features that are read without merging
SWEEP_EVERY = 1.0  # seconds: what a lost nudge costs
PARTITIONS_EVERY = 3600.0  # seconds
DAYS_AHEAD = 7
RETRY_AFTER = 1.0  # seconds, while the database is away


class Chore:
    """Something to do every so many seconds."""

    def __init__(self, every: float, work: Callable[[], None]) -> None:
        self.every = every
        self.work = work
        self.due = 0.0

    def run_if_due(self, now: float) -> None:
        """Do it when its time has come."""
        if now >= self.due:
            self.work()
            self.due = time.monotonic() + self.every


def fold() -> None:
    """Fold the unfolded batches into the live features."""
    started = time.perf_counter()
    held = connection()
    # Every statement of the fold must see the same batches.
    with held.transaction():
        held.execute("set transaction isolation level repeatable read")
        row = held.execute("select features.fold()").fetchone()
    if row and row[0]:
        log.info("folded %s events in %.0f ms", f"{row[0]:,}", (time.perf_counter() - started) * 1000)


def sweep() -> None:
    """Close the gaps that nudges leave."""
    patience = {"nudge_after": get_settings().nudge_seconds}
    for what, subject in connection().execute(queries["sweep"], patience).fetchall():
        log.info("%s %s", what, subject)


def make_partitions() -> None:
    """Make the partitions of the days to come."""
    row = connection().execute("select ingest.make_partitions(%s)", (DAYS_AHEAD,)).fetchone()
    if row and row[0]:
        log.info("made %s partitions", row[0])


def chores() -> list[Chore]:
    """Return what this keeper does."""
    every = [Chore(FOLD_EVERY, fold), Chore(SWEEP_EVERY, sweep), Chore(PARTITIONS_EVERY, make_partitions)]
    if get_settings().broker_url:
        from workers.relay import RELAY_EVERY, relay

        every.append(Chore(RELAY_EVERY, relay))
    return every


def keep(stop: threading.Event) -> None:
    """Do the chores until `stop` is set; a database that is away is waited for."""
    work = chores()
    while not stop.is_set():
        try:
            for chore in work:
                chore.run_if_due(time.monotonic())
        except (psycopg.OperationalError, psycopg.InterfaceError, TidegateError) as error:
            log.warning("%s; trying again", str(error).strip().partition("\n")[0])
            stop.wait(RETRY_AFTER)
        except psycopg.errors.SerializationFailure:
            continue
        stop.wait(max(0.0, min(chore.due for chore in work) - time.monotonic()))


def main() -> None:
    """Run until SIGTERM or Ctrl-C."""
    settings = get_settings()
    logs.configure(settings.log_level, settings.log_format)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    log.info("keeping: folds every %.0f ms, sweeps every %.0f s", FOLD_EVERY * 1000, SWEEP_EVERY)
    keep(stop)


if __name__ == "__main__":
    main()
