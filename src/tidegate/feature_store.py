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
_opened_for = ("", False)  # conninfo, and whether for training


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
    return _read(settings_file(), database)


def training_settings(database: Database) -> dict[str, Any]:
    """Return the settings of the store that a run reads by.

    Its offline store is tidegate's whichever is in force, because Feast's own knows no bounds: a run would see late
    events of later windows, and of parked ones, and none could be trained again. Its connections start with
    the database's own settings of the server, as all those of a run do.
    """
    offline = _read(repository() / SETTINGS, database)["offline_store"]
    return settings(database) | {"offline_store": offline | {"options": database.parameters.get("options", "")}}


def served_views(database: Database) -> frozenset[str]:
    """Return the views that the online store serves from live tables: nothing is ever copied for them."""
    return frozenset(settings(database)["online_store"].get("tables", ()))


@contextmanager
def opened(database: Database, training: bool = False) -> Iterator[FeatureStore]:
    """Yield this process's store on a database, for any thread: `training` is the one that a run reads by.

    A store whose connection failed is thrown away: Feast's own would never connect again.
    """
    import psycopg
    from psycopg_pool import PoolTimeout
    from sqlalchemy.exc import DBAPIError

    try:
        yield _get(database, training)
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


def open_store(database: Database, training: bool = False) -> FeatureStore:
    """Return a store of the caller's own, for a process that uses no other. Raises MissingPackage."""
    _require_feast()
    with _lock, _unchecked():
        from feast import FeatureStore
        from feast.infra.offline_stores.contrib.postgres_offline_store import postgres_source  # noqa: F401
        from feast.repo_config import RepoConfig

    said = training_settings(database) if training else settings(database)
    return FeatureStore(config=RepoConfig(**said, repo_path=repository()))


def _read(file: Path, database: Database) -> dict[str, Any]:
    import yaml

    text = file.read_text(encoding="utf-8")
    read: dict[str, Any] = yaml.safe_load(Template(text).safe_substitute(feast_variables(database)))
    return read


@contextmanager
def _unchecked() -> Iterator[None]:
    """Leave out the checks of types that Feast's classes get where they are defined, as `python -O` does.

    For each of their methods typeguard reads, rewrites and compiles a whole module again: 3 to 4 of the 5 CPU seconds
    that an import of Feast takes. Here objects come from a registry; `feast apply`, which reads definitions that
    somebody wrote, is a process of its own and keeps the checks.
    """
    import typeguard

    checked = typeguard.typechecked
    typeguard.typechecked = _as_it_is
    try:
        yield
    finally:
        typeguard.typechecked = checked


def _as_it_is(target: Any = None, **_: Any) -> Any:
    """Stand for a decorator, with arguments or without."""
    return _as_it_is if target is None else target


def _get(database: Database, training: bool) -> FeatureStore:
    global _store, _opened_for
    wanted = (database.conninfo, training)
    with _lock:
        if _store is None or _opened_for != wanted:
            close()
            _store, _opened_for = open_store(database, training), wanted
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
