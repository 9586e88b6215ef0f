"""Killing real processes at the step where it hurts, without a hook in the programs.

The test's database gets triggers that wait on an advisory lock. While the test holds the lock of a place, whoever
comes there stops, and `pg_locks` shows that he has arrived: then something is killed, and the lock released.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psycopg
import pytest

from tests.support.waiting import wait_until
from tidegate import migrate
from tidegate.features import apply_definitions
from tidegate.postgres import Database, EmbeddedServer
from tidegate.postgres.profiles import TEST
from tidegate.settings import get_settings
from tidegate.stack import COMMANDS, Service, Stack

# Where a process can be held: name, table, and when the trigger fires.
PLACES = {
    "claimed": ("learning.runs", "after update of step", "new.step = 'read' and old.step <> new.step"),
    "features read": ("learning.runs", "after update of step", "new.step = 'score' and old.step <> new.step"),
    "weights written": ("learning.weights", "after insert", "true"),
    "evaluations written": ("learning.evaluations", "after insert", "true"),
    "about to publish": ("learning.runs", "after update of step", "new.step = 'publish' and old.step <> new.step"),
    # Deferred: it fires when the client has asked for the commit and the server has not begun it.
    "before the commit": ("learning.versions", "after insert", "deferred"),
    # The trainer has committed; its parent acknowledges the task.
    "after the commit": ("pgmq.q_gpu", "before delete", "true"),
    "materialising": ("features.user_timelines", "after insert", "true"),
    "going online": ("feast.tidegate_user_activity", "before insert", "true"),
}
LOCKS = 7041  # class of our advisory locks
HOLD = f"""
create schema holding;
create function holding.wait() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared({LOCKS}, tg_argv[0]::int);
    return case tg_op when 'DELETE' then old else new end;
end
$$;
"""
TRIGGER = "create trigger hold_{n} {when} on {table} for each row when ({condition}) execute function holding.wait({n})"
DEFERRED = (
    "create constraint trigger hold_{n} {when} on {table} deferrable initially deferred"
    " for each row execute function holding.wait({n})"
)
ARRIVED = f"select pid from pg_locks where locktype = 'advisory' and classid = {LOCKS} and objid = %s and not granted"
LISTENING = "select count(*) from pg_stat_activity where query ilike 'listen%'"
PATIENCE = 120.0  # seconds: processes that import torch and Feast on a machine that others use too
EVENTS = 300
USERS = 30
SHELVES = (("apple", "pear", "plum", "cherry", "grape"), ("hammer", "saw", "drill", "wrench", "chisel"))
QUICK = '{"first_epochs": 1, "first_steps": 20, "epochs": 1}'
SLOW = '{"epochs": 60}'  # so that a fit takes longer than it takes to notice that it has begun


def place_number(place: str) -> int:
    """Return the number of a place's lock."""
    return list(PLACES).index(place)


def install_holds(connection: psycopg.Connection[Any]) -> None:
    """Make every place one where a process can be held."""
    connection.execute(HOLD.encode())
    for place, (table, when, condition) in PLACES.items():
        pattern = DEFERRED if condition == "deferred" else TRIGGER
        made = pattern.format(n=place_number(place), table=table, when=when, condition=condition)
        connection.execute(made.encode())


