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
from tidegate.stores.online_tables import CREATED, EVENT_TIMESTAMP, Place, shortened
from tidegate.stores.statements import commas, statement, verbatim
from tidegate.stores.types import column_type

OWNER = "Online features of Feast's project "
MOMENT = column_type(ValueType.UNIX_TIMESTAMP)
ONE_AT_A_TIME = 7_020_251_124  # an advisory lock: two that apply at once would both add the same column

_LOCK = b"select pg_advisory_xact_lock($1)"
_SCHEMAS = b"select from pg_catalog.pg_namespace where nspname = $1"
_EXTENSION = b"create extension if not exists vector with schema public"


class TableOfAnotherProject(Exception):
    """The table's name is taken."""


@dataclass
class Wanted:
    """A table as it shall be: columns by name, with their types and the comments that say whose they are."""

    place: Place
    columns: dict[str, tuple[str, str]] = field(default_factory=dict)  # name -> (type, comment)
    searched: dict[str, str] = field(default_factory=dict)  # column -> operator class of its index

    def add(self, where: Place) -> None:
        """Add the columns of a view. Raises ValueError where two features would share one."""
        for name, what in ((where.event_timestamp, EVENT_TIMESTAMP), (where.created, CREATED)):
            self._claim(name, MOMENT.stored, f"{where.view}::{what}")
        for feature, column in where.features.items():
            self._claim(column.name, column.type.stored, f"{where.view}:{feature}")
        self.searched |= where.searched

    def _claim(self, name: str, kind: str, comment: str) -> None:
        _, taken = self.columns.setdefault(name, (kind, comment))
        if taken != comment:
            raise ValueError(f"{taken} and {comment} would share the column {name}. Rename one of the two.")


def reconcile(connection: psycopg.Connection[Any], config: Any, keep: Iterable[Place], delete: Iterable[str]) -> None:
    """Make the tables of a project as its views want them; forget the views that are deleted."""
    wanted, gone = _wanted(keep), set(delete)
    with connection.transaction():
        connection.execute(_LOCK, [ONE_AT_A_TIME])
        for table in wanted.values():
            _make(connection, config, table)
            _widen(connection, table)
            _index(connection, table)
        _narrow(connection, config, wanted, gone)


def describe(keep: Iterable[Place]) -> dict[str, str]:
    """Return the tables of some views with their columns, as `feast plan` compares them."""
    return {
        f"{table.place.schema}.{table.place.table}": ", ".join(
            [*table.place.keys, *sorted(f"{name} {kind}" for name, (kind, _) in table.columns.items())]
        )
        for table in _wanted(keep).values()
    }


def project_tables(connection: psycopg.Connection[Any], config: Any) -> list[str]:
    """Return the tables of a project, by what their comments say."""
    found = _tables(connection, schema_of(config.online_store))
    return [name for name, comment in found if comment == _owner(config)]


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
    there = dict(_tables(connection, where.schema))
    if where.table not in there:
        _create(connection, where, _owner(config))
    elif there[where.table] != _owner(config):
        raise TableOfAnotherProject(
            f"The table {where.schema}.{where.table} is not of the project {config.project!r}. "
            "Set another db_schema for the online store."
        )


def _create(connection: psycopg.Connection[Any], where: Place, owner: str) -> None:
    keys = where.keys.values()
    typed = commas(sql.SQL("{} {}").format(sql.Identifier(key.name), verbatim(key.type.stored)) for key in keys)
    names = commas(sql.Identifier(key.name) for key in keys)
    connection.execute(statement("online", "make_table", table=where.relation, keys=typed, names=names))
    connection.execute(sql.SQL("comment on table {} is {}").format(where.relation, sql.Literal(owner)))


def _widen(connection: psycopg.Connection[Any], table: Wanted) -> None:
    """Add the columns that are missing; one whose type changed starts anew."""
    relation = table.place.relation
    if any(kind.startswith("vector") for kind, _ in table.columns.values()):
        connection.execute(_EXTENSION)
    there = {name: kind for name, kind, _ in _columns(connection, relation)}
    for name, (kind, comment) in table.columns.items():
        if name in there and not _same(there[name], kind):
            _drop_column(connection, relation, name)
            del there[name]
        if name not in there:
            _add_column(connection, relation, name, kind, comment)


def _index(connection: psycopg.Connection[Any], table: Wanted) -> None:
    """Make an index for each vector that shall be searched by distance."""
    for column, operators in table.searched.items():
        name = sql.Identifier(shortened(f"{table.place.table}_{column}_hnsw"))
        parts = {"table": table.place.relation, "column": sql.Identifier(column), "operators": verbatim(operators)}
        connection.execute(statement("online", "make_index", index=name, **parts))


def _narrow(connection: psycopg.Connection[Any], config: Any, wanted: dict[str, Wanted], gone: set[str]) -> None:
    """Drop the columns of deleted views, of features a view has no more, and of views that moved elsewhere."""
    kept = {comment.split(":")[0] for table in wanted.values() for _, comment in table.columns.values()}
    for name in project_tables(connection, config):
        relation = sql.Identifier(schema_of(config.online_store), name)
        columns = wanted[name].columns if name in wanted else {}
        there = dict(_owned(connection, relation))
        dropped = [c for c, view in there.items() if c not in columns and (view in kept or _is_gone(view, gone))]
        for column in dropped:
            _drop_column(connection, relation, column)
        if len(dropped) == len(there):
            connection.execute(sql.SQL("drop table {}").format(relation))


def _owned(connection: psycopg.Connection[Any], relation: sql.Identifier) -> Iterator[tuple[str, str]]:
    """Yield the columns of views, each with its view."""
    for name, _, comment in _columns(connection, relation):
        if ":" in comment:
            yield name, comment.split(":")[0]


def _is_gone(view: str, gone: set[str]) -> bool:
    """Return whether a view, or the view of which it is a version, is deleted."""
    name, _, version = view.rpartition("_v")
    return view in gone or (version.isdigit() and name in gone)


def _columns(connection: psycopg.Connection[Any], relation: sql.Identifier) -> list[tuple[str, str, str]]:
    return connection.execute(statement("online", "columns"), [relation.as_string(connection)]).fetchall()


def _tables(connection: psycopg.Connection[Any], schema: str) -> list[tuple[str, str | None]]:
    return connection.execute(statement("online", "tables"), [schema]).fetchall()


def _add_column(
    connection: psycopg.Connection[Any], relation: sql.Identifier, name: str, kind: str, comment: str
) -> None:
    column = sql.Identifier(name)
    connection.execute(sql.SQL("alter table {} add column {} {}").format(relation, column, verbatim(kind)))
    connection.execute(sql.SQL("comment on column {}.{} is {}").format(relation, column, sql.Literal(comment)))


def _drop_column(connection: psycopg.Connection[Any], relation: sql.Identifier, name: str) -> None:
    connection.execute(sql.SQL("alter table {} drop column {}").format(relation, sql.Identifier(name)))


def _same(there: str, wanted: str) -> bool:
    return there.replace("timestamp with time zone", "timestamptz") == wanted


def _owner(config: Any) -> str:
    return f"{OWNER}{config.project}."
