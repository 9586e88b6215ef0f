"""What counts as an outage, said by a real server, and how long one is waited for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.faults import free_port
from tidegate.errors import DatabaseUnavailable
from tidegate.postgres import Database, is_outage
from tidegate.settings import get_settings
from workers import connections
from workers.connections import patiently


@pytest.fixture
def worker(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A worker process's view of `database`: this one's."""
    monkeypatch.setenv("TIDEGATE_DATABASE_URL", database.conninfo)
    get_settings.cache_clear()
    connections.database.cache_clear()
    yield
    connections.connection().close()
    connections.database.cache_clear()


def error_of(connection: psycopg.Connection, statement: str) -> psycopg.Error:
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(statement.encode())
    return caught.value


def test_a_session_that_an_administrator_ends_is_an_outage(database: Database, connection: psycopg.Connection) -> None:
    with database.connect(autocommit=True) as other:
        connection.execute("select pg_terminate_backend(%s)", [other.info.backend_pid])
        assert is_outage(error_of(other, "select 1"))
        assert is_outage(error_of(other, "select 1")), "the connection is closed"


def test_a_server_that_is_not_there_is_an_outage() -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        Database(f"host=127.0.0.1 port={free_port()} dbname=any").connect()
    assert is_outage(caught.value)


@pytest.mark.parametrize(
    "statement",
    [
        "select 1 / 0",
        "set statement_timeout = '10ms'; select pg_sleep(5)",
        "do $$ begin raise exception 'full' using errcode = 'disk_full'; end $$",
        "do $$ begin raise exception 'dead' using errcode = 'deadlock_detected'; end $$",
    ],
)
def test_what_is_wrong_with_the_work_is_no_outage(connection: psycopg.Connection, statement: str) -> None:
    assert not is_outage(error_of(connection, statement))


@pytest.mark.usefixtures("worker")
def test_a_lost_connection_is_replaced_and_the_work_done_again() -> None:
    sessions = []

    def work(held: psycopg.Connection) -> int:
        sessions.append(held.info.backend_pid)
        if len(sessions) == 1:
            os.kill(held.info.backend_pid, signal.SIGTERM)
        row = held.execute("select 41 + 1").fetchone()
        return 0 if row is None else int(row[0])

    assert patiently(work) == 42
    assert len(set(sessions)) == 2


@pytest.mark.usefixtures("worker")
def test_a_mistake_is_not_tried_again() -> None:
    tried = []

    def work(held: psycopg.Connection) -> None:
        tried.append(1)
        held.execute("select 1 / 0")

    with pytest.raises(psycopg.errors.DivisionByZero):
        patiently(work)
    assert len(tried) == 1


@pytest.mark.usefixtures("worker")
def test_a_worker_that_freezes_in_a_transaction_does_not_hold_its_locks_for_ever() -> None:
    row = connections.connection().execute("show idle_in_transaction_session_timeout").fetchone()
    assert row == ("1min",)
