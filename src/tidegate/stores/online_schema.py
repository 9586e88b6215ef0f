"""What `feast apply` and `feast teardown` do to the tables: made, widened, narrowed, dropped; each may be repeated.

Only columns whose comment names a view of ours are ever dropped, only in tables whose comment names our project, and a
table only when no view is left in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
from feast.value_type import ValueType
from psycopg import sql

from tidegate.stores.connections import schema_of
from tidegate.stores.online_tables import CREATED, EVENT_TIMESTAMP, Column, Place
from tidegate.stores.types import column_type

OWNER = "Online features of Feast's project "
MOMENT = column_type(ValueType.UNIX_TIMESTAMP)
ONE_AT_A_TIME = 7_020_251_124  # an advisory lock: two that apply at once would both add the same column

_SCHEMAS = b"select from pg_catalog.pg_namespace where nspname = $1"
_TABLES = (
    b"select c.relname, obj_description(c.oid, 'pg_class') from pg_class c where c.relnamespace = $1::regnamespace \
and c.relkind = 'r'"
)
_COLUMNS = b"select attname, format_type(atttypid, atttypmod), coalesce(col_description(attrelid, attnum), '') \
from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped"
_INDEXES = b"select i.indexrelid::regclass::text from pg_index i where i.indrelid = $1::regclass"


class TableOfAnotherProject(Exception):
    """The table's name is taken."""


@dataclass
class Wanted:
    """A table as it shall be: columns by name, with their types and the comments that say whose they are."""

    place: Place
    columns: dict[str, tuple[str, str]] = field(default_factory=dict)  # name -> (type, comment)

    def add(self, where: Place) -> None:
        """Add the columns of a view."""
        moments = {where.event_timestamp: EVENT_TIMESTAMP, where.created: CREATED}
        for name, what in moments.items():
            self._claim(name, MOMENT.stored, f"{where.view}::{what}")
        for feature, column in where.features.items():
            self._claim(column.name, stored_type(column), f"{where.view}:{feature}")

    def _claim(self, name: str, kind: str, comment: str) -> None:
        taken = self.columns.setdefault(name, (kind, comment))
        if taken[1] != comment:
            raise ValueError(f"{taken[1]} and {comment} would share the column {name}. Rename one of the two.")


def stored_type(column: Column) -> str:
    """Return the type of a column of ours."""
    return column.type.stored


def reconcile(connection: psycopg.Connection[Any], config: Any, keep: Iterable[Place], delete: Iterable[str]) -> None:
    """Make the tables of a project as its views want them; forget the views that are deleted."""
    wanted = _wanted(keep)
    gone = set(delete)
    with connection.transaction():
        connection.execute(b"select pg_advisory_xact_lock($1)", [ONE_AT_A_TIME])
        for table in wanted.values():
            _make(connection, config, table)
            _widen(connection, table)
        _narrow(connection, config, wanted, gone)


def describe(keep: Iterable[Place]) -> dict[str, list[str]]:
    """Return the tables of some views with their columns, as `feast plan` shows them."""
    return {
        f"{table.place.schema}.{table.place.table}": sorted(
            f"{name} {kind}" for name, (kind, _) in table.columns.items()
        )
        for table in _wanted(keep).values()
    }


def _wanted(keep: Iterable[Place]) -> dict[str, Wanted]:
    tables: dict[str, Wanted] = {}
    for where in keep:
        if where.writable:
            tables.setdefault(where.table, Wanted(where)).add(where)
    return tables