@dataclass
class World:
    """A stack on a server of its own, and what a test does to it."""

    home: Path
    server: EmbeddedServer
    database: Database
    environment: dict[str, str]
    stack: Stack
    port: int
    lines: list[str] = field(default_factory=list)
    connection: psycopg.Connection[Any] = field(init=False)
    day: int = 0

    # What happens in it

    def shop(self) -> None:
        """Insert the events of a window: half of the users take fruits, half take tools."""
        self.day += 1
        random = np.random.default_rng(self.day)
        with self.connection.cursor() as cursor:
            cursor.executemany(
                "insert into ingest.behaviour_events (user_id, item_id, event_type, value, occurred_at)"
                " values (%s, %s, 'purchase', 1,"
                "         timestamptz '2026-01-01' + %s * interval '1 day' + %s * interval '1 s')",
                [
                    (f"user-{user}", str(random.choice(SHELVES[user % 2])), self.day, number)
                    for number, user in enumerate(random.integers(USERS, size=EVENTS).tolist())
                ],
            )

    def cut(self) -> int:
        """Insert a window's events and cut it; return it."""
        self.shop()
        return int(self.one("select learning.cut_window('default', null, true)"))

    def send(self, window: int) -> None:
        """Put a window's training on the queue once more."""
        self.one(
            "select learning.send_task('gpu', 'tidegate.train_window', jsonb_build_object('window_id', %s::bigint))",
            [window],
        )

    def trained(self, window: int, seconds: float = PATIENCE) -> None:
        """Wait until a window is trained."""

        def is_trained() -> bool:
            state = self.one("select state from learning.windows where window_id = %s", [window])
            assert state != "parked", self.one("select traceback from learning.windows where window_id = %s", [window])
            return bool(state == "trained")

        wait_until(is_trained, seconds, f"window {window} trained")

    def idle(self, seconds: float = PATIENCE) -> None:
        """Wait until every service runs, and every task was acknowledged or waits for its redelivery."""
        for name, service in self.stack.services.items():
            wait_until(lambda s=service: s.process.poll() is None, seconds, f"{name} is started again")  # type: ignore[misc]
        unread = "select count(*) from pgmq.q_gpu where vt <= clock_timestamp()"
        wait_until(lambda: self.one(unread) == 0, seconds, "no task waits")

    # What is done to it

    @contextmanager
    def held(self, place: str) -> Iterator[Hold]:
        """Hold whoever comes to a place until the block ends or the hold is released."""
        hold = Hold(self, place)
        try:
            yield hold
        finally:
            hold.release()

    def kill(self, target: str) -> None:
        """End something as a crash does. The database is not started again by this."""
        trainer = self.pid("trainer") if target == "gpu" else None
        os.kill(self.pid(target), signal.SIGKILL)
        if target == "database":
            wait_until(lambda: self.server.status().running is False, 10, "the server is dead")
        if trainer is not None:  # it ends by itself, a second after its parent
            wait_until(lambda: not alive(trainer), 10, "the trainer has ended with its parent")

    def restart(self) -> None:
        """Start the killed database again, as a supervisor would, and connect anew."""
        self.connection.close()
        self.server.join()
        self.connection = self.database.connect(autocommit=True)

    def pid(self, target: str) -> int:
        """Return the process of a service, of the trainer or of the database."""
        if target == "database":
            pid = self.server.status().pid
            assert pid is not None
            return pid
        if target == "trainer":
            return trainer_of(self.stack.services["gpu"].process.pid)
        return self.stack.services[target].process.pid

    @contextmanager
    def second_gpu_worker(self) -> Iterator[Service]:
        """Run another gpu worker while the block is open; it is ready when the block begins."""
        listening = self.one(LISTENING)
        command = tuple("gpu2@%h" if word == "gpu@%h" else word for word in COMMANDS["gpu"])
        service = Service("gpu2", command, self.stack.services["gpu"].environment)
        service.start(self.say)
        wait_until(lambda: self.one(LISTENING) > listening, PATIENCE, "the second worker listens")
        try:
            yield service
        finally:
            service.stop()
            service.wait()

    # What is asked of it

    def one(self, query: str, values: list[Any] | None = None) -> Any:
        """Return the first value of the first row."""
        row = self.connection.execute(query.encode(), values).fetchone()
        return None if row is None else row[0]

    def answers(self) -> None:
        """Wait until the HTTP app recommends something, on the database as it is."""

        def recommended() -> bool:
            try:
                answer = httpx.get(f"http://127.0.0.1:{self.port}/recommend/user-1?k=3", timeout=5)
            except httpx.TransportError:
                return False
            return answer.status_code == 200 and len(answer.json()["items"]) == 3

        wait_until(recommended, PATIENCE, "GET /recommend answers")

    def say(self, name: str, line: str) -> None:
        """Keep a line of a process."""
        self.lines.append(f"{name:<9} {line}")

    def story(self) -> str:
        """Return what the processes said last, and where windows and runs are."""
        try:
            rows = self.connection.execute(
                "select window_id, position, w.state, r.run_id, attempt, r.state, step, worker, left(error, 90)"
                " from learning.windows w left join learning.runs r using (window_id) order by 1 desc, run_id limit 12"
            ).fetchall()
        except psycopg.Error as error:
            rows = [(str(error),)]
        return "\n".join([*self.lines[-90:], *(" | ".join(map(str, row)) for row in rows)])


