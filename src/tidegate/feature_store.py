"""The Feast store of this process, and the plain Feast command with the same settings.

One store a process, and never one from before a fork: two stores clear each other's caches on every call,
and forked processes would talk over one connection. Importing Feast takes seconds, so it waits until somebody
needs a store.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from string import Template
from threading import RLock
from typing import TYPE_CHECKING, Any

from tidegate.errors import MissingPackage, TidegateError
from tidegate.postgres import Database
from tidegate.postgres.variables import feast_variables
from tidegate.settings import get_settings

if TYPE_CHECKING:
    from feast import FeatureStore

FOLDER = "feature_repo"
SETTINGS = "feature_store.yaml"
STOCK_SETTINGS = "stock_store.yaml"  # the same on Feast's own stores

_lock = RLock()
_store: FeatureStore | None = None
_conninfo = ""


def repository() -> Path:
    """Return the folder of the definitions: beside `src` in a checkout, else beside the package."""
    package = Path(__file__).parent
    for folder in (package.parent / FOLDER, package.parent.parent / FOLDER):
        if (folder / SETTINGS).is_file():
            return folder
    raise TidegateError(
        "The feature definitions are not installed.", "Install tidegate from its repository: `make setup`."
    )


def settings_file() -> Path:
    """Return the feature_store.yaml that is in force."""
    return repository() / (SETTINGS if get_settings().feast_stores == "tidegate" else STOCK_SETTINGS)


def command(arguments: Sequence[str]) -> list[str]:
    """Return the plain Feast command for our definitions. Raises MissingPackage."""
    _require_feast()
    return [sys.executable, "-m", "feast.cli.cli", "-c", str(repository()), "-f", str(settings_file()), *arguments]


def environment(database: Database) -> dict[str, str]:
    """Return the environment in which that command finds the database."""
    return os.environ | feast_variables(database)


def settings(database: Database) -> dict[str, Any]:
    """Return feature_store.yaml as Feast would read it, without touching this process's environment."""
    import yaml

    text = settings_file().read_text(encoding="utf-8")
    read: dict[str, Any] = yaml.safe_load(Template(text).safe_substitute(feast_variables(database)))
    return read


def served_views(database: Database) -> frozenset[str]:
    """Return the views that the online store serves from live tables: nothing is ever copied for them."""
    return frozenset(settings(database)["online_store"].get("tables", ()))


@contextmanager
def opened(database: Database) -> Iterator[FeatureStore]:
    """Yield this process's store on a database, for any thread.

    A store whose connection failed is thrown away: Feast's own would never connect again.
    """
    import psycopg
    from psycopg_pool import PoolTimeout
    from sqlalchemy.exc import DBAPIError

    try:
        yield _get(database)
    except (psycopg.Error, PoolTimeout, DBAPIError):
        close()
        raise


def close() -> None:
    """Close this process's store and its connections; the next caller opens another."""
    global _store
    with _lock:
        store, _store = _store, None
    if store is not None:
        _disconnect(store)


def open_store(database: Database) -> FeatureStore:
    """Return a store of the caller's own, for a process that uses no other. Raises MissingPackage."""
    _require_feast()
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

    return FeatureStore(config=RepoConfig(**settings(database), repo_path=repository()))


def _get(database: Database) -> FeatureStore:
    global _store, _conninfo
    with _lock:
        if _store is None or _conninfo != database.conninfo:
            close()
            _store, _conninfo = open_store(database), database.conninfo
        return _store


def _disconnect(store: Any) -> None:
    """Close what Feast leaves to the garbage collector."""
    online = store._get_provider().online_store  # noqa: SLF001  # Feast has no public way to close it
    if hasattr(online, "disconnect"):
        online.disconnect()
    elif online._conn_pool is not None:  # noqa: SLF001
        online._conn_pool.close()  # noqa: SLF001
    store.registry.write_engine.dispose()


def _forget() -> None:
    """Leave the parent's store to the parent."""
    global _store, _lock
    _store, _lock = None, RLock()


def _require_feast() -> None:
    if find_spec("feast") is None:
        raise MissingPackage("Feast is not installed.", "Install it: pip install 'tidegate[feast]'.")


os.register_at_fork(after_in_child=_forget)
