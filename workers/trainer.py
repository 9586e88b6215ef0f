"""The trainer process: says that it is ready, then reads runs from its input and answers each, all as lines of JSON.

It is the only process that imports torch. It keeps the live weights warm between windows, renews the lease of
the run that it works on, and ends when its parent does.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TextIO

import psycopg

from tidegate import feature_store, features
from tidegate import log as logs
from tidegate.errors import LeaseLost, TidegateError
from tidegate.log import get_log
from tidegate.postgres import Database, is_outage
from tidegate.settings import get_settings
from tidegate.windows import Run, Step, enter, renew
from workers.connections import database, patiently

if TYPE_CHECKING:
    from workers.increment import Learner

log = get_log("trainer")


class Heartbeat:
    """Renews a run's lease from a thread of its own for as long as the context is open."""

    def __init__(self, run: Run, lease: timedelta) -> None:
        self.run = run
        self.lease = lease
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.beat, daemon=True)

    def beat(self) -> None:
        """Renew at once, then three times a lease, through outages too; a lost lease is left to the next step."""
        ended = False
        while not ended:
            try:
                with database().connect(autocommit=True) as connection:
                    renew(connection, self.run, self.lease)
            except LeaseLost:  # or just published
                return
            except (TidegateError, psycopg.Error) as error:
                log.warning("heartbeat: %s", error)
            ended = self.stop.wait(self.lease.total_seconds() / 3)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()


def steps(run: Run) -> Callable[[Step], None]:
    """Return what writes down each step of a run; it raises LeaseLost where the lease has ended."""

    def entered(step: Step) -> None:
        patiently(lambda connection: enter(connection, run, step))

    return entered


def guarded(given: Database, lease: timedelta) -> Database:
    """Return the database with connections that cannot hold a row for ever.

    A process that is frozen inside a transaction keeps its locks, and nobody could take its window: so the
    server ends its session after one silent lease, and after five a statement that waits for its data.
    """
    milliseconds = int(lease.total_seconds() * 1000)
    return given.configured(
        idle_in_transaction_session_timeout=str(milliseconds), statement_timeout=str(5 * milliseconds)
    )


def end_with_parent(parent: int) -> None:
    """End at once when the parent is gone: its lease runs out, and another worker takes the window."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def memory_mb() -> float:
    """Return the most memory that this process has held, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def answer(run: Run, learner: Learner, lease: timedelta) -> dict[str, Any]:
    """Train a run; return its report, or how it ended and the traceback."""
    try:
        with Heartbeat(run, lease):
            report = learner.train(run, steps(run))
    except LeaseLost as error:
        log.warning("window %s: %s", run.window_id, error)
        return {"ended": "lost", "error": str(error)}
    except Exception as error:  # whatever it is, the parent writes it down
        said = {"error": traceback.format_exc(), "summary": traceback.format_exception_only(error)[0].strip()}
        return said | {"ended": "outage" if is_outage(error) else "failed"}
    return report | {"memory_mb": memory_mb()}


def serve(runs: TextIO, answers: TextIO) -> None:
    """Say that torch and Feast are there, then answer runs until the input ends."""
    # Imported here: it takes seconds, and the log and the watch over the parent do not wait for it.
    from workers.increment import Learner

    lease = timedelta(seconds=get_settings().lease_seconds)
    handle = guarded(database(), lease)
    learner = Learner(handle)
    features.apply_definitions(database())  # a run reads by them: no window may lose an attempt for want of them
    with feature_store.opened(handle, training=True) as store:
        store.refresh_registry()
    say(answers, {"ready": True})
    for line in runs:
        say(answers, answer(Run(**json.loads(line)), learner, lease))


def say(answers: TextIO, said: dict[str, Any]) -> None:
    """Give the parent one line."""
    answers.write(json.dumps(said) + "\n")
    answers.flush()


def main() -> None:
    """Run until the parent closes the pipe."""
    settings = get_settings()
    logs.configure(settings.log_level, settings.log_format)
    # Ctrl-C and service managers signal the whole group: the parent gives the run back and ends this process.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    # Libraries print; only answers may reach the parent.
    answers, sys.stdout = sys.stdout, sys.stderr
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
