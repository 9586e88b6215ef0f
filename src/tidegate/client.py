"""tidegate from Python: record events, ask for recommendations, read live features.

    with tidegate.Client() as client:
        client.record({"user_id": "ada", "item_id": "tea-3", "event_type": "purchase", "value": 4.5})
        for item in client.recommend("ada", k=5):
            print(item.place, item.title, item.why)

A client may be shared by all threads of a process. It survives a restart of the database: what was not
committed is tried once more, and where the answer to a commit was lost the error says so instead of writing
the events twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from tidegate import catalogue, events
from tidegate.catalogue import Kind, Merged
from tidegate.errors import DatabaseUnavailable
from tidegate.events import Receipt
from tidegate.postgres import Database, open_database
from tidegate.recommend import Recommendation, Source, recommend, user_features
from tidegate.settings import get_settings, read_settings

Answer = TypeVar("Answer")
CONNECT_SECONDS = 5  # a pool that cannot connect says so instead of waiting for minutes


class Interrupted(Exception):
    """The connection was lost before the commit: nothing happened, and trying again is safe."""


class CommitUnknown(DatabaseUnavailable):
    """The answer to a commit was lost."""

    next_step = "It is not known whether the last write counts: look before you repeat it, or write with a batch key."


class Client:
    """One database, by a pool of connections that threads share.

    `database_url` None takes the settings' database, the embedded server included. `source` is what
    impressions say.
    """

    def __init__(self, database_url: str | None = None, *, source: Source = "python", connections: int = 8) -> None:
        settings = get_settings() if database_url is None else read_settings(database_url=database_url)
        self._source: Source = source
        self._database = open_database(settings)
        self._pool = ConnectionPool(
            self._database.conninfo,
            min_size=1,
            max_size=connections,
            open=True,
            timeout=CONNECT_SECONDS,
            reconnect_timeout=CONNECT_SECONDS,
            check=ConnectionPool.check_connection,  # a restart of the server leaves dead connections
            kwargs={"connect_timeout": CONNECT_SECONDS, "application_name": f"tidegate {source}"},
            name=f"tidegate {source}",
        )

    @property
    def database(self) -> Database:
        """The database that it works on."""
        return self._database

    def record(
        self, given: Mapping[str, Any] | Iterable[Mapping[str, Any]], *, batch_key: str | None = None
    ) -> Receipt:
        """Write one event or many in one transaction; say which were quarantined, and why.

        A `batch_key` makes it safe to write them again: within the horizon they count once, so a commit whose
        answer is lost is repeated here.
        """
        many = [given] if isinstance(given, Mapping) else list(given)

        def write(connection: psycopg.Connection[Any]) -> Receipt:
            return events.record(connection, many, batch_key)

        try:
            return self.run(write)
        except CommitUnknown:
            if batch_key is None:
                raise
            return self.run(write)

    def recommend(self, user: str, k: int = 10, stream: str = events.DEFAULT_STREAM) -> list[Recommendation]:
        """Return the k best items for a user, the best first; an unknown user gets what is popular."""
        return self.run(lambda connection: recommend(connection, user, k, stream, self._source))

    def features(self, user: str) -> dict[str, Any]:
        """Return a user's live features by their names in Feast, fresh at commit; empty if unknown."""
        return self.run(lambda connection: user_features(connection, user))

    def put(self, kind: Kind, rows: Sequence[Mapping[str, Any]]) -> Merged:
        """Bring items or users into the catalogue; what breaks a rule is left out and named."""
        return self.run(lambda connection: catalogue.merge(connection, kind, rows))

    def run(self, action: Callable[[psycopg.Connection[Any]], Answer]) -> Answer:
        """Run an action in a transaction of its own. Raises DatabaseUnavailable."""
        try:
            return self._attempt(action)
        except Interrupted:
            return self._last_attempt(action)

    def close(self) -> None:
        """Close the connections and give the lease on the embedded server back."""
        self._pool.close()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _attempt(self, action: Callable[[psycopg.Connection[Any]], Answer]) -> Answer:
        """Run and commit. Raises Interrupted where the connection broke before the commit."""
        try:
            with self._pool.connection() as connection, connection.transaction():
                return _uncommitted(connection, action)
        except PoolTimeout as error:
            raise DatabaseUnavailable(f"No connection to {self._database}: {error}.") from None
        except psycopg.OperationalError as error:
            raise CommitUnknown(f"The connection was lost while committing: {error}.") from None

    def _last_attempt(self, action: Callable[[psycopg.Connection[Any]], Answer]) -> Answer:
        try:
            return self._attempt(action)
        except Interrupted as error:
            raise DatabaseUnavailable(f"The connection to {self._database} breaks: {error}.") from None


def _uncommitted(connection: psycopg.Connection[Any], action: Callable[[psycopg.Connection[Any]], Answer]) -> Answer:
    """Run an action; a lost connection is told apart from an error of the server on a living one."""
    try:
        return action(connection)
    except psycopg.OperationalError as error:
        if connection.closed or connection.broken:
            raise Interrupted(str(error).strip().partition("\n")[0].rstrip(".")) from error
        raise DatabaseUnavailable(f"PostgreSQL: {str(error).strip().partition(chr(10))[0].rstrip('.')}.") from None
