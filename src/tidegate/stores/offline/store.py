"""An offline store of Feast on PostgreSQL whose work is proportional to what is asked.

It reads and writes Feast's own `PostgreSQLSource`, so no definition changes: one line of feature_store.yaml does.

    offline_store:
      type: tidegate.stores.offline.TidegateOfflineStore
      host: ...            # as with `type: postgres`

Data-quality metrics (`feast monitor`) are those of Feast's own store, which takes arrays for numbers and fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from typing import Literal as Exactly

import pyarrow as pa
import pyarrow.parquet as pq
from feast.data_source import DataSource
from feast.errors import FeastEntityDFMissingColumnsError
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.infra.offline_stores import offline_utils
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres import (
    PostgreSQLOfflineStore,
    PostgreSQLOfflineStoreConfig,
)
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.infra.offline_stores.offline_store import RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.utils import compute_non_entity_date_range
from psycopg import Connection
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal
from pydantic import Field

from tidegate.stores.offline.frame import Frame, FrameOfQuery, frame_of
from tidegate.stores.offline.job import TidegateRetrievalJob
from tidegate.stores.offline.join import Sight, View, newest_first, point_in_time
from tidegate.stores.offline.transport import connected, definitions, send, types_of
from tidegate.stores.offline.types import VECTORS, database_type, types_of_source
from tidegate.stores.statements import AND, column, commas, statement, verbatim


class TidegateOfflineStoreConfig(PostgreSQLOfflineStoreConfig):
    """The connection of Feast's own store, and what an asked row may see.

    The bounds tie a column of a source to a column of the asked rows; they hold for the views and the frames that
    have both, so that a run which must never see more than it saw can say so within Feast.
    """

    type: Exactly["tidegate.stores.offline.TidegateOfflineStore"] = "tidegate.stores.offline.TidegateOfflineStore"
    options: str = ""  # settings of the server for its connections, as libpq takes them: -c statement_timeout=60000
    serial: str = (
        ""  # column of sources that grows as rows are made: it decides between rows of one time, not `created`
    )
    known_then: bool = False  # only rows whose created timestamp is not after the asked time
    at_most: dict[str, str] = Field({})  # column of a source: column of the frame that it must not exceed
    none_of: dict[str, str] = Field({})  # column of a source: column of the frame with an array that must not hold it


class TidegateOfflineStore(PostgreSQLOfflineStore):
    """Point-in-time joins by index, COPY both ways, Arrow without Python objects, writes, logs."""

    supports_filter_by_created_timestamp: ClassVar[bool] = True

    @staticmethod
    def get_historical_features(
        config: Any,
        feature_views: list[Any],
        feature_refs: list[str],
        entity_df: Any,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        **between: Any,
    ) -> TidegateRetrievalJob:
        """Return the features of each asked row as they were at its time, in the order of asking.

        Without asked rows: every row of a view from `start_date` to `end_date`, or of several views, every key and time
        that one of them has. Raises FeastEntityDFMissingColumnsError.
        """
        views = _views(config, feature_refs, feature_views, registry, project, full_feature_names)
        known_then = filter_by_created_timestamp or config.offline_store.known_then
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        asking = _Asking(config, feature_refs, views, known_then, full_feature_names, on_demand)
        if entity_df is not None:
            return asking.of(frame_of(config.offline_store, entity_df))
        first, last = compute_non_entity_date_range(feature_views, between.get("start_date"), between.get("end_date"))
        return asking.between(first, last)

    @staticmethod
    def pull_latest_from_table_or_query(
        config: Any,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> TidegateRetrievalJob:
        """Return the newest row of each key within a closed range."""
        keys = {name: name for name in join_key_columns}
        view = View("latest", source_of(data_source), keys, {}, timestamp_field, created_timestamp_column or None, 0)
        columns = _columns(join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column)
        return _job(config, newest_of_each(view, columns, start_date, end_date))

    @staticmethod
    def pull_all_from_table_or_query(
        config: Any,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> TidegateRetrievalJob:
        """Return every row within a closed range; an end that is left out is open."""
        time = column("s", timestamp_field)
        bounds = [SQL("{} >= {}").format(time, moment(start_date))] if start_date else []
        bounds += [SQL("{} <= {}").format(time, moment(end_date))] if end_date else []
        columns = _columns(join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column)
        source = verbatim(source_of(data_source))
        condition = AND.join(bounds) if bounds else SQL("true")
        return _job(config, statement("offline", "rows_between", columns=columns, source=source, condition=condition))

    @staticmethod
    def offline_write_batch(
        config: Any, feature_view: Any, table: pa.Table, progress: Callable[[int], Any] | None
    ) -> None:
        """Append rows to the table of a view's source. Raises ValueError where the source is a query."""
        target = _writable(feature_view.batch_source)
        with connected(config.offline_store) as connection:
            rows = _named_as_source(feature_view, table, _types(connection, target))
            types = _types(connection, target)
            send(connection, verbatim(target), rows, [types.get(name, "text") for name in rows.column_names])
        if progress:
            progress(table.num_rows)

    @staticmethod
    def compute_monitoring_metrics(
        config: Any, data_source: DataSource, feature_columns: list[tuple[str, str]], *asked: Any, **named: Any
    ) -> list[dict[str, Any]]:
        """Return Feast's figures of each column with its kind, numeric or categorical; arrays have none."""
        with connected(config.offline_store) as connection:
            arrays = _arrays(connection, source_of(data_source))
        plain = [(name, kind) for name, kind in feature_columns if kind != "numeric" or name not in arrays]
        figures = PostgreSQLOfflineStore.compute_monitoring_metrics(config, data_source, plain, *asked, **named)
        return list(figures)

    @staticmethod
    def write_logged_features(
        config: Any, data: pa.Table | Path, source: Any, logging_config: Any, registry: Any
    ) -> None:
        """Append a feature service's log to its table, which is made and widened as needed."""
        rows = data if isinstance(data, pa.Table) else pq.read_table(data)
        table = verbatim(logging_config.destination.table)
        schema = source.get_schema(registry)
        with connected(config.offline_store) as connection:
            _make_log(connection, table, schema)
            send(connection, table, rows, types_of(rows))


