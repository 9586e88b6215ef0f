"""One PostgreSQL for the whole run, one migrated template in it, one clone of that for each test.

Cloning costs tens of milliseconds, so every test has a database of its own and leaves nothing behind.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from tests.support.databases import clone, drop
from tests.support.processes import Command, tidegate
from tidegate import migrate
from tidegate.postgres import Database, EmbeddedServer
from tidegate.postgres.profiles import TEST
from tidegate.settings import get_settings

TEMPLATE = "template_tidegate"
_numbers = count(1)


def pytest_configure() -> None:
    """Have the processes that tests interrupt hear it: a run in the background ignores Ctrl-C, and so would they."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Hide the developer's settings: no TIDEGATE_, no PG, no DATABASE_URL, no .env, no .tidegate."""
    for name in [name for name in os.environ if name.startswith(("TIDEGATE_", "PG")) or name == "DATABASE_URL"]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def server_home() -> Iterator[Path]:
    """Where the run's PostgreSQL keeps its files."""
    home = open_folder()
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def server(server_home: Path) -> Iterator[Database]:
    """The run's PostgreSQL, without durability, as its database `tidegate`."""
    embedded = EmbeddedServer(server_home, TEST)
    database = Database(embedded.join(), embedded)
    yield database
    database.close()


@pytest.fixture(scope="session")
def template(server: Database) -> Database:
    """A database with the whole schema and no rows. Clone it, never write to it."""
    made = clone(server, TEMPLATE, "template0")
    migrate.upgrade(made)
    return made


@pytest.fixture
def database(server: Database, template: Database) -> Iterator[Database]:
    """A fresh database with the whole schema."""
    made = clone(server, f"test_{next(_numbers)}", TEMPLATE)
    yield made
    drop(server, made)


@pytest.fixture
def empty_database(server: Database) -> Iterator[Database]:
    """A fresh database that no migration has touched."""
    made = clone(server, f"empty_{next(_numbers)}", "template0")
    yield made
    drop(server, made)


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """A connection to `database` in autocommit: each statement is a transaction of its own."""
    with database.connect(autocommit=True) as made:
        yield made


@pytest.fixture
def environment(database: Database) -> dict[str, str]:
    """The environment of a process that shall work on `database`."""
    return os.environ | {"TIDEGATE_DATABASE_URL": database.conninfo}


@pytest.fixture
def run(environment: dict[str, str]) -> Command:
    """Run a command that must succeed; return what it printed."""

    def command(*arguments: str) -> str:
        done = tidegate(*arguments, environment=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return command


@pytest.fixture
def refuse(environment: dict[str, str]) -> Command:
    """Run a command that must fail in one line; return that line."""

    def command(*arguments: str) -> str:
        done = tidegate(*arguments, environment=environment)
        assert (done.returncode, done.stdout) == (1, ""), done.stdout
        assert len(done.stderr.splitlines()) == 1, done.stderr
        return done.stderr

    return command


@pytest.fixture(scope="session")
def initialised_home() -> Iterator[Path]:
    """The home of an embedded server that has run once."""
    made = open_folder()
    server = EmbeddedServer(made, TEST)
    server.join()
    server.leave()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def bare_home() -> Iterator[Path]:
    """A folder for an embedded server of the test's own, which is stopped afterwards."""
    made = open_folder()
    yield made
    EmbeddedServer(made).stop(force=True)
    shutil.rmtree((made / "postgres").resolve(), ignore_errors=True)
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def home(initialised_home: Path) -> Iterator[Path]:
    """The same with its cluster made already: one for all tests, each of which finds and leaves it stopped."""
    yield initialised_home
    server = EmbeddedServer(initialised_home)
    left = server.status().holders
    server.stop(force=True)
    assert left == [], "the test left a holder behind"


def open_folder() -> Path:
    """Return a new folder that the server's user can enter; pytest's own are private."""
    made = Path(tempfile.mkdtemp(prefix="tidegate-test-", dir="/tmp"))
    made.chmod(0o755)
    return made
