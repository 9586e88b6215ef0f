"""Feast's online store on wide PostgreSQL tables.

In feature_store.yaml: `type: tidegate.stores.online.TidegateOnlineStore`, with the settings of `type: postgres`.

What differs from `type: postgres`, on purpose: a value older than its view's ttl is not served (its status is
OUTSIDE_MAX_AGE), a backfill never replaces a newer value by an older one, times are right whatever the time zone of
the database is, and a feature that was never written is NULL where stock says NOT_FOUND if its row is there.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

import psycopg
from feast import utils
from feast.feature_service import FeatureService
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.online_stores.vector_store import VectorStoreConfig
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.infra.utils.postgres.postgres_config import ConnectionType, PostgreSQLConfig
from pydantic import Field

from tidegate.stores.connections import Connections
from tidegate.stores.online_documents import (
    Document,
    Search,
    as_feast_reads,
    documents,
    find,
    in_first_form,
    search_statement,
    vector_of,
)
from tidegate.stores.online_keys import columnar, key_values
from tidegate.stores.online_metrics import track_read, track_statuses, tracked
from tidegate.stores.online_plan import planned
from tidegate.stores.online_read import KeyValues, Plan, Rows, blocks, plan_reads, select_rows
from tidegate.stores.online_response import PRESENT, Block, DirectResponse, append
from tidegate.stores.online_schema import reconcile
from tidegate.stores.online_tables import Place, ServedTable, metric_of, place
from tidegate.stores.online_write import Row, batches, write, write_async
from tidegate.stores.types import ColumnType

PLANS = 1_000  # sets of features whose plan is kept


class TidegateOnlineStoreConfig(PostgreSQLConfig, VectorStoreConfig):
    """Settings: those of Feast's own PostgreSQL store, and the tables that somebody else keeps up to date."""

    type: Literal["tidegate.stores.online.TidegateOnlineStore"] = "tidegate.stores.online.TidegateOnlineStore"
    conn_type: ConnectionType = ConnectionType.pool  # always a pool; the setting is accepted for compatibility
    tables: dict[str, ServedTable] = Field(default_factory=dict)  # feature view -> where it is served from


class ReadOnlyView(Exception):
    """The view is served from somebody else's table."""


class _Request(NamedTuple):
    """A request that the direct path can answer."""

    plan: Plan
    keys: dict[str, tuple[ColumnType, list[Any]]]  # as the answer shows them, in the request's order
    with_versions: bool

    @property
    def values(self) -> dict[str, list[Any]]:
        return {name: values for name, (_, values) in self.keys.items()}


class _Known(NamedTuple):
    """What the registry said of a set of features."""

    read_at: Any  # when Feast read the registry
    plan: Plan | None  # None: only Feast's own way can answer
    kinds: Mapping[str, Any]  # types of the join keys
    join_keys: frozenset[str]


