"""A batch engine of Feast that materialises inside PostgreSQL.

Where source and online store are one database, `feast materialize` is one statement a view: no row visits this
process, so its memory does not grow, and a backfill never replaces a newer value. What needs Python (a
transformation, an aggregation, a type that only Feast's protos hold), another online store or another database goes
Feast's own way, by its local engine.

    batch_engine:
      type: tidegate.stores.engine.TidegateComputeEngine
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Literal

import psycopg
from feast import FeatureView
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.common.materialization_job import MaterializationJobStatus
from feast.infra.compute_engines.local.compute import LocalComputeEngine, LocalComputeEngineConfig
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.infra.utils.postgres.postgres_config import PostgreSQLConfig
from psycopg.sql import SQL, Composable, Composed, Identifier

from tidegate.stores.offline.join import View, newest_first
from tidegate.stores.offline.store import moment, source_of
from tidegate.stores.offline.transport import connected
from tidegate.stores.online import TidegateOnlineStore
from tidegate.stores.online_tables import Column, Place, place
from tidegate.stores.statements import AND, column, commas, statement

INTEGERS, FLOATS = {21, 23, 20}, {700, 701, 1700}
# The types of a source, by number, that become an online column as Feast's own way through Python would make them.
TAKEN = {
    "integer": INTEGERS,
    "bigint": INTEGERS,
    "real": INTEGERS | FLOATS,
    "double precision": INTEGERS | FLOATS,
    "boolean": {16},
    "text": {25, 1043},
    "bytea": {17},
    "timestamptz": {1184, 1114, 1082},
    "uuid": {2950},
    "integer[]": {1005, 1007},
    "bigint[]": {1005, 1007, 1016},
    "real[]": {1021, 1022},
    "double precision[]": {1021, 1022},
    "boolean[]": {1000},
    "text[]": {1009, 1015},
}

log = logging.getLogger("tidegate.stores")


class TidegateComputeEngineConfig(LocalComputeEngineConfig):
    """The settings of Feast's local engine, which does what the database cannot."""

    type: Literal["tidegate.stores.engine.TidegateComputeEngine"] = "tidegate.stores.engine.TidegateComputeEngine"


class TidegateComputeEngine(LocalComputeEngine):
    """Materialises in the database where it can, as Feast's local engine where it cannot."""

    def _materialize_one(self, registry: Any, task: Any, **options: Any) -> Any:
        job = f"{task.feature_view.name}-{task.start_time}-{task.end_time}"
        try:
            if self._set_based(task) and self._in_database(task):
                return LocalMaterializationJob(job_id=job, status=MaterializationJobStatus.SUCCEEDED)
        except psycopg.Error as error:
            return LocalMaterializationJob(job_id=job, status=MaterializationJobStatus.ERROR, error=error)
        return super()._materialize_one(registry, task, **options)

    def _set_based(self, task: Any) -> bool:
        """Tell whether nothing but the newest rows of a table of this database is wanted."""
        view, source = task.feature_view, task.feature_view.batch_source
        return (
            type(view) is FeatureView
            and view.online
            and not view.offline
            and not view.enable_validation
            and view.entity_columns
            and task.only_latest
            and isinstance(source, PostgreSQLSource)
            and isinstance(self.online_store, TidegateOnlineStore)
            and self._one_database()
        )

    def _one_database(self) -> bool:
        """Tell whether both stores are one database to one user."""
        stores = (self.repo_config.offline_store, self.repo_config.online_store)
        if not all(isinstance(store, PostgreSQLConfig) for store in stores):
            return False
        offline, online = ((store.host, store.port, store.database, store.user) for store in stores)
        return bool(offline == online)

    def _in_database(self, task: Any) -> bool:
        """Materialise a view; return whether its types let the database do it."""
        view = task.feature_view
        where = place(self.repo_config, view)
        if not where.writable:
            log.info("%s is served from %s.%s as it is: nothing to materialise", view.name, where.schema, where.table)
            return True
        source = _source(view, where)
        with connected(self.repo_config.offline_store) as connection:
            if not _all_taken(connection, source, where):
                return False
            written = connection.execute(_statement(source, where, task.start_time, task.end_time)).rowcount
        log.info("%s: %s keys materialised", view.name, f"{written:,}")
        return True


def _source(view: Any, where: Place) -> View:
    """Return a view's source with the columns that its keys and features come from, in the order of the table's."""
    source = view.batch_source
    column_of = {name: row for row, name in source.field_mapping.items()}
    return View(
        name=view.name,
        source=source_of(source),
        keys={column_of.get(key, key): column.name for key, column in where.keys.items()},
        features={feature: column_of.get(feature, feature) for feature in where.features},
        timestamp=column_of.get(source.timestamp_field, source.timestamp_field),
        created=column_of.get(source.created_timestamp_column, source.created_timestamp_column) or None,
        ttl=0,
    )


def _all_taken(connection: psycopg.Connection[Any], source: View, where: Place) -> bool:
    """Tell whether every column of the source becomes its online column without Python."""
    if DUMMY_ENTITY_ID in where.keys:
        return False
    described = connection.execute(SQL("select * from {} s limit 0").format(source.table)).description or ()
    types = {found.name: found.type_code for found in described}
    if any(key.type.stored == "timestamptz" for key in where.keys.values()):
        return False  # keys that differ by less than a second would become one
    return all(types.get(row) in _taken(target.type.stored) for row, target in _pairs(source, where))


def _taken(stored: str) -> set[int]:
    """Return the types of a source that an online column takes; pgvector's is filled from an array of numbers."""
    return TAKEN["real[]"] if stored.startswith("vector") else TAKEN.get(stored, set())


def _pairs(source: View, where: Place) -> Iterator[tuple[str, Column]]:
    """Yield the columns of a source with the online columns that they become."""
    yield from zip(source.keys, where.keys.values(), strict=True)
    yield from zip(source.features.values(), where.features.values(), strict=True)


def _statement(source: View, where: Place, first: Any, last: Any) -> Composed:
    """Return the one statement that materialises a view."""
    keys = [column("s", row) for row in source.keys]
    values = [_value(row, target) for row, target in _pairs(source, where)]
    targets = [Identifier(target.name) for _, target in _pairs(source, where)]
    moments = [Identifier(where.event_timestamp), Identifier(where.created)]
    created = column("s", source.created) if source.created else SQL("null::timestamptz")
    return statement(
        "engine",
        "materialise",
        table=where.relation,
        columns=commas([*targets, *moments]),
        keys=commas(keys),
        values=commas([*values, column("s", source.timestamp), created]),
        source=source.table,
        timestamp=column("s", source.timestamp),
        first=moment(first),
        last=moment(last),
        known=AND.join(SQL("{} is not null").format(key) for key in keys),
        newest_first=newest_first(source),
        primary_key=commas(Identifier(key.name) for key in where.keys.values()),
        sets=commas(SQL("{0} = excluded.{0}").format(name) for name in [*targets[len(keys) :], *moments]),
        kept_timestamp=moments[0],
        kept_created=moments[1],
    )


def _value(row: str, target: Column) -> Composable:
    """Return a source's column as its online column: Feast's times are whole seconds."""
    value = column("s", row)
    return SQL("date_trunc('second', {})").format(value) if target.type.stored == "timestamptz" else value
