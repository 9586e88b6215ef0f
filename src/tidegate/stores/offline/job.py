"""A retrieval: what was asked, run when somebody takes the result, as a table, a frame, batches or a saved dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pyarrow as pa
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import SavedDatasetPostgreSQLStorage
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.types import from_feast_to_pyarrow_type
from psycopg import Connection
from psycopg.sql import SQL, Composable, Identifier, Literal

from tidegate.stores.offline.transport import BLOCK, connected, definitions, receive, send, types_of
from tidegate.stores.statements import commas, statement, verbatim

Plan = Callable[[Connection[Any]], Composable]


class TidegateRetrievalJob(RetrievalJob):
    """A query and what has to stand ready on its connection.

    `to_arrow` holds the result once; `to_batches` holds one batch at a time.
    """

    def __init__(
        self,
        config: Any,
        plan: Plan,
        full_feature_names: bool = False,
        on_demand_feature_views: Any = (),
        describe: Callable[[], RetrievalMetadata] | None = None,
        names: Sequence[str] | None = None,  # of the columns, where PostgreSQL may have cut them
    ) -> None:
        self.config = config
        self._plan = plan
        self._full_feature_names = full_feature_names
        self._on_demand_feature_views = list(on_demand_feature_views or ())
        self._describe = describe
        self._names = names

    @property
    def full_feature_names(self) -> bool:
        """Whether features bear their view's name."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[Any]:
        """The views that Feast computes from the result."""
        return self._on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """What was asked. The times of a frame that is a statement are looked up now."""
        return self._describe() if self._describe else None

    def to_batches(self, block: int = BLOCK, columns: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield the result in batches of about `block` bytes, on-demand features with it, in the order of asking.

        Memory stays that of a batch, and every batch has the same types. A batch that is not taken keeps its
        connection: exhaust or close the iterator. Where only some `columns` are wanted, the others never leave the
        database.
        """
        stored = () if self.on_demand_feature_views else columns
        for table in self._tables(block, columns=stored):
            found = self._with_on_demand(table)
            yield from (found.select(list(columns)) if columns else found).to_batches()

    def to_sql(self) -> str:
        """Return the statement. It reads temporary tables, which exist only while it runs."""
        with self._planned() as (connection, query):
            return query.as_string(connection)

    def persist(
        self, storage: SavedDatasetPostgreSQLStorage, allow_overwrite: bool = False, timeout: int | None = None
    ) -> None:
        """Save the result as a table; without on-demand features it never leaves the database.

        Raises psycopg.errors.DuplicateTable where the table exists and may not be overwritten.
        """
        table = verbatim(storage.postgres_options._table)  # noqa: SLF001  # Feast has no public name for it
        if self.on_demand_feature_views:
            return self._save(table, allow_overwrite, timeout)
        with self._planned(timeout) as (connection, query):
            _make_room(connection, table, allow_overwrite)
            connection.execute(statement("offline", "save_dataset", table=table, query=query))
        return None

    def _save(self, table: Composable, allow_overwrite: bool, timeout: int | None) -> None:
        """Save batch after batch; an earlier dataset stays until the last one has come."""
        with connected(self.config.offline_store) as connection:
            _make_room(connection, table, allow_overwrite)
            for number, rows in enumerate(map(self._with_on_demand, self._tables(BLOCK, timeout))):
                types = types_of(rows)
                if number == 0:
                    columns = definitions(rows.column_names, types)
                    connection.execute(SQL("create table {} ({})").format(table, columns))
                send(connection, table, rows, types)

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return frame

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        # One chunk: where Feast turns a table into protos it reads the first and forgets the others.
        return pa.concat_tables(self._tables(BLOCK, timeout)).combine_chunks()

    def _tables(self, block: int, timeout: int | None = None, columns: Sequence[str] = ()) -> Iterator[pa.Table]:
        with self._planned(timeout) as (connection, query):
            yield from receive(connection, _only(columns, query), block, list(columns) or self._names)

    @contextmanager
    def _planned(self, timeout: int | None = None) -> Iterator[tuple[Connection[Any], Composable]]:
        with connected(self.config.offline_store) as connection:
            if timeout:
                connection.execute(SQL("set local statement_timeout = {}").format(Literal(timeout * 1000)))
            yield connection, self._plan(connection)

    def _with_on_demand(self, table: pa.Table) -> pa.Table:
        """Return a batch with what Feast computes of it, its types those of every other batch."""
        if not self.on_demand_feature_views:
            return table
        asked, on_demand = self._describe, self._on_demand_feature_views
        received = _Received(self.config, self._plan, self.full_feature_names, on_demand, asked)
        received.table = table
        computed, declared = received.to_arrow(), self._declared()
        known = set(table.column_names)
        columns = [table[n] if n in known else _as(computed[n], declared.get(n)) for n in computed.column_names]
        return pa.table(columns, computed.column_names)

    def _declared(self) -> dict[str, pa.DataType]:
        """Return the types that on-demand features are declared to have."""
        return {
            f"{view.projection.name_to_use()}__{one.name}" if self.full_feature_names else one.name: (
                from_feast_to_pyarrow_type(one.dtype)
            )
            for view in self.on_demand_feature_views
            for one in view.features
        }


class _Received(TidegateRetrievalJob):
    """One batch, so that Feast computes on-demand features of it by its own code."""

    table: pa.Table

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self.table


def _only(columns: Sequence[str], query: Composable) -> Composable:
    """Return the statement of some columns; of all, where none is named."""
    if not columns:
        return query
    return statement("offline", "only_columns", columns=commas(map(Identifier, columns)), query=query)


def _make_room(connection: Connection[Any], table: Composable, allow_overwrite: bool) -> None:
    if allow_overwrite:
        connection.execute(SQL("drop table if exists {}").format(table))


def _as(column: Any, declared: pa.DataType | None) -> Any:
    """Return a column as declared where pandas changes types with what is in a batch: of numbers, and of nothing."""
    changing = pa.types.is_null(column.type) or pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
    return column.cast(declared) if changing and declared is not None else column
