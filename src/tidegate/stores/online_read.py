"""Reading wide tables: one prepared statement a table, whatever the number of views and rows.

A plan is made once for each set of features and names the statements; a request puts the keys in. The rows that come
back are turned into columns as they are: nothing is made for each value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import sql

from tidegate.stores.online_response import NOT_FOUND, OUTSIDE_MAX_AGE, PRESENT, Block, ViewVersion
from tidegate.stores.online_tables import Column, Place, place
from tidegate.stores.statements import commas, statement
from tidegate.stores.types import ColumnType

Rows = list[tuple[Any, ...]]
KeyValues = Mapping[str, Sequence[Any]]  # by the name in the request, on the wire

_PRESENT = bytes([PRESENT])
_PAIRS = "({keys}) in (select * from unnest({arrays}))"


@dataclass(frozen=True)
class ViewPart:
    """What one view gives to an answer, and where in the row it stands: its event timestamp, then its features."""

    view: str
    version: ViewVersion
    age: timedelta | None  # how old a value may be; None: any age
    timestamp: int
    names: tuple[str, ...]
    types: tuple[ColumnType, ...]
    order: int  # among the views of the request
    plain: bool  # what comes from the database is what Python shows


@dataclass(frozen=True)
class TableRead:
    """One statement: the rows of some keys, for all the views that the table holds."""

    keys: tuple[str, ...]  # names in the request
    key_types: tuple[ColumnType, ...]
    one: bytes  # for one key; empty where there is no such short form
    many: bytes
    width: int
    parts: tuple[ViewPart, ...]

    def statement(self, asked: Sequence[Any]) -> tuple[bytes, list[Any]]:
        """Return the statement and its parameters for distinct keys."""
        if self.one and len(asked) == 1:
            return self.one, [asked[0]]
        if len(self.keys) == 1:
            return self.many, [asked]
        return self.many, [list(values) for values in zip(*asked, strict=True)]

    def asked(self, values: KeyValues) -> list[Any]:
        """Return the key of each row of a request: a value, or a tuple of values."""
        if len(self.keys) == 1:
            return list(values[self.keys[0]])
        return list(zip(*(values[key] for key in self.keys), strict=True))

    def columns(self, rows: Rows, asked: Sequence[Any]) -> list[Sequence[Any]]:
        """Return the table's columns, one entry for each asked key; None where there is no row."""
        nothing = (None,) * self.width
        if len(asked) == 1:
            return [(value,) for value in (rows[0] if rows else nothing)]
        if len(rows) == 1 and asked.count(asked[0]) == len(asked):
            return [(value,) * len(asked) for value in rows[0]]
        n = len(self.keys)
        by_key = {row[0]: row for row in rows} if n == 1 else {row[:n]: row for row in rows}
        return list(zip(*[by_key.get(key, nothing) for key in asked], strict=True))


@dataclass(frozen=True)
class Plan:
    """How to answer for a set of features."""

    reads: tuple[TableRead, ...]

    @property
    def keys(self) -> dict[str, ColumnType]:
        """The join keys by their name in the request."""
        return {key: kind for read in self.reads for key, kind in zip(read.keys, read.key_types, strict=True)}

    @property
    def parts(self) -> list[ViewPart]:
        """What the views give, in the order of the request."""
        return sorted((part for read in self.reads for part in read.parts), key=lambda part: part.order)


def plan_reads(config: Any, grouped: Sequence[tuple[Any, Sequence[str]]], full_names: bool) -> Plan:
    """Return the plan for views with their features: one read for each table and set of keys."""
    groups: dict[Any, list[tuple[int, Any, Place, Sequence[str]]]] = {}
    for order, (view, features) in enumerate(grouped):
        where, aliases = place(config, view), view.projection.join_key_map
        names = tuple(aliases.get(key, key) for key in where.keys)
        groups.setdefault((where.schema, where.table, where.function, names), []).append((order, view, where, features))
    return Plan(tuple(_read(names, views, full_names) for (*_, names), views in groups.items()))


def blocks(read: TableRead, rows: Rows, asked: Sequence[Any]) -> list[tuple[int, Block]]:
    """Return the features that a table gives to an answer, view by view, each with its place in the order."""
    columns = read.columns(rows, asked)
    return [(part.order, _block(part, columns)) for part in read.parts]


