"""Hands tasks that SQL has put on the PostgreSQL queue on to another broker.

The trigger always enqueues in the writer's transaction; where Celery listens on RabbitMQ or Redis, the keeper
moves the messages. A message is deleted after it was sent, so a crash between the two sends it twice, which
every task allows.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from kombu.exceptions import OperationalError

from tidegate.errors import BrokerUnavailable
from workers.app import QUEUES, app
from workers.connections import connection

RELAY_EVERY = 0.05  # seconds: added to the way from a crossing insert to its task
BATCH = 100
# How long a message stays invisible to other keepers while this one sends it, in seconds.
HIDDEN = 30


def relay() -> None:
    """Move what waits, queue by queue."""
    held = connection()
    for queue in QUEUES:
        for number, message in held.execute(
            "select msg_id, message from pgmq.read(%s, %s, %s)", (queue, HIDDEN, BATCH)
        ).fetchall():
            name, kwargs = decode(message)
            send(queue, message["headers"]["id"], name, kwargs)
            held.execute("select pgmq.delete(%s, %s::bigint)", (queue, number))


def send(queue: str, task: str, name: str, kwargs: dict[str, Any]) -> None:
    """Send a task under its own id. Raises BrokerUnavailable; the message then waits in PostgreSQL."""
    try:
        app.send_task(name, kwargs=kwargs, queue=queue, task_id=task)
    except OperationalError as error:
        raise BrokerUnavailable(f"The broker takes no tasks: {error}.") from error


def decode(message: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the task's name and arguments from a protocol 2 message."""
    _, kwargs, _ = json.loads(base64.b64decode(message["body"]))
    return message["headers"]["task"], kwargs
