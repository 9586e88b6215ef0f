"""PostgreSQL as Celery's broker: kombu's PGMQ transport with its five gaps closed.

As shipped, long reply-queue names are refused, and direct bindings live in the memory of one process, so that
inspect and control never hear an answer. A worker that had its hands full does not notice when a task ends:
it sleeps a second, and works through a burst at two tasks a second; and one that could not acknowledge a task
while the database was away keeps its hands full for ever. The fifth gap, an overload of `pgmq.send_topic`, is
closed by a migration.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
from kombu.transport import TRANSPORT_ALIASES, pgmq, virtual
from psycopg import sql
from psycopg_pool import PoolTimeout

from tidegate.queries import queries

SCHEME = "tidegate"
# PGMQ takes 47 characters and adds a prefix of its own to index names.
LONGEST_NAME = 44
# One more than the client's pool holds connections: after a restart of the server each of them is found broken once.
TRIES = 5

# How long a worker with full hands looks for nothing but an ended task, in seconds; then also for commands.
GLANCE = 0.02

log = logging.getLogger("kombu.pgmq")


def short_name(name: str) -> str:
    """Return a queue name that PGMQ takes: long ones keep their head and get a hash."""
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:27]}_{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def queue_name(name: str) -> str:
    """Return the name of the PGMQ queue behind a Celery queue."""
    return short_name(name.translate(pgmq.CHARS_REPLACE_TABLE))


def forget_silent_queues(connection: psycopg.Connection[Any]) -> list[str]:
    """Drop the queues for commands and replies that nobody has read for a day; return them.

    Each worker has one under its host's name, and a container has a new name each time. What is dropped by
    mistake is made again when its worker reconnects.
    """
    bound = connection.execute(queries["command_queues"]).fetchall()
    silent = [queue for (queue,) in bound if is_silent(connection, queue_name(queue))]
    for queue in silent:
        with connection.transaction():
            connection.execute(queries["drop_command_queue"], {"queue": queue, "name": queue_name(queue)})
    return silent


def is_silent(connection: psycopg.Connection[Any], name: str) -> bool:
    """Return whether a queue holds a message of yesterday; a worker takes them within a second."""
    oldest = sql.SQL("select min(enqueued_at) < now() - interval '1 day' from pgmq.{}")
    row = connection.execute(oldest.format(sql.Identifier(f"q_{name}".lower()))).fetchone()
    return row is not None and bool(row[0])


class Channel(pgmq.Channel):
    """A channel whose bindings are rows, so that every process knows them."""

    def canonical_queue_name(self, queue_name: str) -> str:
        """Return the name of the PGMQ queue."""
        return short_name(super().canonical_queue_name(queue_name))

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        super()._queue_bind(exchange, routing_key, pattern, queue)
        self.pgmq._execute(  # noqa: SLF001  # the client has no public way to run SQL
            "insert into learning.queue_bindings values (%s, %s, %s, %s) on conflict do nothing",
            (exchange, routing_key or "", pattern or "", queue),
        )

    def get_table(self, exchange: str) -> list[tuple[str, str, str]]:
        """Return (routing key, pattern, queue) of each binding of an exchange."""
        rows = self.pgmq._execute_with_result(  # noqa: SLF001
            "select routing_key, pattern, queue from learning.queue_bindings where exchange = %s", (exchange,)
        )
        return [tuple(row) for row in rows]

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        self.pgmq._execute(  # noqa: SLF001
            "delete from learning.queue_bindings where queue = %s", (queue,)
        )
        super()._delete(queue, *args, **kwargs)

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Acknowledge a message; where the database is away it is delivered again, which every task bears."""
        self._settle(lambda: super(Channel, self).basic_ack(delivery_tag, multiple), delivery_tag)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Reject a message; where the database is away it is delivered again."""
        self._settle(lambda: super(Channel, self).basic_reject(delivery_tag, requeue), delivery_tag)

    def _settle(self, settle: Callable[[], None], delivery_tag: str) -> None:
        """Settle a message, or leave it to its visibility timeout; say that there is room for another."""
        for _ in range(TRIES):
            try:
                settle()
                break
            except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
                log.warning("%s", error)
        else:
            virtual.Channel.basic_ack(self, delivery_tag)  # forget it here only
        self.connection.ended.set()


class Waiter(pgmq._NotifyWaiter):  # noqa: SLF001  # the transport offers no public place to wait elsewhere
    """Waits for a message, or, with full hands, for a task to end."""

    def __init__(self, dsn: str, ended: threading.Event, full: Callable[[], bool]) -> None:
        super().__init__(dsn)
        self._ended = ended
        self._full = full

    def wait(self, timeout: float | None) -> bool:
        """Return whether there may be something to fetch, within `timeout` seconds."""
        if not self._full():
            return bool(super().wait(timeout))
        until = time.monotonic() + (timeout or 0.0)
        while time.monotonic() < until:
            if self._ended.wait(GLANCE):
                self._ended.clear()
                return True
            if super().wait(0):  # a command for the worker itself
                return True
        return False


class Transport(pgmq.Transport):
    """The transport behind `tidegate://`."""

    Channel = Channel

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self.ended = threading.Event()
        self._notify_waiter: Waiter | None = None

    def full(self) -> bool:
        """Return whether a channel may take no message before one of its tasks has ended."""
        return any(not channel.qos.can_consume() for channel in self.channels)

    def _get_notify_waiter(self) -> Waiter:
        if self._notify_waiter is None:
            self._notify_waiter = Waiter(self._get_pgmq_client().config.dsn, self.ended, self.full)
        return self._notify_waiter


def register() -> None:
    """Make `tidegate://` a broker URL."""
    TRANSPORT_ALIASES[SCHEME] = "workers.transport:Transport"
