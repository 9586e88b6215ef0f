"""Writing to a wide table: COPY into a temporary table, then one upsert that never replaces newer by older.

The guard compares event times, and where they are equal the times of creation, as point-in-time joins do; a row that
comes again replaces itself. Rows are written in the order of their keys, so that writers never wait for each other in
a circle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

import psycopg
from feast.value_type import ValueType
from psycopg import sql

from tidegate.stores.online_tables import Column, Place
from tidegate.stores.statements import commas, statement, verbatim
from tidegate.stores.types import column_type

Row = tuple[Any, dict[str, Any], datetime, datetime | None]  # entity key, values, event and created timestamp
MOMENT = column_type(ValueType.UNIX_TIMESTAMP)
FEW = 20  # rows for which a temporary table costs more than it saves


@dataclass(frozen=True)
class Batch:
    """Rows of one view, with the same features, column by column as they go into its table."""

    place: Place
    described: list[Column]
    columns: list[list[Any]]


def batches(place: Place, rows: Sequence[Row]) -> list[Batch]:
    """Return rows as batches: one, unless some rows lack features that others have."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[1]), []).append(row)
    return [_batch(place, features, group) for features, group in groups.items()]


def write(connection: psycopg.Connection[Any], batch: Batch) -> None:
    """Write a batch in one transaction."""
    rows = list(zip(*batch.columns, strict=True))
    (_put if len(rows) <= FEW else _merge)(connection, batch, rows)


def _put(connection: psycopg.Connection[Any], batch: Batch, rows: list[tuple[Any, ...]]) -> None:
    """Write some rows, one statement each."""
    numbered = enumerate(batch.described, 1)
    values = [f"${number}::{column.type.wire}::{column.type.stored}" for number, column in numbered]
    in_order = sorted(rows, key=itemgetter(*range(len(batch.place.keys))))
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(_statement("put", batch, values), in_order)


def _merge(connection: psycopg.Connection[Any], batch: Batch, rows: list[tuple[Any, ...]]) -> None:
    """Write many rows: all of them to a temporary table, from there in one statement."""
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.type.wire)) for column in batch.described
    ]
    values = [f"{_quoted(column.name)}::{column.type.stored}" for column in batch.described]
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(statement("online", "incoming", columns=commas(columns)))
        with cursor.copy(statement("online", "copy_incoming")) as copy:
            copy.set_types([column.type.wire for column in batch.described])
            for row in rows:
                copy.write_row(row)
        cursor.execute(_statement("merge", batch, values))


def _batch(place: Place, given: tuple[str, ...], rows: list[Row]) -> Batch:
    """Return rows with the same features as columns; what the view does not know is left out."""
    features = [feature for feature in given if feature in place.features]
    described = [
        *place.keys.values(),
        Column(place.event_timestamp, MOMENT),
        Column(place.created, MOMENT),
        *(place.features[feature] for feature in features),
    ]
    keys, values, moments, created = zip(*rows, strict=True)
    columns = [
        *_key_columns(place, keys),
        list(map(_in_utc, moments)),
        list(map(_in_utc, created)),
        *_feature_columns(place, features, values),
    ]
    return Batch(place, described, columns)


def _feature_columns(place: Place, features: list[str], values: Sequence[dict[str, Any]]) -> list[list[Any]]:
    pick = itemgetter(*features, features[-1]) if features else None  # two at least: then it gives tuples
    protos = zip(*map(pick, values), strict=True) if pick else ()
    return [place.features[feature].type.column(column) for feature, column in zip(features, protos, strict=False)]


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