class _Asking:
    """What was asked of the store, whatever asks: rows, a statement or a range."""

    def __init__(
        self, config: Any, refs: list[str], views: list[View], known_then: bool, full_names: bool, on_demand: list[Any]
    ) -> None:
        self._config = config
        self._refs = refs
        self._views = views
        self._full_names = full_names
        self._on_demand = on_demand
        store = config.offline_store
        bounds = {"at_most": store.at_most, "none_of": store.none_of}
        self._sight = Sight(known_then=known_then, serial=store.serial, **bounds)

    def of(self, frame: Frame) -> TidegateRetrievalJob:
        """Return the join of asked rows."""
        _require_keys(frame, self._views)
        return self._join(frame, self._sight, frame.range)

    def between(self, first: datetime, last: datetime) -> TidegateRetrievalJob:
        """Return the rows of one view within a range, or the join of several at every time that one has."""
        if len(self._views) == 1:
            return self._rows(self._views[0], first, last)
        frame = FrameOfQuery(self._config.offline_store, _moments(self._views, first, last))
        sight = Sight(known_then=self._sight.known_then, serial=self._sight.serial, since=moment(first))
        return self._join(frame, sight, lambda: (first, last))

    def _join(
        self, frame: Frame, sight: Sight, range_: Callable[[], tuple[datetime, datetime]]
    ) -> TidegateRetrievalJob:
        def plan(connection: Connection[Any]) -> Composable:
            frame.load(connection)
            return point_in_time(connection, frame.asked, self._views, sight)

        keys = [name for name in frame.asked.columns if name != frame.asked.timestamp]
        features = [name for view in self._views for name in view.features]
        return self._job(plan, [*frame.asked.columns, *features], keys, range_)

    def _rows(self, view: View, first: datetime, last: datetime) -> TidegateRetrievalJob:
        columns = _columns_of(view)
        query = _rows_of(view, columns, first, last)
        return self._job(lambda _: query, list(columns), list(view.keys.values()), lambda: (first, last))

    def _job(
        self, plan: Any, names: list[str], keys: list[str], range_: Callable[[], tuple[datetime, datetime]]
    ) -> TidegateRetrievalJob:
        def describe() -> RetrievalMetadata:
            first, last = range_()
            return RetrievalMetadata(self._refs, keys, first, last)

        return TidegateRetrievalJob(self._config, plan, self._full_names, self._on_demand, describe, names)


def source_of(data_source: Any) -> str:
    """Return a source as it stands in FROM. Raises TypeError for a source of another store."""
    if not isinstance(data_source, PostgreSQLSource):
        raise TypeError(
            f"The source {data_source.name!r} is no PostgreSQLSource. Define it as one, or use its own store."
        )
    return str(data_source.get_table_query_string())


def moment(time: datetime) -> Literal:
    """Return a time as SQL; without a zone it is in UTC, as everywhere in Feast."""
    return Literal(time if time.tzinfo else time.replace(tzinfo=UTC))


def newest_of_each(view: View, columns: Composable, first: datetime, last: datetime) -> Composable:
    """Return the statement of each key's newest row within a closed range."""
    parts = {
        "columns": columns,
        "source": view.table,
        "timestamp": column("s", view.timestamp),
        "first": moment(first),
        "last": moment(last),
        "newest_first": newest_first(view),
    }
    if not view.keys:
        return statement("offline", "newest_of_all", **parts)
    return statement("offline", "newest_of_each", keys=commas(column("s", key) for key in view.keys), **parts)


def _views(
    config: Any, refs: list[str], feature_views: list[Any], registry: Any, project: str, full_names: bool
) -> list[View]:
    """Return the views that are asked for, by Feast's own reading of the references."""
    for view in feature_views:
        source_of(view.batch_source)
    anytime = (datetime.min.replace(tzinfo=UTC, year=1970), datetime.max.replace(tzinfo=UTC))
    contexts = offline_utils.get_feature_view_query_context(refs, feature_views, registry, project, anytime)
    return [_view(context, full_names) for context in contexts]