class TidegateOnlineStore(OnlineStore):
    """Feature views in wide tables; see the module."""

    def __init__(self) -> None:
        self._connections: dict[str, Connections] = {}
        self._plans: dict[Any, _Known] = {}

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        """Reads and writes of an event loop never block it."""
        return SupportedAsyncMethods(read=True, write=True)

    # -- answers ------------------------------------------------------------------------------------------------------

    def get_online_features(
        self,
        config: Any,
        features: list[str] | FeatureService,
        entity_rows: Any,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        include_feature_view_version_metadata: bool = False,
    ) -> Any:
        """Return Feast's answer, straight from the tables' columns; on-demand views go Feast's own way."""
        options = (full_feature_names, include_feature_view_version_metadata)
        entity_rows = columnar(entity_rows)
        request = self._request(config, features, entity_rows, registry, project, options)
        if request is None:
            return super().get_online_features(config, features, entity_rows, registry, project, *options)
        started = time.perf_counter()
        found = self.connections(config).run(lambda used: _fetch(used, request.plan, request.values))
        return _response(request, found, started)

    async def get_online_features_async(
        self,
        config: Any,
        features: list[str] | FeatureService,
        entity_rows: Any,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        include_feature_view_version_metadata: bool = False,
    ) -> Any:
        """Return what `get_online_features` returns, without blocking the event loop."""
        options = (full_feature_names, include_feature_view_version_metadata)
        entity_rows = columnar(entity_rows)
        request = self._request(config, features, entity_rows, registry, project, options)
        if request is None:
            return await super().get_online_features_async(config, features, entity_rows, registry, project, *options)
        started = time.perf_counter()
        found = await self.connections(config).run_async(lambda used: _fetch_async(used, request.plan, request.values))
        return _response(request, found, started)

    def reading(self, config: Any, features: Any, registry: Any, project: str, full_names: bool) -> Plan | None:
        """Return how to read a set of features; None for what only Feast's own way can answer."""
        return self._known(config, features, registry, project, full_names).plan

    async def read_async(self, config: Any, plan: Plan, keys: KeyValues) -> list[Block]:
        """Return the features of a plan for keys that are on the wire, one block a view: an answer without its keys."""
        return _answer(
            plan, await self.connections(config).run_async(lambda used: _fetch_async(used, plan, keys)), keys
        )

    def _request(
        self, config: Any, features: Any, rows: KeyValues, registry: Any, project: str, options: tuple[bool, bool]
    ) -> _Request | None:
        """Return how to answer directly; None for what only Feast's own way can answer."""
        known = self._known(config, features, registry, project, options[0])
        plan = known.plan
        if plan is None or not plan.keys.keys() <= rows.keys():
            return None  # Feast says what is missing, or knows the entity by another name
        keys = {name: key_values(name, values, known.kinds) for name, values in rows.items() if name in known.join_keys}
        lengths = {len(values) for _, values in keys.values()}
        if len(lengths) > 1 or 0 in lengths:
            return None  # Feast says what is wrong
        return _Request(plan, keys, options[1])

    def _known(self, config: Any, features: Any, registry: Any, project: str, full_names: bool) -> _Known:
        """Return what the registry says of a set of features, asked again when the registry was read again.

        Feast has such a cache too, but one for all stores of a process, which they clear for each other.
        """
        named = features.name if isinstance(features, FeatureService) else tuple(features)
        key = (named, project, full_names)
        known = self._plans.get(key)
        if known is not None and known.read_at is _read_at(registry) and registry.is_cache_valid():
            return known
        if len(self._plans) >= PLANS:
            self._plans.clear()
        context = utils._get_online_request_context(registry, project, features, full_names)  # noqa: SLF001
        known = self._plans[key] = _known(config, context, full_names, _read_at(registry))
        return known

    # -- Feast's own way, for on-demand views -------------------------------------------------------------------------

    def _read_features_per_fv(
        self,
        config: Any,
        grouped_refs: list[Any],
        join_key_values: dict[str, Any],
        entity_name_to_join_key_map: dict[str, str],
        online_features_response: Any,
        full_feature_names: bool,
        include_feature_view_version_metadata: bool,
    ) -> None:
        plan = plan_reads(config, grouped_refs, full_feature_names)
        values = _wire_keys(plan, join_key_values)
        found = self.connections(config).run(lambda used: _fetch(used, plan, values))
        _append(online_features_response, plan, found, values, include_feature_view_version_metadata)

    async def _read_features_per_fv_async(
        self,
        config: Any,
        grouped_refs: list[Any],
        join_key_values: dict[str, Any],
        entity_name_to_join_key_map: dict[str, str],
        online_features_response: Any,
        full_feature_names: bool,
        include_feature_view_version_metadata: bool,
    ) -> None:
        plan = plan_reads(config, grouped_refs, full_feature_names)
        values = _wire_keys(plan, join_key_values)
        found = await self.connections(config).run_async(lambda used: _fetch_async(used, plan, values))
        _append(online_features_response, plan, found, values, include_feature_view_version_metadata)

    def _is_versioned_read_supported(self) -> bool:
        return True

    # -- rows ---------------------------------------------------------------------------------------------------------

    def online_read(
        self, config: Any, table: Any, entity_keys: list[Any], requested_features: list[str] | None = None
    ) -> list[tuple[datetime | None, dict[str, Any] | None]]:
        """Return the event timestamp and the values of each key, whatever their age; (None, None) for no row."""
        where, features, statement, asked = _row_read(config, table, entity_keys, requested_features)
        parameters = _transposed(asked, len(where.keys))
        rows = self.connections(config).run(
            lambda used: used.execute(statement, parameters, prepare=True, binary=True).fetchall()
        )
        return _as_protos(where, features, rows, asked)

    async def online_read_async(
        self, config: Any, table: Any, entity_keys: list[Any], requested_features: list[str] | None = None
    ) -> list[tuple[datetime | None, dict[str, Any] | None]]:
        """Return what `online_read` returns, without blocking the event loop."""
        where, features, statement, asked = _row_read(config, table, entity_keys, requested_features)
        parameters = _transposed(asked, len(where.keys))

        async def read(used: psycopg.AsyncConnection[Any]) -> Rows:
            return await (await used.execute(statement, parameters, prepare=True, binary=True)).fetchall()

        return _as_protos(where, features, await self.connections(config).run_async(read), asked)

    def online_write_batch(
        self, config: Any, table: Any, data: Sequence[Row], progress: Callable[[int], Any] | None
    ) -> None:
        """Write rows of a view; a row that is older than what is there changes nothing."""
        for batch in batches(_writable(config, table), data):
            self.connections(config).run(functools.partial(write, batch=batch))
        if progress:
            progress(len(data))

    async def online_write_batch_async(
        self, config: Any, table: Any, data: Sequence[Row], progress: Callable[[int], Any] | None
    ) -> None:
        """Write rows as `online_write_batch` does, on a connection of the event loop."""
        for batch in batches(_writable(config, table), data):
            await self.connections(config).run_async(functools.partial(write_async, batch=batch))
        if progress:
            progress(len(data))

    def write_precomputed_vector(self, *_: Any, **__: Any) -> None:
        """Keep nothing: a row of the wide table is what a precomputed vector would be."""

    # -- search -------------------------------------------------------------------------------------------------------

    def retrieve_online_documents(
        self,
        config: Any,
        table: Any,
        requested_features: list[str] | None,
        embedding: list[float],
        top_k: int,
        distance_metric: str | None = None,
    ) -> list[tuple[Any, Any, Any, Any, Any]]:
        """Return the rows nearest to a vector, in Feast's first form: the vector twice, then its distance."""
        vector = vector_of(table)
        found = self._nearest(config, table, [vector.name], embedding, top_k, distance_metric, None, None)
        return [in_first_form(vector.name, one) for one in found]

    def retrieve_online_documents_v2(
        self,
        config: Any,
        table: Any,
        requested_features: list[str],
        embedding: list[float] | None,
        top_k: int,
        distance_metric: str | None = None,
        query_string: str | None = None,
        filters: Any = None,
        include_feature_view_version_metadata: bool = False,
    ) -> list[tuple[Any, Any, dict[str, Any]]]:
        """Return the rows nearest to a vector by pgvector's index, or whose words fit best; see online_documents."""
        return as_feast_reads(
            self._nearest(config, table, requested_features, embedding, top_k, distance_metric, query_string, filters)
        )

    def _nearest(
        self,
        config: Any,
        table: Any,
        requested_features: list[str],
        embedding: list[float] | None,
        top_k: int,
        distance_metric: str | None,
        query_string: str | None,
        filters: Any,
    ) -> list[Document]:
        metric = metric_of(distance_metric or config.online_store.similarity)
        vector = None if embedding is None else vector_of(table)
        where = place(config, table)
        known = [name for name in requested_features or where.features if name in where.features]
        search = Search(where, known, vector, embedding, query_string, metric)
        query = search_statement(search, table, filters, top_k)
        rows = self.connections(config).run(lambda used: find(used, search, query, top_k))
        return documents(search, rows)

    # -- tables -------------------------------------------------------------------------------------------------------

    def update(
        self,
        config: Any,
        tables_to_delete: Sequence[Any],
        tables_to_keep: Sequence[Any],
        entities_to_delete: Sequence[Any],
        entities_to_keep: Sequence[Any],
        partial: bool,
    ) -> None:
        """Make, widen and narrow the tables as the views want them. It may be repeated."""
        keep = [place(config, view) for view in tables_to_keep]
        gone = [view.name for view in tables_to_delete]
        self.connections(config).run(lambda used: reconcile(used, config, keep, gone))

    def plan(self, config: Any, desired_registry_proto: Any) -> list[Any]:
        """Return what `update` would change; the database is asked, and left as it is."""
        return self.connections(config).run(lambda used: planned(used, config, desired_registry_proto))

    def teardown(self, config: Any, tables: Sequence[Any], entities: Sequence[Any]) -> None:
        """Forget the views; a table goes with its last view."""
        gone = [view.name for view in tables]
        self.connections(config).run(lambda used: reconcile(used, config, [], gone))
        self.disconnect()

    # -- connections --------------------------------------------------------------------------------------------------

    def connections(self, config: Any) -> Connections:
        """Return the connections to the database that the settings name."""
        settings = config.online_store
        known = self._connections.get(settings.host + settings.database)
        if known is None:
            known = self._connections[settings.host + settings.database] = Connections(settings)
        return known

    async def initialize(self, config: Any) -> None:
        """Open the event loop's connections before the first request."""
        await self.connections(config).open_async()

    async def close(self) -> None:
        """Close every connection; the next request opens new ones."""
        for connections in self._connections.values():
            await connections.close_async()

    def disconnect(self) -> None:
        """Close the connections of threads; Feast itself has only the asynchronous `close`."""
        for connections in self._connections.values():
            connections.close()


