"""What the queue must do, whichever broker carries it. Real workers, real brokers; subclasses name the broker.

The tests of a class share one worker and run in the order in which they stand.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests.contracts import DOOR
from tests.support.databases import clone, drop
from tests.support.learning import one
from tests.support.processes import Speaker, python
from tests.support.waiting import wait_until
from tidegate.postgres import Database
from tidegate.stack import QUIET, Service

WORKER = (sys.executable, "-m", "celery", "--quiet", "-A", "tests.contracts.tasks", "worker", "--loglevel", "warning")
QUEUES = ("-Q", "features,housekeeping", "-n", "contract@%h", "--pool", "threads", "-c", "2", *QUIET)
KEEPER = (sys.executable, "-m", "workers.keeper")
CLIENT = "from tests.contracts.client import serve; serve()"
VISIBILITY_SECONDS = 2  # so that a task of a dead worker comes back while a test waits
SECONDS = 30.0
EVENTS = (
    "insert into ingest.behaviour_events (stream, user_id, item_id, event_type)"
    " select %s, 'u' || g, 'i', 'view' from generate_series(1, %s) g"
)


class Workplace:
    """A database, a broker, a worker that can be killed, and a client."""

    def __init__(self, database: Database, client: Speaker, services: dict[str, Service]) -> None:
        self.connection: psycopg.Connection[Any] = database.connect(autocommit=True)
        self.database = database
        self.lines: list[str] = []
        self._client = client
        self._services = services

    def ask(self, do: str, **arguments: Any) -> Any:
        """Have the client do something; return its answer."""
        self._client.tell(json.dumps({"do": do, **arguments}))
        return json.loads(self._client.hear())

    def start(self, name: str) -> None:
        """Start the worker or the keeper."""
        self._services[name].start(lambda _, line: self.lines.append(line))

    def kill(self, name: str) -> None:
        """Kill it as a crash does."""
        self._services[name].process.kill()
        self._services[name].process.wait()

    def noted(self, word: str) -> int:
        """Return how often a task has left a word."""
        return int(one(self.connection, "select count(*) from public.notes where word = %s", (word,)))

    def wait_for(self, word: str, times: int = 1) -> None:
        """Wait until tasks have left a word so often."""
        self.wait(lambda: self.noted(word) >= times, f"the note {word!r}")

    def wait(self, condition: Any, what: str) -> None:
        """Wait for a fact; if it never comes, show what the processes said."""
        try:
            wait_until(condition, SECONDS, what)
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *self.lines[-30:]])) from None


@contextmanager
def closed_door(database: Database) -> Iterator[None]:
    """Keep the tasks that hold inside until the block ends."""
    with database.connect(autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", (DOOR,))
        yield


class QueueContract:
    """The suite; a subclass has a fixture `broker_url`, None for PostgreSQL."""

    @pytest.fixture(scope="class")
    @classmethod
    def workplace(cls, server: Database, template: Database, broker_url: str | None) -> Iterator[Workplace]:
        """A worker on this broker, and the keeper, which relays where the broker is not PostgreSQL."""
        database = clone(server, f"queue_{cls.__name__.lower()}", template.parameters["dbname"])
        environment = os.environ | {
            "TIDEGATE_DATABASE_URL": database.conninfo,
            "TIDEGATE_BROKER_URL": broker_url or "",
            "TIDEGATE_VISIBILITY_SECONDS": str(VISIBILITY_SECONDS),
            "PYTHONUNBUFFERED": "1",
        }
        services = {
            "worker": Service("worker", (*WORKER, *QUEUES), environment),
            "keeper": Service("keeper", KEEPER, environment),
        }
        with python(CLIENT, environment) as client:
            made = Workplace(database, client, services)
            made.connection.execute("create table public.notes (word text not null)")
            made.ask("purge")
            try:
                for name in services:
                    made.start(name)
                yield made
            finally:
                for name in services:
                    made.kill(name)
                made.connection.close()
        drop(server, database)

    def test_a_task_runs_once_and_its_result_comes_back(self, workplace: Workplace) -> None:
        task = workplace.ask("send", name="contract.note", word="hello")
        assert workplace.ask("result", task=task) == "hello"
        assert workplace.noted("hello") == 1

    def test_the_worker_answers_a_ping(self, workplace: Workplace) -> None:
        assert workplace.ask("ping") == ["pong"]

    def test_a_task_that_sql_sends_arrives(self, workplace: Workplace) -> None:
        one(workplace.connection, self.sending("from a trigger"))
        workplace.wait_for("from a trigger")

    def test_a_rolled_back_transaction_sends_nothing(self, workplace: Workplace) -> None:
        with workplace.database.connect() as writer:
            writer.execute(self.sending("rolled back"))
            writer.rollback()
            writer.execute(self.sending("after it"))
            writer.commit()
        workplace.wait_for("after it")
        assert workplace.noted("rolled back") == 0

    def test_what_is_worked_on_can_be_seen_and_what_waits_can_be_revoked(self, workplace: Workplace) -> None:
        with closed_door(workplace.database):
            tasks = [workplace.ask("send", name="contract.hold", word=word) for word in ("one", "two")]
            for word in ("one", "two"):
                workplace.wait_for(f"{word} began")
            assert workplace.ask("active") == ["one", "two"]
            never = workplace.ask("send", name="contract.note", word="never")
            workplace.ask("revoke", task=never)
        assert [workplace.ask("result", task=task) for task in tasks] == ["one", "two"]
        workplace.wait(lambda: workplace.ask("state", task=never) == "REVOKED", "the task is revoked")
        assert workplace.noted("never") == 0

    def test_a_task_whose_worker_is_killed_is_done_by_another(self, workplace: Workplace) -> None:
        with closed_door(workplace.database):
            task = workplace.ask("send", name="contract.hold", word="orphan")
            workplace.wait_for("orphan began")
            workplace.kill("worker")
        workplace.start("worker")
        assert workplace.ask("result", task=task) == "orphan"
        assert workplace.noted("orphan began") >= 2
        assert workplace.noted("orphan ended") == 1

    def test_a_burst_is_worked_through_without_pauses(self, workplace: Workplace) -> None:
        started = time.monotonic()
        for task in [workplace.ask("send", name="contract.note", word="burst") for _ in range(30)]:
            workplace.ask("result", task=task)
        # A worker that slept a second whenever both its hands were full would take fifteen.
        assert time.monotonic() - started < 8

    def test_windows_of_a_stream_keep_their_order_whatever_the_queue_does(self, workplace: Workplace) -> None:
        windows = []
        with workplace.connection.transaction():  # so that no worker hears of them one by one
            for _ in range(5):
                workplace.connection.execute(EVENTS.encode(), ("default", 10))
                windows.append(one(workplace.connection, "select learning.cut_window('default', null, true)"))
            workplace.connection.execute("select pgmq.purge_queue('features')")
        for window in [*reversed(windows), *windows]:
            workplace.ask("send", name="tidegate.materialise_window", queue="features", window_id=window)
        ready = "select count(*) from learning.windows where position is not null"
        workplace.wait(lambda: one(workplace.connection, ready) == len(windows), "all windows are ready")
        ordered = workplace.connection.execute("select window_id from learning.windows order by position").fetchall()
        assert [window for (window,) in ordered] == windows

    def test_a_task_that_is_delivered_twice_cuts_one_window(self, workplace: Workplace) -> None:
        workplace.connection.execute("insert into learning.streams (stream, threshold) values ('twice', 10)")
        workplace.connection.execute(EVENTS.encode(), ("twice", 10))
        tasks = [workplace.ask("send", name="tidegate.cut_window", queue="features", stream="twice") for _ in range(2)]
        for task in tasks:
            workplace.ask("result", task=task)
        assert one(workplace.connection, "select count(*) from learning.windows where stream = 'twice'") == 1

    def test_an_insert_that_crosses_the_threshold_has_a_window_cut(self, workplace: Workplace) -> None:
        workplace.connection.execute("insert into learning.streams (stream, threshold) values ('full', 600)")
        made = "select count(*), count(crossed_at) from learning.windows where stream = 'full' and state = 'ready'"
        for n in range(1, 6):
            workplace.connection.execute(EVENTS.encode(), ("full", 600))
            workplace.wait(lambda n=n: workplace.connection.execute(made.encode()).fetchone()[0] == n, f"window {n}")
        # The keeper's sweep comes once a second, and now and then it is the first.
        _, by_tasks = workplace.connection.execute(made.encode()).fetchone()
        assert by_tasks >= 3

    def test_expired_results_are_forgotten(self, workplace: Workplace) -> None:
        task = workplace.ask("send", name="celery.backend_cleanup")
        assert workplace.ask("result", task=task) is None

    def sending(self, word: str) -> str:
        """Return SQL that sends a note."""
        return f"select learning.send_task('housekeeping', 'contract.note', '{{\"word\": \"{word}\"}}')"
