"""Features by way of Feast: definitions applied, windows materialised, values as of a moment, values now.

A value's time is its row's: decayed counts are as of `event_at`, and a row at that time holds from just after
it. What Feast serves online are the live features, fresh at commit; with Feast's own online store
(TIDEGATE_FEAST_STORES=stock) it is as fresh as the last materialised window.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from tidegate import feature_store
from tidegate.errors import BadRequest, TidegateError
from tidegate.log import get_log
from tidegate.postgres import Database
from tidegate.queries import queries

if TYPE_CHECKING:
    from feast import FeatureStore

PROJECT = "tidegate"
ONLINE_VIEWS = {"user_activity", "item_activity"}  # what windows are copied to, unless they are served live
ACTIVITY = (
    "n_events",
    "n_view",
    "n_click",
    "n_cart",
    "n_purchase",
    "n_rating",
    "decayed_day",
    "decayed_week",
    "decayed_month",
    "spend",
    "rating_sum",
    "event_at",
)
# What the service holds of a user, and what a sequential recommender makes of it, in its order.
PROFILED = ACTIVITY[1:]
PROFILE = (*ACTIVITY[1:10], "rating_mean", "age_days")
CHUNK = 5_000  # entities written at once: a base period's window does not fit in memory as Feast's protos

log = get_log("features")

Features = dict[str, "int | float"]


@dataclass(frozen=True)
class Materialised:
    """What materialising a window wrote to the online store."""

    position: int  # of the window
    users: int  # users whose newest row is the window's; others have a later one already
    items: int
    seconds: float

    def __str__(self) -> str:
        if not self.users and not self.items:
            return "nothing to copy, its values are served live"
        return f"{self.users:,} users and {self.items:,} items in {self.seconds:.1f} s"


def apply_definitions(database: Database) -> bool:
    """Apply feature_repo to the registry if it changed since it was applied last; return whether it did.

    It runs the plain Feast command, which takes seconds and changes its current folder: neither is for this
    process.
    """
    wanted = definitions_hash(feature_store.repository())
    with database.connect(autocommit=True) as connection:
        connection.execute(queries["hold_definitions"])
        connection.execute(queries["make_applied_definitions"])
        if applied(connection) == wanted:
            return False
        started = time.perf_counter()
        forget_torn_down(connection)
        _run_apply(database)
        connection.execute(queries["note_definitions"], {"project": PROJECT, "hash": wanted})
        log.info("definitions applied in %.1f s", time.perf_counter() - started)
        _warn_of_lost_services(connection)
    return True


def forget_torn_down(connection: psycopg.Connection[Any]) -> None:
    """Forget the versions of views that `feast teardown` left in the registry: the next `feast apply` fails on them."""
    if connection.execute(queries["registry_exists"]).fetchone() == (True,):
        connection.execute(queries["forget_torn_down"], {"project": PROJECT})


def applied(connection: psycopg.Connection[Any]) -> str | None:
    """Return the name of the definitions that were applied, if any were."""
    if connection.execute(queries["registry_exists"]).fetchone() != (True,):
        return None
    row = connection.execute(queries["applied_definitions"], {"project": PROJECT}).fetchone()
    return None if row is None else str(row[0])


def definitions_hash(folder: Path) -> str:
    """Return a name for the definitions in a folder, the Feast that reads them and its settings."""
    digest = sha256(version("feast").encode())
    for file in sorted([*folder.glob("*.py"), feature_store.settings_file()]):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def materialise_window_online(database: Database, window_position: int) -> Materialised:
    """Write the newest values of a window's users and items to Feast's online store, and touch nothing else.

    There is nothing to write where the store serves the live tables as they are, which is the default. Safe to repeat
    and in any order: a value that is older than one of a later window is left out.
    """
    started = time.perf_counter()
    if feature_store.served_views(database) >= ONLINE_VIEWS:
        return Materialised(window_position, 0, 0, 0.0)
    with feature_store.opened(database) as store, database.connect() as connection:
        connection.execute(queries["hold_online_store"])
        users = _write(store, connection, "user", window_position)
        items = _write(store, connection, "item", window_position)
    return Materialised(window_position, users, items, time.perf_counter() - started)


def now(database: Database, user: str) -> Features | None:
    """Return a user's features by their names in Feast, fresh at commit; None for an unknown user."""
    from psycopg.rows import dict_row

    with database.connect(row_factory=dict_row) as connection:
        return connection.execute(queries["user_now"], {"user": user}).fetchone()