def _writable(config: Any, view: Any) -> Place:
    """Return where a view is kept. Raises ReadOnlyView where somebody else keeps it up to date."""
    where = place(config, view)
    if not where.writable:
        raise ReadOnlyView(
            f"{view.name} is served from {where.schema}.{where.table}. Write there, or remove it from `tables`."
        )
    return where


def _read_at(registry: Any) -> Any:
    """Return when Feast read the registry; None, and another None each time, where it keeps no copy."""
    return getattr(registry, "cached_registry_proto_created", None) or object()


def _known(config: Any, context: tuple[Any, ...], full_names: bool, read_at: Any) -> _Known:
    """Return a request's context with its plan; none for on-demand views and for views without an entity."""
    _, on_demand, _, kinds, join_keys, grouped, _, _, without_entity = context
    direct = not on_demand and not without_entity and not any(hasattr(v, "write_to_online_store") for v, _ in grouped)
    plan = plan_reads(config, grouped, full_names) if direct else None
    return _Known(read_at, plan, kinds, frozenset(join_keys))


def _wire_keys(plan: Plan, join_key_values: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return Feast's join keys on the wire. Raises KeyError as Feast does."""
    missing = sorted(plan.keys.keys() - join_key_values.keys())
    if missing:
        raise KeyError(
            f"Missing join key values for keys: {missing}. Provided join_key_values: {list(join_key_values)}"
        )
    return {key: kind.column(join_key_values[key]) for key, kind in plan.keys.items()}


def _fetch(used: psycopg.Connection[Any], plan: Plan, values: KeyValues) -> list[Rows]:
    found = []
    for read in plan.reads:
        statement, parameters = read.statement(list(dict.fromkeys(read.asked(values))))
        found.append(used.execute(statement, parameters, prepare=True, binary=True).fetchall())
    return found


async def _fetch_async(used: psycopg.AsyncConnection[Any], plan: Plan, values: KeyValues) -> list[Rows]:
    found = []
    for read in plan.reads:
        statement, parameters = read.statement(list(dict.fromkeys(read.asked(values))))
        cursor = await used.execute(statement, parameters, prepare=True, binary=True)
        found.append(await cursor.fetchall())
    return found


def _answer(plan: Plan, found: Iterable[Rows], values: KeyValues) -> list[Block]:
    """Return the features of an answer in the order of the request's views."""
    parts = []
    for read, rows in zip(plan.reads, found, strict=True):
        parts += blocks(read, rows, read.asked(values))
    if len(plan.reads) > 1:
        parts.sort(key=lambda part: part[0])
    return [block for _, block in parts]


def _response(request: _Request, found: list[Rows], started: float) -> DirectResponse:
    kinds, columns = zip(*request.keys.values(), strict=True)
    n = len(columns[0])
    shown = Block(tuple(request.keys), kinds, columns, bytes([PRESENT]) * n, [None] * n)
    answered = _answer(request.plan, found, request.values)
    if metrics := tracked():
        track_read(metrics, request.plan, answered, time.perf_counter() - started)
    return DirectResponse([shown, *answered], _versions(request.plan) if request.with_versions else ())


def _append(response: Any, plan: Plan, found: list[Rows], values: KeyValues, with_versions: bool) -> None:
    answered = _answer(plan, found, values)
    if metrics := tracked():
        track_statuses(metrics, plan, answered)
    append(response, [one for block in answered for one in block.vectors()], _versions(plan) if with_versions else ())


def _versions(plan: Plan) -> list[Any]:
    return [part.version for part in plan.parts]


def _row_read(
    config: Any, view: Any, entity_keys: list[Any], requested: list[str] | None
) -> tuple[Place, list[str], bytes, list[tuple[Any, ...]]]:
    where = place(config, view)
    features = list(where.features) if not requested else [name for name in requested if name in where.features]
    named = [dict(zip(key.join_keys, key.entity_values, strict=True)) for key in entity_keys]
    columns = [column.type.column([key[name] for key in named]) for name, column in where.keys.items()]
    return where, features, select_rows(where, features), list(zip(*columns, strict=True))


def _transposed(asked: list[tuple[Any, ...]], keys: int) -> list[list[Any]]:
    return [list(values) for values in zip(*asked, strict=True)] if asked else [[] for _ in range(keys)]


def _as_protos(
    where: Place, features: list[str], rows: Rows, asked: list[tuple[Any, ...]]
) -> list[tuple[datetime | None, dict[str, Any] | None]]:
    keys = len(where.keys)
    types = [where.features[feature].type for feature in features]
    found: dict[Any, tuple[datetime | None, dict[str, Any] | None]] = {}
    for row in rows:
        if row[keys] is not None:
            protos = (kind.to_proto(value) for kind, value in zip(types, row[keys + 1 :], strict=True))
            found[row[:keys]] = (row[keys], dict(zip(features, protos, strict=True)))
    return [found.get(key, (None, None)) for key in asked]
