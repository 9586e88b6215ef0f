"""The Celery application. Each option stands with its reason.

The table is the truth, the queue is a nudge: every task carries an id, may run twice and may be lost.
"""

from __future__ import annotations

import warnings
from typing import Any

from celery import Celery
from celery.platforms import SecurityWarning
from celery.signals import setup_logging
from kombu import Queue

from tidegate import log
from tidegate.settings import Settings, get_settings
from workers import transport
from workers.connections import database

QUEUES = ("features", "gpu", "housekeeping")


def broker(settings: Settings) -> dict[str, Any]:
    """Return the broker's part of the configuration: PostgreSQL itself, unless another is named.

    `visibility_seconds` is how long a task that a worker has taken stays hidden from the others. It is longer
    than any step but training: a training task that is repeated finds its window claimed, and ends.
    """
    if settings.broker_url:
        return {"broker_url": settings.broker_url, "broker_transport_options": elsewhere(settings)}
    transport.register()
    return {
        "broker_url": f"{transport.SCHEME}://localhost",  # the name is not used, and missed where there is none
        "broker_transport_options": {
            # The URI form loses the socket folder, and the client would read DATABASE_URL without this.
            "conn_string": database().conninfo,
            # A migration has installed it; the worker's role need not be able to.
            "init_extension": False,
            # Wake on NOTIFY at once instead of polling each second: 25 ms from send to start against 500.
            "wait_time_seconds": 0,
            "use_notify": True,
            "notify_throttle_interval_ms": 0,
            "visibility_timeout": settings.visibility_seconds,
            "pool_size": 4,
            # Without it a worker waits 30 s for each connection while the database restarts.
            "pool_timeout": 5,
        },
    }


def elsewhere(settings: Settings) -> dict[str, Any]:
    """Return the options of another broker. RabbitMQ sees a dead worker's connection end and needs none."""
    if not settings.broker_url or not settings.broker_url.startswith(("redis", "rediss", "sentinel", "valkey")):
        return {}
    return {
        # Redis does not see a worker die either: the stock hour is how long its tasks would lie.
        "visibility_timeout": settings.visibility_seconds,
        # Looked after every ten seconds; stock looks at every tenth of these looks only.
        "unacked_restore_interval": min(10, settings.visibility_seconds),
        "unacked_restore_throttle": 1,
    }


def configuration(settings: Settings) -> dict[str, Any]:
    """Return the whole configuration."""
    return broker(settings) | {
        "result_backend": settings.result_backend or f"db+{database().sqlalchemy_url}",
        "database_table_schemas": {"task": "celery", "group": "celery"},
        "result_expires": 86_400,
        # Nothing is trusted: pickles would run code.
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "task_queues": [Queue(name, routing_key=name) for name in QUEUES],
        "task_default_queue": "housekeeping",
        # A task whose worker dies goes back to the queue: all of them may run twice.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # A task that runs on while its connection is replaced is finished, and repeated, which it bears.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # A prefetched window would wait behind a training that another worker could be spared.
        "worker_prefetch_multiplier": 1,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # Each event is a message on the same PostgreSQL; nobody watches them by default.
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "timezone": "UTC",
        "imports": ("workers.windows", "workers.increments"),
    }


@setup_logging.connect
def speak_like_the_rest(**_: Any) -> None:
    """Log one line per event, as every other process does."""
    settings = get_settings()
    log.configure(settings.log_level, settings.log_format)


# Celery warns root because pickled messages would run code; only JSON is accepted here.
warnings.filterwarnings("ignore", category=SecurityWarning)

app = Celery("tidegate")
# When it is first asked for: whoever only imports a worker's module must not start or join a database.
app.add_defaults(lambda: configuration(get_settings()))