def as_of(database: Database, user: str, at: datetime) -> Features | None:
    """Return a user's features as they were at a moment, events at that very time included; None before the first.

    They are those of Feast's point-in-time join at that time. Raises BadRequest for a time without a zone.
    """
    found = _read_as_of(database, "user_as_of", user, at)
    return found[0] if found else None


def pairs_as_of(database: Database, user: str, at: datetime) -> dict[str, Features]:
    """Return {item: features} of a user with each item touched so far, as they were at a moment. Raises BadRequest."""
    found = _read_as_of(database, "pairs_as_of", user, at)
    return {str(row.pop("item_id")): row for row in found}


def online(
    database: Database, users: Iterable[str] = (), items: Iterable[str] = ()
) -> dict[str, dict[str, Features | None]]:
    """Return {"users": {user: features}, "items": {item: features}} from Feast's online store.

    None stands for an entity without events; with Feast's own store, for one that no materialised window has seen.
    """
    with feature_store.opened(database) as store:
        return {"users": _look_up(store, "user", users), "items": _look_up(store, "item", items)}


def _read_as_of(database: Database, query: str, user: str, at: datetime) -> list[dict[str, Any]]:
    from psycopg.rows import dict_row

    if at.tzinfo is None:
        raise BadRequest(f"The time {at} has no zone.", "Say which one: 2026-11-24T12:00:00+00:00.")
    with database.connect(row_factory=dict_row) as connection:
        return connection.execute(queries[query], {"user": user, "at": at}).fetchall()


def _warn_of_lost_services(connection: psycopg.Connection[Any]) -> None:
    """Say at once which live versions can no longer be looked up, and not only when somebody asks."""
    _, _, lost, versions = connection.execute(queries["lost_services"]).fetchone() or (0, 0, None, None)
    if lost is not None:
        log.warning("no feature service %s any more, which live versions were trained on: %s", lost, versions)


def _run_apply(database: Database) -> None:
    done = subprocess.run(
        feature_store.command(["apply"]),
        env=feature_store.environment(database),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise TidegateError(f"`feast apply` failed: {said[-1]}.", "See all of it with `tidegate feast apply`.")


def _write(store: FeatureStore, connection: psycopg.Connection[Any], entity: str, position: int) -> int:
    """Write the rows of a window's users or items, some thousands at a time; return their number."""
    import pandas as pd

    written = 0
    with connection.cursor(f"{entity}_rows") as cursor:
        cursor.execute(queries[f"{entity}_rows_to_go_online"], {"position": position})
        while rows := cursor.fetchmany(CHUNK):
            frame = pd.DataFrame(rows, columns=[column.name for column in cursor.description or ()])
            store.write_to_online_store(f"{entity}_activity", frame)
            written += len(rows)
    return written


def _look_up(store: FeatureStore, entity: str, ids: Iterable[str]) -> dict[str, Features | None]:
    names = list(dict.fromkeys(ids))
    if not names:
        return {}
    found = store.get_online_features(
        features=[f"{entity}_activity:{feature}" for feature in ACTIVITY],
        entity_rows=[{f"{entity}_id": name} for name in names],
    ).to_dict()
    rows = zip(*(found[feature] for feature in ACTIVITY), strict=True)
    return {
        name: None if row[-1] is None else dict(zip(ACTIVITY, row, strict=True))
        for name, row in zip(names, rows, strict=True)
    }