def _view(context: Any, full_names: bool) -> View:
    pairs = [selection.split(" AS ") for selection in context.entity_selections]
    prefix = f"{context.name}__" if full_names else ""
    return View(
        name=context.name,
        source=context.table_subquery,
        keys={row: name for row, name in pairs if name != DUMMY_ENTITY_ID},
        features={prefix + context.field_mapping.get(row, row): row for row in context.features},
        timestamp=context.timestamp_field,
        created=context.created_timestamp_column or None,
        ttl=context.ttl,
    )


def _require_keys(frame: Frame, views: Sequence[View]) -> None:
    wanted = {name for view in views for name in view.keys.values()}
    missing = wanted - set(frame.asked.columns)
    if missing:
        raise FeastEntityDFMissingColumnsError(wanted, missing)


def _columns_of(view: View) -> dict[str, str]:
    """Return the columns of a view's rows by the names that Feast's own store gives them."""
    times = {"event_timestamp": view.timestamp} | ({"created_timestamp": view.created} if view.created else {})
    return times | {name: row for row, name in view.keys.items()} | dict(view.features)


def _rows_of(view: View, columns: Mapping[str, str], first: datetime, last: datetime) -> Composable:
    time = column("s", view.timestamp)
    condition = SQL("{} between {} and {}").format(time, moment(first), moment(last))
    named = commas(_named(row, name) for name, row in columns.items())
    return statement("offline", "rows_between", columns=named, source=view.table, condition=condition)


def _moments(views: Sequence[View], first: datetime, last: datetime) -> Composable:
    """Return every key and time that a view has within a range; a key that a view does not have is NULL there."""
    names = sorted({name for view in views for name in view.keys.values()})
    parts = [
        statement(
            "offline",
            "moments_of_view",
            columns=commas([_named(view.timestamp, "event_timestamp"), *(_key(view, name, views) for name in names)]),
            timestamp=column("s", view.timestamp),
            source=view.table,
            first=moment(first),
            last=moment(last),
        )
        for view in views
    ]
    order = commas(map(Identifier, ["event_timestamp", *names]))
    return statement("offline", "asked_moments", order=order, moments=SQL(" union ").join(parts))


def _key(view: View, name: str, views: Sequence[View]) -> Composable:
    """Return a key of the asked rows from a view's source; one that it lacks is a NULL of another source's type."""
    row = _row_of(view, name)
    if row:
        return _named(row, name)
    having, row = next((other, found) for other in views if (found := _row_of(other, name)))
    value = SQL("(select o.{} from {} o where false)").format(Identifier(row), having.table)
    return SQL("{} as {}").format(value, Identifier(name))


def _named(row: str, name: str) -> Composed:
    return SQL("{} as {}").format(column("s", row), Identifier(name))


def _row_of(view: View, key: str) -> str | None:
    return next((row for row, name in view.keys.items() if name == key), None)


def _columns(keys: list[str], features: list[str], timestamp: str, created: str | None) -> Composable:
    """Return the columns of a source that are pulled: no features stands for all columns."""
    dummy = [SQL("{} as {}").format(Literal(DUMMY_ENTITY_VAL), Identifier(DUMMY_ENTITY_ID))] if not keys else []
    if not features:
        return commas([SQL("s.*"), *dummy])
    names = [*keys, *features, timestamp, *([created] if created else [])]
    return commas([*(column("s", name) for name in names), *dummy])


def _job(config: Any, query: Composable) -> TidegateRetrievalJob:
    return TidegateRetrievalJob(config, lambda _: query)


def _writable(source: Any) -> str:
    """Return the table that a source reads."""
    table = source_of(source)
    if table.startswith("("):
        raise ValueError(
            f"The source {source.name!r} reads a query, and rows go into a table. "
            "Name the table in the source, or write to that table yourself."
        )
    return table


def _types(connection: Connection[Any], table: str) -> dict[str, str]:
    """Return a table's columns with their types as far as writing must tell them apart."""
    types = types_of_source(connection, verbatim(table))
    return {name: {"float8": "double precision"}.get(short, short) for name, short in types.items()}


def _arrays(connection: Connection[Any], source: str) -> set[str]:
    """Return the columns of a source that hold arrays, pgvector's among them."""
    types = types_of_source(connection, verbatim(source))
    return {name for name, short in types.items() if short.startswith("_") or short in VECTORS}


def _named_as_source(feature_view: Any, table: pa.Table, columns: Mapping[str, str]) -> pa.Table:
    """Undo the field mapping that Feast has applied before it hands rows on."""
    back = {feature: row for row, feature in feature_view.batch_source.field_mapping.items()}
    return table.rename_columns([name if name in columns else back.get(name, name) for name in table.column_names])


def _make_log(connection: Connection[Any], table: Composable, schema: pa.Schema) -> None:
    types = [database_type(field.type) for field in schema]
    connection.execute(statement("offline", "make_log", table=table, columns=definitions(schema.names, types)))
    for name, type_ in zip(schema.names, types, strict=True):
        new = definitions([name], [type_])
        connection.execute(statement("offline", "add_log_column", table=table, column=new))
