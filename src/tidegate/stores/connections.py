"""Connections of a store: a pool for threads, a pool for each event loop, and none from before a fork.

A connection always goes back to its pool, whatever happens in between. One whose server went away is thrown away, and
the work is done once more on a new one: reading is repeatable, and so is a guarded upsert.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

T = TypeVar("T")
Loops = WeakKeyDictionary[asyncio.AbstractEventLoop, "AsyncConnectionPool[Any]"]

PREPARED = 500  # statements that a connection keeps: one for each set of features that is asked for
PATIENCE = 10.0  # seconds to wait for a free connection
# A statement prepared before a column changed its type, and a connection that is gone.
RETRIED = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.FeatureNotSupported)

_all: WeakSet[Connections] = WeakSet()
_left_behind: list[
    Any
] = []  # the parent's pools: to close them, or to let them be collected, would talk on its sockets


def conninfo(config: Any) -> str:
    """Return how to reach the database that a store's settings name."""
    return make_conninfo(
        host=config.host,
        port=config.port,
        dbname=config.database,
        user=config.user,
        password=config.password,
        sslmode=config.sslmode,
        sslkey=config.sslkey_path,
        sslcert=config.sslcert_path,
        sslrootcert=config.sslrootcert_path,
        keepalives_idle=config.keepalives_idle,
        options=f"-c timezone=UTC -c search_path={search_path(config)}",
    )


def search_path(config: Any) -> str:
    """Return where extensions' operators are found; tables are always named with their schema."""
    schema = schema_of(config)
    return schema if schema == "public" else f"{schema},public"


def schema_of(config: Any) -> str:
    """Return the schema of a store's tables."""
    return str(config.db_schema or config.user).strip()


class Connections:
    """The connections of one store to one database, opened when first needed."""

    def __init__(self, config: Any) -> None:
        self.conninfo = conninfo(config)
        self._sizes = {"min_size": min(config.min_conn, config.max_conn), "max_size": config.max_conn}
        self._pool: ConnectionPool[Any] | None = None
        self._async_pools: Loops = WeakKeyDictionary()
        self._lock = Lock()
        _all.add(self)

    def run(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """Return what the work returns on a connection, in autocommit; it may be called twice."""
        pool = self._pool or self._opened()
        connection = pool.getconn()
        try:
            return work(connection)
        except RETRIED as error:
            if not _lost(connection, error):
                raise
            connection.close()
        finally:
            pool.putconn(connection)
        pool.check()  # its other idle connections are probably gone too
        with pool.connection() as fresh:
            return work(fresh)

    async def run_async(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]) -> T:
        """Return what the work returns on a connection of this event loop; it may be called twice."""
        pool = await self._opened_async()
        connection = await pool.getconn()
        try:
            return await work(connection)
        except RETRIED as error:
            if not _lost(connection, error):
                raise
            await connection.close()
        finally:
            await pool.putconn(connection)
        await pool.check()
        async with pool.connection() as fresh:
            return await work(fresh)

    def close(self) -> None:
        """Close the threads' pool; the next `run` opens another."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    async def close_async(self) -> None:
        """Close both pools, the threads' and this event loop's."""
        self.close()
        pool = self._async_pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.close()

    async def open_async(self) -> None:
        """Open this event loop's pool now rather than at the first read, which says so if it cannot be opened."""
        with suppress(PoolTimeout):
            await self._opened_async()

    def _opened(self) -> ConnectionPool[Any]:
        with self._lock:
            if self._pool is None:
                self._pool = ConnectionPool(self.conninfo, open=True, configure=_configure, **self._options())
            return self._pool

    async def _opened_async(self) -> AsyncConnectionPool[Any]:
        loop = asyncio.get_running_loop()
        pool = self._async_pools.get(loop)
        if pool is None:
            pool = AsyncConnectionPool(self.conninfo, open=False, configure=_configure_async, **self._options())
            self._async_pools[loop] = pool  # before the first await: no second one is made meanwhile
        if pool.closed:
            await self._open(loop, pool)
        return pool

    async def _open(self, loop: asyncio.AbstractEventLoop, pool: AsyncConnectionPool[Any]) -> None:
        """Open a pool and wait for its connections: a loop that ends while one is being made may never end."""
        try:
            await pool.open(wait=True, timeout=PATIENCE)
        except BaseException:  # a pool that was closed cannot be opened again
            self._async_pools.pop(loop, None)
            raise

    def _options(self) -> dict[str, Any]:
        return {**self._sizes, "timeout": PATIENCE, "kwargs": {"autocommit": True}}

    def _forget(self) -> None:
        """Leave the parent's pools to the parent."""
        _left_behind.extend([self._pool, *self._async_pools.values()])
        self._pool, self._async_pools, self._lock = None, WeakKeyDictionary(), Lock()


def _lost(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any], error: Exception) -> bool:
    return connection.closed or isinstance(error, psycopg.errors.FeatureNotSupported)


def _configure(connection: psycopg.Connection[Any]) -> None:
    connection.cursor_factory = psycopg.RawCursor  # $1 and no rewriting of long statements
    connection.prepared_max = PREPARED


async def _configure_async(connection: psycopg.AsyncConnection[Any]) -> None:
    connection.cursor_factory = psycopg.AsyncRawCursor
    connection.prepared_max = PREPARED


def _forget_all() -> None:
    for connections in list(_all):
        connections._forget()  # noqa: SLF001  # the same module


os.register_at_fork(after_in_child=_forget_all)