class Hold:
    """An advisory lock on a place, held by the test."""

    def __init__(self, world: World, place: str) -> None:
        self.world = world
        self.number = place_number(place)
        self.place = place
        self.connection = world.database.connect(autocommit=True)
        self.connection.execute("select pg_advisory_lock(%s, %s)", (LOCKS, self.number))

    def arrival(self, seconds: float = PATIENCE) -> int:
        """Wait until somebody is held; return the process id of his session's server process."""

        def arrived() -> Any:
            row = self.connection.execute(ARRIVED.encode(), (self.number,)).fetchone()
            return row and row[0]

        return int(wait_until(arrived, seconds, f"somebody at '{self.place}'"))

    def cut_off(self, session: int) -> None:
        """End the session of a killed client before the server goes on with what it had asked for."""
        self.connection.execute("select pg_terminate_backend(%s, 5000)", (session,))

    def release(self) -> None:
        """Let everybody pass."""
        self.connection.close()


def trainer_of(worker: int) -> int:
    """Return the process id of a gpu worker's trainer, once it is there."""
    children = Path(f"/proc/{worker}/task/{worker}/children")

    def trainer() -> int | None:
        for child in children.read_text().split():
            if b"workers.trainer" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
        return None

    return int(wait_until(trainer, PATIENCE, "a trainer process") or 0)


def alive(pid: int) -> bool:
    """Return whether a process runs; one that has died and that nobody has asked after does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def world(**settings: str) -> Iterator[World]:
    """A running stack on a durable server of its own; its services are supervised, its server is not."""
    home = Path(tempfile.mkdtemp(prefix="tidegate-faults-", dir="/tmp"))
    home.chmod(0o755)
    # A killed server loses nothing without fsync: the kernel has what it wrote. Commits must wait for their log.
    server = EmbeddedServer(home, {**TEST, "synchronous_commit": "on"})
    database = Database(server.join())
    try:
        migrate.upgrade(database)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in settings.items():  # which stores the definitions are applied to
                patch.setenv(name, value)
            get_settings.cache_clear()
            apply_definitions(database)
        get_settings.cache_clear()
        with opened(home, server, database, settings) as made:
            yield made
    finally:
        server.stop(force=True)
        shutil.rmtree((home / "postgres").resolve(), ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def opened(home: Path, server: EmbeddedServer, database: Database, settings: dict[str, str]) -> Iterator[World]:
    """Run the stack."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGATE_")}
    environment |= {"TIDEGATE_DATABASE_URL": database.conninfo, "TIDEGATE_HTTP_PORT": str(port)} | settings
    stack = Stack(("keeper", "features", "gpu", "api"), environment=environment)
    made = World(home, server, database, environment, stack, port)
    stack.say = made.say
    stop = threading.Event()
    with database.connect(autocommit=True) as connection:
        made.connection = connection
        furnish(connection)
        with stack:
            supervisor = threading.Thread(target=stack.supervise, args=(stop,))
            supervisor.start()
            try:
                yield made
            finally:
                stop.set()
                supervisor.join()
    made.connection.close()


def furnish(connection: psycopg.Connection[Any]) -> None:
    """Fill the catalogue, make training quick, cut nothing but by hand, and install the holds."""
    with connection.cursor() as cursor:
        cursor.executemany(
            # Without texts: no cell waits for a language model.
            "insert into catalogue.items (item_id) values (%s)",
            [(item,) for shelf in SHELVES for item in shelf],
        )
    connection.execute("update learning.streams set threshold = 1000000, settings = %s", [QUICK])
    install_holds(connection)
