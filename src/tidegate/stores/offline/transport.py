"""Rows between PostgreSQL and Arrow by COPY, as CSV.

Arrow's reader and writer of CSV are C++: no Python object is made for a value, and NULL (nothing) differs from an
empty string (`""`) in both directions. The database sends one row a message, so a block of messages is a whole
number of rows, and memory is one block's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pyarrow as pa
from feast.infra.utils.postgres.connection_utils import _get_conn_kwargs, _get_conninfo
from psycopg import Connection
from psycopg.sql import SQL, Composable, Composed, Identifier
from pyarrow import csv

from tidegate.stores.offline.types import database_type, plain, read_as
from tidegate.stores.statements import commas, verbatim

BLOCK = 8 << 20  # bytes of text that become one batch
ROWS = 65_536  # rows written at once
# Feast's times are in UTC; text that Arrow reads; a plan of many cheap loops is no work for a compiler.
SESSION = (
    "set timezone = 'UTC'; set datestyle = 'ISO'; set jit = off; set extra_float_digits = 1; set bytea_output = hex"
)


@contextmanager
def connected(config: Any) -> Iterator[Connection[Any]]:
    """Yield a connection in a transaction that commits at the end, for an offline store's configuration."""
    with psycopg.connect(_get_conninfo(config), **_arguments(config)) as connection:
        connection.execute(SESSION)
        yield connection


def _arguments(config: Any) -> dict[str, Any]:
    """Return how Feast connects, with the configuration's own settings of the server."""
    arguments: dict[str, Any] = _get_conn_kwargs(config)
    options = f"{arguments['options']} {getattr(config, 'options', '')}"
    return arguments | {"keepalives_idle": config.keepalives_idle, "options": options}


def send(connection: Connection[Any], table: Composable, rows: pa.Table, targets: Sequence[str]) -> None:
    """Append rows to a table whose columns have the types `targets`."""
    names = commas(map(Identifier, rows.column_names))
    into = SQL("copy {} ({}) from stdin (format csv)").format(table, names)
    with connection.cursor() as cursor, cursor.copy(into) as copy:
        for start in range(0, rows.num_rows, ROWS):
            copy.write(as_csv(rows.slice(start, ROWS), targets))


def as_csv(rows: pa.Table, targets: Sequence[str]) -> memoryview:
    """Return rows as text that COPY reads."""
    columns = [plain(column, target) for column, target in zip(rows.columns, targets, strict=True)]
    sink = pa.BufferOutputStream()
    # By number: Arrow writes no column twice, and a name is no part of the text.
    csv.write_csv(
        pa.table(columns, [str(n) for n in range(len(columns))]), sink, csv.WriteOptions(include_header=False)
    )
    return memoryview(sink.getvalue())


def receive(
    connection: Connection[Any], query: Composable, block: int = BLOCK, names: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """Yield a query's rows as tables of about `block` bytes of text; at least one, maybe without rows."""
    reader = Reader(connection, query, names)
    yield from reader.tables(block)


class Reader:
    """Turns the text of a query's rows into Arrow tables."""

    def __init__(self, connection: Connection[Any], query: Composable, names: Sequence[str] | None = None) -> None:
        self._connection = connection
        self._query = query
        shape = connection.execute(SQL("select * from ({}) shape limit 0").format(query)).description or ()
        self.names = list(names or (column.name for column in shape))
        self._columns = [read_as(connection, column.type_code) for column in shape]
        self.schema = pa.schema([(n, final) for n, (_, final, _) in zip(self.names, self._columns, strict=True)])

    def tables(self, block: int) -> Iterator[pa.Table]:
        """Yield the rows."""
        copied = SQL("copy ({}) to stdout (format csv)").format(self._query)
        empty = True
        with self._connection.cursor() as cursor, cursor.copy(copied) as copy:
            for text in _blocks(copy, block):
                empty = False
                yield self._table(text)
        if empty:
            yield self.schema.empty_table()

    def _table(self, text: bytes) -> pa.Table:
        # By number: a name may stand twice in a result.
        numbers = [str(number) for number in range(len(self._columns))]
        parsed = csv.read_csv(
            pa.BufferReader(text),
            csv.ReadOptions(column_names=numbers, block_size=max(len(text) // 2, 1 << 20)),
            csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            csv.ConvertOptions(
                column_types={n: parse for n, (parse, _, _) in zip(numbers, self._columns, strict=True)},
                null_values=[""],
                true_values=["t"],
                false_values=["f"],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        finished = [finish(c) for c, (_, _, finish) in zip(parsed.columns, self._columns, strict=True)]
        return pa.Table.from_arrays(finished, schema=self.schema)


def _blocks(copy: Any, size: int) -> Iterator[bytes]:
    """Yield the messages of a COPY joined to blocks."""
    held: list[Any] = []
    length = 0
    for row in copy:
        held.append(bytes(row))
        length += len(row)
        if length >= size:
            yield b"".join(held)
            held, length = [], 0
    if held:
        yield b"".join(held)


def types_of(rows: pa.Table) -> list[str]:
    """Return the database types that hold a table's columns."""
    return [_type_of(field.type) for field in rows.schema]


def _type_of(arrow: pa.DataType) -> str:
    return _type_of(arrow.value_type) if pa.types.is_dictionary(arrow) else database_type(arrow)


def definitions(names: Sequence[str], types: Sequence[str]) -> Composed:
    """Return column definitions."""
    pairs = zip(names, types, strict=True)
    return commas(SQL("{} {}").format(Identifier(name), verbatim(type_)) for name, type_ in pairs)
