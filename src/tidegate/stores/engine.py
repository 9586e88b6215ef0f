"""A batch engine of Feast that materialises inside PostgreSQL.

Where source and online store are one database, `feast materialize` is one statement a view: no row visits this
process, so its memory does not grow, and a backfill never replaces a newer value. A type that only Feast's protos
hold, another online store or another database takes the rows through this process, batch by batch. What a function
must compute (a transformation, an aggregation, a validation) goes Feast's own way, by its local engine.

    batch_engine:
      type: tidegate.stores.engine.TidegateComputeEngine
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import psycopg
from feast import BatchFeatureView, FeatureView
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.common.materialization_job import MaterializationJobStatus
from feast.infra.compute_engines.local.compute import LocalComputeEngine, LocalComputeEngineConfig
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.infra.utils.postgres.postgres_config import PostgreSQLConfig
from psycopg.sql import SQL, Composable, Composed, Identifier

from tidegate.stores.engine_batches import NO_KEY, newest, source_of_view, write_in_batches
from tidegate.stores.engine_casts import cast
from tidegate.stores.offline.join import View
from tidegate.stores.offline.transport import connected
from tidegate.stores.offline.types import types_of_source
from tidegate.stores.online import TidegateOnlineStore
from tidegate.stores.online_tables import Column, Place, fields, place
from tidegate.stores.statements import column, commas, statement

PLAIN = (FeatureView, BatchFeatureView)
COMPUTED = ("feature_transformation", "aggregations", "filter", "source_views", "enable_validation", "offline")

log = logging.getLogger("tidegate.stores")


class TidegateComputeEngineConfig(LocalComputeEngineConfig):
    """The settings of Feast's local engine, which does what the database cannot."""

    type: Literal["tidegate.stores.engine.TidegateComputeEngine"] = "tidegate.stores.engine.TidegateComputeEngine"


class TidegateComputeEngine(LocalComputeEngine):
    """Materialises in the database where it can, in batches where types want Python, else as Feast's local engine."""

    def _materialize_one(self, registry: Any, task: Any, **options: Any) -> Any:
        if not self._takes(task):
            return super()._materialize_one(registry, task, **options)
        job = f"{task.feature_view.name}-{task.start_time}-{task.end_time}"
        try:
            self._materialise(task)
        except Exception as error:  # an engine answers with a job, whatever went wrong
            return LocalMaterializationJob(job_id=job, status=MaterializationJobStatus.ERROR, error=error)
        return LocalMaterializationJob(job_id=job, status=MaterializationJobStatus.SUCCEEDED)

    def _takes(self, task: Any) -> bool:
        """Tell whether nothing but the newest rows of a table in PostgreSQL is wanted."""
        view = task.feature_view
        return (
            type(view) in PLAIN
            and view.online
            and task.only_latest
            and not any(getattr(view, name, None) for name in COMPUTED)
            and isinstance(view.batch_source, PostgreSQLSource)
            and isinstance(self.repo_config.offline_store, PostgreSQLConfig)
        )

    def _materialise(self, task: Any) -> None:
        if isinstance(self.online_store, TidegateOnlineStore) and self._by_database(task):
            return
        view, range_ = task.feature_view, (task.start_time, task.end_time)
        written = write_in_batches(self.repo_config, self.online_store, view, *range_)
        log.info("%s: %s keys materialised, by way of this process", view.name, f"{written:,}")

    def _by_database(self, task: Any) -> bool:
        """Tell whether the database has done it, or there was nothing to do."""
        where = place(self.repo_config, task.feature_view)
        if not where.writable:
            log.info("%s is served from %s.%s as it is: nothing to materialise", where.view, where.schema, where.table)
            return True
        try:
            return self._one_database() and self._in_database(task, where)
        except psycopg.DataError as error:
            log.info("%s goes by way of this process, because the database says: %s", where.view, error)
            return False

    def _one_database(self) -> bool:
        """Tell whether both stores are one database to one user."""
        stores = (self.repo_config.offline_store, self.repo_config.online_store)
        offline, online = ((store.host, store.port, store.database, store.user) for store in stores)
        return bool(offline == online)

    def _in_database(self, task: Any, where: Place) -> bool:
        """Materialise a view by one statement; return whether its types let the database do it."""
        view = task.feature_view
        source = source_of_view(view)
        with connected(self.repo_config.offline_store) as connection:
            values = _values(view, source, where, types_of_source(connection, source.table))
            if values is None:
                return False
            written = connection.execute(_statement(source, where, values, task.start_time, task.end_time)).rowcount
        log.info("%s: %s keys materialised", view.name, f"{written:,}")
        return True


def _values(view: Any, source: View, where: Place, types: Mapping[str, str]) -> list[Composable] | None:
    """Return keys and features as their online columns take them; None where Python must make one of them."""
    if _unchecked(view, where):
        return None
    made = [NO_KEY] if DUMMY_ENTITY_ID in where.keys else []
    for row, target in _pairs(source, where):
        value = cast(types.get(row, ""), target.type, column("s", row))
        if value is None:
            return None
        made.append(value)
    return made


def _unchecked(view: Any, where: Place) -> bool:
    """Tell whether a vector's length is promised, and its column would take any."""
    promised = [one.name for one in fields(view).values() if one.vector_index]
    return any(not where.features[name].type.stored.startswith("vector(") for name in promised)


def _pairs(source: View, where: Place) -> Iterator[tuple[str, Column]]:
    """Yield the columns of a source with the online columns that they become."""
    yield from ((row, where.keys[key]) for row, key in source.keys.items())
    yield from ((row, where.features[feature]) for feature, row in source.features.items())


def _statement(source: View, where: Place, values: list[Composable], first: Any, last: Any) -> Composed:
    """Return the one statement that materialises a view."""
    keys = [Identifier(key.name) for key in where.keys.values()]
    features = [Identifier(feature.name) for feature in where.features.values()]
    moments = [Identifier(where.event_timestamp), Identifier(where.created)]
    return statement(
        "engine",
        "materialise",
        table=where.relation,
        columns=commas([*keys, *features, *moments]),
        newest=newest(source, values[: len(keys)], values, first, last),
        primary_key=commas(keys),
        sets=commas(SQL("{0} = excluded.{0}").format(name) for name in [*features, *moments]),
        kept_timestamp=moments[0],
        kept_created=moments[1],
    )
