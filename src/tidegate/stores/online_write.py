"""Writing to a wide table: COPY into a temporary table, then one upsert that never replaces newer by older.

The guard compares event times, and where they are equal the times of creation, as point-in-time joins do; a row that
comes again replaces itself. Rows are written in the order of their keys, so that writers never wait for each other in
a circle.

Rows turn into columns some at a time, while the server takes in those before: what is made is gone before Python's
collector looks at it, which else would look at each of the caller's protos too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from operator import itemgetter
from typing import Any

import psycopg
from feast.value_type import ValueType
from psycopg import sql

from tidegate.stores.online_tables import Column, Place
from tidegate.stores.statements import commas, statement, verbatim
from tidegate.stores.types import column_type

Row = tuple[Any, dict[str, Any], datetime, datetime | None]  # entity key, values, event and created timestamp
Rows = list[tuple[Any, ...]]  # as they go into a table
MOMENT = column_type(ValueType.UNIX_TIMESTAMP)
FEW = 20  # rows for which a temporary table costs more than it saves
CHUNK = 500  # rows that turn into columns at a time; 100 to 2,000 are as fast


@dataclass(frozen=True)
class Batch:
    """Rows of one view that bring the same features."""

    place: Place
    features: list[str]
    rows: Sequence[Row]

    @cached_property
    def described(self) -> list[Column]:
        """The columns that the rows go to."""
        place = self.place
        moments = [Column(place.event_timestamp, MOMENT), Column(place.created, MOMENT)]
        return [*place.keys.values(), *moments, *(place.features[feature] for feature in self.features)]

    def chunks(self) -> Iterator[Rows]:
        """Yield the rows as they go into the table."""
        for start in range(0, len(self.rows), CHUNK):
            columns = _columns(self.place, self.features, self.rows[start : start + CHUNK])
            yield list(zip(*columns, strict=True))

    def in_order(self) -> Rows:
        """Return all rows in the order of their keys."""
        return sorted((row for rows in self.chunks() for row in rows), key=itemgetter(*range(len(self.place.keys))))


def batches(place: Place, rows: Sequence[Row]) -> list[Batch]:
    """Return rows as batches: one, unless some rows lack features that others have. Unknown features are left out."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[1]), []).append(row)
    known = place.features.keys()
    return [Batch(place, [name for name in given if name in known], group) for given, group in groups.items()]


def write(connection: psycopg.Connection[Any], batch: Batch) -> None:
    """Write a batch in one transaction: a few rows one by one, many by way of a temporary table."""
    with connection.transaction(), connection.cursor() as cursor:
        if len(batch.rows) <= FEW:
            cursor.executemany(_put(batch), batch.in_order())
            return
        cursor.execute(_incoming(batch))
        with cursor.copy(statement("online", "copy_incoming")) as copy:
            copy.set_types([column.type.wire for column in batch.described])
            for rows in batch.chunks():
                for row in rows:
                    copy.write_row(row)
        cursor.execute(_merge(batch))


async def write_async(connection: psycopg.AsyncConnection[Any], batch: Batch) -> None:
    """Write a batch as `write` does; between its chunks the event loop does what else it has to do."""
    async with connection.transaction(), connection.cursor() as cursor:
        if len(batch.rows) <= FEW:
            await cursor.executemany(_put(batch), batch.in_order())
            return
        await cursor.execute(_incoming(batch))
        async with cursor.copy(statement("online", "copy_incoming")) as copy:
            copy.set_types([column.type.wire for column in batch.described])
            for rows in batch.chunks():
                for row in rows:
                    await copy.write_row(row)
                await asyncio.sleep(0)  # to write a row seldom waits for the server
        await cursor.execute(_merge(batch))


def _incoming(batch: Batch) -> sql.Composed:
    """Return the statement that makes room for rows on their way."""
    typed = [sql.SQL("{} {}").format(sql.Identifier(one.name), sql.SQL(one.type.wire)) for one in batch.described]
    return statement("online", "incoming", columns=commas(typed))


def _merge(batch: Batch) -> sql.Composed:
    """Return the statement that writes the rows from there."""
    return _statement("merge", batch, [f"{_quoted(one.name)}::{one.type.stored}" for one in batch.described])


def _put(batch: Batch) -> sql.Composed:
    """Return the statement that writes one row."""
    numbered = enumerate(batch.described, 1)
    return _statement("put", batch, [f"${number}::{one.type.wire}::{one.type.stored}" for number, one in numbered])


def _columns(place: Place, features: Sequence[str], rows: Sequence[Row]) -> list[list[Any]]:
    """Return rows with the same features as columns, as they go into the table."""
    keys, values, moments, created = zip(*rows, strict=True)
    return [
        *_key_columns(place, keys),
        list(map(_in_utc, moments)),
        list(map(_in_utc, created)),
        *(place.features[feature].type.column(list(map(itemgetter(feature), values))) for feature in features),
    ]


def _key_columns(place: Place, entity_keys: Sequence[Any]) -> list[list[Any]]:
    """Return the values of each join key, in the order of the table's."""
    if len(place.keys) == 1:
        (column,) = place.keys.values()
        return [column.type.column([key.entity_values[0] for key in entity_keys])]
    named = [dict(zip(key.join_keys, key.entity_values, strict=True)) for key in entity_keys]
    return [column.type.column([key[name] for key in named]) for name, column in place.keys.items()]


def _in_utc(moment: datetime | None) -> datetime | None:
    """Return a time with its zone: Feast's naive ones are UTC, and pandas has a None of its own."""
    if moment is None or moment != moment:  # NaT is the only time that is not itself
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _statement(block: str, batch: Batch, values: list[str]) -> sql.Composed:
    place = batch.place
    keys = [sql.Identifier(key.name) for key in place.keys.values()]
    names = [sql.Identifier(column.name) for column in batch.described]
    moments = {"time": sql.Identifier(place.event_timestamp), "created": sql.Identifier(place.created)}
    return statement(
        "online",
        block,
        table=place.relation,
        names=commas(names),
        keys=commas(keys),
        values=verbatim(", ".join(values)),
        sets=commas(sql.SQL("{0} = excluded.{0}").format(name) for name in names[len(keys) :]),
        guard=statement("online", "guard", **moments),
        **moments,
    )


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)