def _block(part: ViewPart, columns: list[Sequence[Any]]) -> Block:
    times, first = columns[part.timestamp], part.timestamp + 1
    features: Sequence[Sequence[Any]] = columns[first : first + len(part.names)]
    statuses = _statuses(times, part.age)
    if OUTSIDE_MAX_AGE in statuses:
        features = [_fresh(values, statuses) for values in features]
    return Block(part.names, part.types, features, statuses, times, part.plain)


def _statuses(times: Sequence[Any], age: timedelta | None) -> bytes:
    if age is None:
        every = None not in times
        return _PRESENT * len(times) if every else bytes([NOT_FOUND if time is None else PRESENT for time in times])
    oldest = datetime.now(UTC) - age
    return bytes([NOT_FOUND if time is None else OUTSIDE_MAX_AGE if time < oldest else PRESENT for time in times])


def _fresh(values: Sequence[Any], statuses: bytes) -> list[Any]:
    """Return values without those that are too old: a model was trained without them too."""
    return [value if status == PRESENT else None for value, status in zip(values, statuses, strict=True)]


def _read(names: tuple[str, ...], views: list[tuple[int, Any, Place, Sequence[str]]], full_names: bool) -> TableRead:
    where = views[0][2]
    columns, parts = [selected(key) for key in where.keys.values()], []
    for order, view, kept, features in views:
        timestamp = len(columns)
        columns.append(selected_time(kept))
        outputs = tuple(_output_name(view, feature, full_names) for feature in features)
        wanted = [kept.features[feature] for feature in features]
        columns += map(selected, wanted)
        types = tuple(column.type for column in wanted)
        plain = all(kind.load is None for kind in types)
        parts.append(ViewPart(view.name, _version(view), view_age(view), timestamp, outputs, types, order, plain))
    return TableRead(
        names,
        tuple(key.type for key in where.keys.values()),
        b"" if where.function or len(names) > 1 else _select(where, columns, _by_key(where)),
        _select(where, columns, _by_keys(where)),
        len(columns),
        tuple(parts),
    )


def select_rows(where: Place, features: Sequence[str]) -> bytes:
    """Return the statement that reads some features of one view by keys."""
    columns = [selected(key) for key in where.keys.values()]
    columns.append(selected_time(where))
    columns += [selected(where.features[feature]) for feature in features]
    return _select(where, columns, _by_keys(where))


def view_age(view: Any) -> timedelta | None:
    """Return how old a view's values may be; None where they never expire."""
    return getattr(view, "ttl", None) or None


def _select(where: Place, columns: list[sql.Composable], condition: sql.Composable) -> bytes:
    query = statement("online", "by_keys", columns=commas(columns), rows=where.rows, condition=condition)
    return query.as_bytes(None)


def _by_key(where: Place) -> sql.Composable:
    (key,) = where.keys.values()
    return sql.SQL("{} = {}").format(sql.Identifier(key.name), sql.SQL(f"$1::{key.type.stored}"))


def _by_keys(where: Place) -> sql.Composable:
    keys = list(where.keys.values())
    arrays = [sql.SQL(f"${number}::{key.type.stored}[]") for number, key in enumerate(keys, 1)]
    if len(keys) == 1:
        return sql.SQL("{} = any({})").format(sql.Identifier(keys[0].name), arrays[0])
    names = sql.SQL(", ").join(sql.Identifier(key.name) for key in keys)
    return sql.SQL(_PAIRS).format(keys=names, arrays=sql.SQL(", ").join(arrays))


def selected_time(where: Place) -> sql.Composable:
    """Return a view's event timestamp as it is read."""
    return sql.SQL("{}::timestamptz").format(sql.Identifier(where.event_timestamp))


def age_condition(where: Place, view: Any) -> list[sql.Composable]:
    """Return the condition that a row is young enough, if there is one."""
    age = view_age(view)
    if age is None:
        return []
    oldest = sql.SQL("{} >= now() - make_interval(secs => {})")
    return [oldest.format(sql.Identifier(where.event_timestamp), sql.Literal(age.total_seconds()))]


def selected(column: Column) -> sql.Composable:
    """Return a column as it is read."""
    return sql.SQL("{}::{}").format(column.value, sql.SQL(column.type.wire))


def _output_name(view: Any, feature: str, full_names: bool) -> str:
    return f"{view.projection.name_to_use()}__{feature}" if full_names else feature


def _version(view: Any) -> ViewVersion:
    name = view.projection.name_alias or view.projection.name
    return ViewVersion(name, getattr(view, "current_version_number", 0) or 0)
