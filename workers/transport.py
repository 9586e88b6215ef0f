"""PostgreSQL as Celery's broker: kombu's PGMQ transport with its three gaps closed.

As shipped, long reply-queue names are refused, and direct bindings live in the memory of one process, so that
inspect and control never hear an answer. The third gap, an overload of `pgmq.send_topic`, is closed by a
migration.
"""

from __future__ import annotations

import hashlib
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, pgmq

SCHEME = "tidegate"
# PGMQ takes 47 characters and adds a prefix of its own to index names.
LONGEST_NAME = 44


def short_name(name: str) -> str:
    """Return a queue name that PGMQ takes: long ones keep their head and get a hash."""
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:27]}_{hashlib.sha256(name.encode()).hexdigest()[:16]}"


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


class Transport(pgmq.Transport):
    """The transport behind `tidegate://`."""

    Channel = Channel


def register() -> None:
    """Make `tidegate://` a broker URL."""
    TRANSPORT_ALIASES[SCHEME] = "workers.transport:Transport"
