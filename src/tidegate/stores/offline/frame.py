"""The asked rows, on their way into a temporary table: a pandas frame or an Arrow table by COPY, or a statement."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from feast.errors import InvalidEntityType
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from psycopg import Connection
from psycopg.sql import SQL, Composable, Identifier

from tidegate.stores.offline.join import FRAME, Asked
from tidegate.stores.offline.transport import connected, definitions, send, types_of
from tidegate.stores.statements import statement, verbatim

TIMESTAMPS = {1114, 1184}
Range = tuple[datetime, datetime]


class FrameOfRows:
    """A pandas frame."""

    def __init__(self, frame: pd.DataFrame) -> None:
        timestamp = infer_event_timestamp_from_entity_df(dict(zip(frame.columns, frame.dtypes, strict=True)))
        empty = frozenset(name for name in frame.columns if not frame[name].notna().any())
        self.asked = Asked(list(frame.columns), timestamp, empty)
        self._rows = _with_times(frame, timestamp)

    def load(self, connection: Connection[Any]) -> None:
        """Make the temporary table, with statistics."""
        _fill(connection, *_arrow(self._rows))

    def range(self) -> Range:
        """Return the first and the last asked time."""
        times = self._rows[self.asked.timestamp]
        return times.min().to_pydatetime(), times.max().to_pydatetime()


class FrameOfTable:
    """An Arrow table, which no pandas frame is made of.

    A column that says the same of every row costs next to nothing as a dictionary.
    """

    def __init__(self, rows: pa.Table) -> None:
        types = {field.name: _kind(pa.types.is_timestamp(field.type)) for field in rows.schema}
        self.asked = Asked(rows.column_names, infer_event_timestamp_from_entity_df(types))
        self._rows = rows

    def load(self, connection: Connection[Any]) -> None:
        """Make the temporary table, with statistics."""
        _fill(connection, self._rows, types_of(self._rows))

    def range(self) -> Range:
        """Return the first and the last asked time."""
        times = pc.min_max(self._rows[self.asked.timestamp])
        return times["min"].as_py(), times["max"].as_py()


class FrameOfQuery:
    """A statement that yields the asked rows."""

    def __init__(self, config: Any, query: str | Composable) -> None:
        self._config = config
        self._query = verbatim(query) if isinstance(query, str) else query
        self.asked = _shape(config, self._query)

    def load(self, connection: Connection[Any]) -> None:
        """Make the temporary table, with statistics."""
        connection.execute(statement("offline", "make_frame_of_query", frame=FRAME, query=self._query))
        connection.execute(statement("offline", "number_frame", frame=FRAME))
        connection.execute(SQL("analyze {}").format(FRAME))

    def range(self) -> Range:
        """Return the first and the last asked time, which runs the statement."""
        times = {"timestamp": Identifier(self.asked.timestamp), "query": self._query}
        with connected(self._config) as connection:
            row = connection.execute(statement("offline", "range_of_query", **times)).fetchone()
        assert row is not None
        return row[0], row[1]


Frame = FrameOfRows | FrameOfTable | FrameOfQuery


def frame_of(config: Any, entity_df: Any) -> Frame:
    """Return the asked rows, whatever they are. Raises InvalidEntityType."""
    if isinstance(entity_df, pd.DataFrame):
        return FrameOfRows(entity_df)
    if isinstance(entity_df, pa.Table):
        return FrameOfTable(entity_df)
    if isinstance(entity_df, str):
        return FrameOfQuery(config, entity_df.strip().rstrip(";") + "\n")  # it may end in a comment
    raise InvalidEntityType(type(entity_df))


def _shape(config: Any, query: Composable) -> Asked:
    with connected(config) as connection:
        found = connection.execute(SQL("select * from ({}) asked limit 0").format(query)).description or ()
    types = {column.name: _kind(column.type_code in TIMESTAMPS) for column in found}
    return Asked(list(types), infer_event_timestamp_from_entity_df(types))


def _kind(is_time: bool) -> np.dtype[Any]:
    """Return what Feast tells a column of times by."""
    return np.dtype("datetime64[ns]" if is_time else "O")


def _fill(connection: Connection[Any], rows: pa.Table, types: list[str]) -> None:
    """Make the temporary table of rows, with statistics."""
    columns = definitions(rows.column_names, types)
    connection.execute(statement("offline", "make_frame", frame=FRAME, columns=columns))
    send(connection, FRAME, rows, types)
    connection.execute(SQL("analyze {}").format(FRAME))


def _with_times(frame: pd.DataFrame, timestamp: str) -> pd.DataFrame:
    """Return the frame with times that are times, in UTC, where they came as text."""
    if isinstance(frame[timestamp].dtype, pd.DatetimeTZDtype):
        return frame
    return frame.assign(**{timestamp: pd.to_datetime(frame[timestamp], utc=True)})


def _arrow(frame: pd.DataFrame) -> tuple[pa.Table, list[str]]:
    """Return the rows and the types of their columns."""
    uuids = [name for name in frame.columns if _holds_uuids(frame[name])]
    plain = frame.assign(**{name: frame[name].map(str, na_action="ignore") for name in uuids})
    rows = pa.Table.from_pandas(plain, preserve_index=False)
    types = ["uuid" if name in uuids else type_ for name, type_ in zip(rows.column_names, types_of(rows), strict=True)]
    return rows, types


def _holds_uuids(values: pd.Series[Any]) -> bool:
    if values.dtype != object:
        return False
    first = values.first_valid_index()
    return first is not None and isinstance(values.dropna().iloc[0], UUID)