def _make(connection: psycopg.Connection[Any], config: Any, table: Wanted) -> None:
    """Make the schema and the table, with its keys only; refuse a table that is not ours."""
    where = table.place
    if connection.execute(_SCHEMAS, [where.schema]).fetchone() is None:
        connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(where.schema)))
    owner = dict(connection.execute(_TABLES, [_quoted(where.schema)]).fetchall()).get(where.table, "")
    if owner == "":
        keys = [
            sql.SQL("{} {}").format(sql.Identifier(key.name), sql.SQL(key.type.stored)) for key in where.keys.values()
        ]
        names = sql.SQL(", ").join(sql.Identifier(key.name) for key in where.keys.values())
        made = "create table {} ({}, primary key ({})) with (fillfactor = 80)"
        connection.execute(sql.SQL(made).format(where.relation, sql.SQL(", ").join(keys), names))
        comment = sql.SQL("comment on table {} is {}")
        connection.execute(comment.format(where.relation, sql.Literal(f"{OWNER}{config.project}.")))
    elif owner != f"{OWNER}{config.project}.":
        raise TableOfAnotherProject(
            f"The table {where.schema}.{where.table} is not of the project {config.project!r}. "
            "Set another db_schema for the online store."
        )


def _widen(connection: psycopg.Connection[Any], table: Wanted) -> None:
    """Add the columns that are missing; one whose type changed starts anew."""
    there = {name: kind for name, kind, _ in _columns(connection, table.place.relation)}
    for name, (kind, comment) in table.columns.items():
        if name in there and not _same(there[name], kind):
            _drop_column(connection, table.place.relation, name)
            del there[name]
        if name not in there:
            add = sql.SQL("alter table {} add column {} {}")
            connection.execute(add.format(table.place.relation, sql.Identifier(name), sql.SQL(kind)))
            say = sql.SQL("comment on column {}.{} is {}")
            connection.execute(say.format(table.place.relation, sql.Identifier(name), sql.Literal(comment)))


def _narrow(connection: psycopg.Connection[Any], config: Any, wanted: dict[str, Wanted], gone: set[str]) -> None:
    """Drop the columns of deleted views, of features a view has no more, and of views that moved elsewhere."""
    kept = {comment.split(":")[0] for table in wanted.values() for _, comment in table.columns.values()}
    for name in project_tables(connection, config):
        relation = sql.Identifier(_schema(config), name)
        columns = wanted[name].columns if name in wanted else {}
        left = False
        for column, view in _owned(connection, relation):
            if column not in columns and (view in kept or _base(view, gone)):
                _drop_column(connection, relation, column)
            else:
                left = True
        if not left:
            connection.execute(sql.SQL("drop table {}").format(relation))


def project_tables(connection: psycopg.Connection[Any], config: Any) -> list[str]:
    """Return the tables of a project, by what their comments say."""
    if connection.execute(_SCHEMAS, [_schema(config)]).fetchone() is None:
        return []
    found = connection.execute(_TABLES, [_quoted(_schema(config))]).fetchall()
    return [name for name, comment in found if comment == f"{OWNER}{config.project}."]


def _owned(connection: psycopg.Connection[Any], relation: sql.Identifier) -> Iterator[tuple[str, str]]:
    """Yield the columns of views, each with its view."""
    for name, _, comment in _columns(connection, relation):
        if ":" in comment:
            yield name, comment.split(":")[0]


def _base(view: str, gone: set[str]) -> bool:
    """Return whether a view, or the view of which it is a version, is gone."""
    name, _, version = view.rpartition("_v")
    return view in gone or (version.isdigit() and name in gone)


def _columns(connection: psycopg.Connection[Any], relation: sql.Identifier) -> list[tuple[str, str, str]]:
    return connection.execute(_COLUMNS, [relation.as_string(connection)]).fetchall()


def _drop_column(connection: psycopg.Connection[Any], relation: sql.Identifier, name: str) -> None:
    connection.execute(sql.SQL("alter table {} drop column {}").format(relation, sql.Identifier(name)))


def _same(there: str, wanted: str) -> bool:
    return there.replace("timestamp with time zone", "timestamptz") == wanted


def _schema(config: Any) -> str:
    return schema_of(config.online_store)


def _quoted(schema: str) -> str:
    return sql.Identifier(schema).as_string(None)
