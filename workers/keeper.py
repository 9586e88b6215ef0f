"""The keeper: one small process that keeps everything moving, and that nothing waits for.

It folds new batches into the live features, cuts what nudges missed and what is due by schedule or by its kind,
expires leases, repeats lost tasks, and hands tasks on where the broker is not PostgreSQL. Beside that, once an hour
and in a thread of its own because it may take minutes, it makes partitions, seals days that are over, lets go of what
is past its retention and has task results forgotten. Each of these is idempotent: two keepers do no harm, and without
one reads stay right and only get slower.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import psycopg

from tidegate import lifetime, schedules
from tidegate import log as logs
from tidegate.errors import TidegateError
from tidegate.log import get_log
from tidegate.queries import queries
from tidegate.settings import get_settings
from workers.connections import connection

log = get_log("keeper")

FOLD_EVERY = 0.2  # seconds: the age of live features that are read without merging
SWEEP_EVERY = 1.0  # seconds: what a lost nudge costs
PLAN_EVERY = 1.0  # seconds: a changed schedule counts from then on
LOOK_EVERY = 10.0  # seconds: a look at what waits reads up to 4,000 events a stream
FORGET_EVERY = 60.0  # seconds: what rate and duplicate rules remember too long
HOUSEKEEPING_EVERY = 3600.0  # seconds
DAYS_AHEAD = 7
RETRY_AFTER = 1.0  # seconds, while the database is away


class Chore:
    """Something to do every so many seconds; one that fails is tried again and holds no other up."""

    def __init__(self, every: float, work: Callable[[], None]) -> None:
        self.every = every
        self.work = work
        self.due = 0.0

    def run_if_due(self) -> None:
        """Do it when its time has come."""
        if time.monotonic() < self.due:
            return
        wait = self.every
        try:
            self.work()
        except psycopg.errors.SerializationFailure:  # somebody else folded: at once again
            wait = 0.0
        except (psycopg.Error, TidegateError) as error:
            wait = max(RETRY_AFTER, self.every / 60)
            log.warning("%s; trying again", str(error).strip().partition("\n")[0])
        self.due = time.monotonic() + wait


def fold() -> None:
    """Fold the unfolded batches into the live features."""
    started = time.perf_counter()
    held = connection()
    # Every statement of the fold must see the same batches.
    with held.transaction():
        held.execute("set transaction isolation level repeatable read")
        # Before the fold, which lets go of the batches: a suspicious one is still a batch here.
        held.execute("select ingest.note_batches()")
        row = held.execute("select features.fold()").fetchone()
    if row and row[0]:
        log.info("folded %s events in %.0f ms", f"{row[0]:,}", (time.perf_counter() - started) * 1000)


def sweep() -> None:
    """Close the gaps that nudges leave."""
    patience = {"nudge_after": get_settings().nudge_seconds}
    for what, subject in connection().execute(queries["sweep"], patience).fetchall():
        log.info("%s %s", what, subject)


def cut_changed() -> None:
    """Cut the streams whose waiting events are new in kind."""
    for what, subject in connection().execute(queries["cut_changed"]).fetchall():
        log.info("%s %s", what, subject)


class Planner:
    """Works out when schedules are due, and says once which cannot be read."""

    def __init__(self) -> None:
        self.said: set[str] = set()

    def plan(self) -> None:
        """Plan what nobody has planned yet."""
        unreadable = {str(error) for error in schedules.plan(connection()).values()}
        for error in sorted(unreadable - self.said):
            log.warning("%s", error)
        self.said = unreadable


def make_partitions() -> None:
    """Make the partitions of the days to come."""
    row = connection().execute("select ingest.make_partitions(%s)", (DAYS_AHEAD,)).fetchone()
    if row and row[0]:
        log.info("made %s partitions", row[0])


def let_go() -> None:
    """Drop and delete what is past its retention."""
    report = lifetime.apply(connection())
    for partition in report.dropped:
        log.info("dropped %s: past its retention", partition)
    for partition, why in report.kept.items():
        log.warning("%s is past its retention and stays: %s", partition, why)
    for name, n in report.trimmed.items():
        if n:
            log.info("deleted %s rows past their retention: %s", f"{n:,}", name.replace("_", " "))


def seal() -> None:
    """Index the days that are over."""
    for partition in lifetime.seal(connection()):
        log.info("sealed %s", partition)


def forget() -> None:
    """Forget keys past the horizon, and events that no rule remembers."""
    for what, n in connection().execute(queries["forget"]).fetchall():
        if n:
            log.info("forgot %s %s", f"{n:,}", what)


def forget_results() -> None:
    """Have a worker delete expired task results."""
    connection().execute(queries["forget_results"])


def forget_workers() -> None:
    """Drop the command queues of workers that are gone."""
    from workers.transport import forget_silent_queues

    for queue in forget_silent_queues(connection()):
        log.info("dropped %s: nobody has read it for a day", queue)


def rounds() -> list[list[Chore]]:
    """Return what this keeper does: a list for each thread, so that nothing slow holds the folding up."""
    every = [
        [Chore(FOLD_EVERY, fold), Chore(SWEEP_EVERY, sweep)],
        [Chore(PLAN_EVERY, Planner().plan), Chore(LOOK_EVERY, cut_changed), Chore(FORGET_EVERY, forget)],
        # In this order: what is past its retention need not be sealed.
        [Chore(HOUSEKEEPING_EVERY, work) for work in (make_partitions, let_go, seal, forget_results, forget_workers)],
    ]
    if get_settings().broker_url:
        from workers.relay import RELAY_EVERY, relay

        every.append([Chore(RELAY_EVERY, relay)])
    return every


def keep(stop: threading.Event, chores: list[Chore]) -> None:
    """Do chores until `stop` is set; a database or a broker that is away is waited for."""
    while not stop.is_set():
        for chore in chores:
            chore.run_if_due()
        stop.wait(max(0.0, min(chore.due for chore in chores) - time.monotonic()))


def main() -> None:
    """Run until SIGTERM or Ctrl-C."""
    settings = get_settings()
    logs.configure(settings.log_level, settings.log_format)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    log.info("keeping: folds every %.0f ms, sweeps every %.0f s", FOLD_EVERY * 1000, SWEEP_EVERY)
    first, *others = rounds()
    for chores in others:
        # Daemons: a day that is being indexed is not worth waiting for, the next keeper begins it again.
        threading.Thread(target=keep, args=(stop, chores), daemon=True).start()
    keep(stop, first)


if __name__ == "__main__":
    main()
