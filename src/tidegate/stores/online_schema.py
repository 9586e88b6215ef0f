"""What `feast apply` and `feast teardown` do to the tables: made, widened, narrowed, dropped; each may be repeated.

Everything is a list of changes first, which `feast plan` shows and `feast apply` makes.

Only columns whose comment names a view of ours are ever dropped, only in tables whose comment names our project, and a
table only when no view is left in it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
from feast.value_type import ValueType
from psycopg import sql

from tidegate.stores.connections import schema_of
from tidegate.stores.online_conversions import conversion
from tidegate.stores.online_tables import CREATED, EVENT_TIMESTAMP, Place, shortened
from tidegate.stores.statements import commas, statement, verbatim
from tidegate.stores.types import column_type

log = logging.getLogger("tidegate.stores")

OWNER = "Online features of Feast's project "
Statement = sql.SQL | sql.Composed
MOMENT = column_type(ValueType.UNIX_TIMESTAMP)
ONE_AT_A_TIME = 7_020_251_124  # an advisory lock: two that apply at once would both add the same column

_LOCK = b"select pg_advisory_xact_lock($1)"
_SCHEMAS = b"select from pg_catalog.pg_namespace where nspname = $1"
_EXTENSION = sql.SQL("create extension if not exists vector with schema public")
_MAKE_SCHEMA = sql.SQL("create schema if not exists {}")
_ADD = sql.SQL("alter table {} add column {} {}")
_CONVERT = sql.SQL("alter table {} alter column {} type {} using {}")
_DROP_COLUMN = sql.SQL("alter table {} drop column if exists {}")
_DROP_INDEX = sql.SQL("drop index {}")
_DROP = sql.SQL("drop table {}")
_WHOSE_TABLE = sql.SQL("comment on table {} is {}")
_WHOSE_COLUMN = sql.SQL("comment on column {}.{} is {}")


@dataclass(frozen=True)
class Change:
    """A step from the tables that are there to those that the views want."""

    table: str
    text: str  # as `feast plan` shows it
    statements: tuple[Statement, ...]
    loses: bool = False  # values of something that is still wanted

    def __str__(self) -> str:
        return f"{self.table}: {self.text}"


@dataclass
class Found:
    """A table as it is; nothing at all before it is made."""

    keys: dict[str, str] = field(default_factory=dict)  # of its primary key: name -> type
    columns: dict[str, str] = field(default_factory=dict)  # all of them: name -> type
    indexes: dict[str, str] = field(default_factory=dict)  # index for search by distance -> its operator class

    def forget(self, column: str, index: str) -> None:
        """Leave out a column that is made anew, and its index."""
        self.columns.pop(column, None)
        self.indexes.pop(index, None)


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
    with connection.transaction():
        connection.execute(_LOCK, [ONE_AT_A_TIME])
        for change in changes(connection, config, keep, delete):
            if change.loses:
                log.warning("%s Materialise it again.", change)
            for one in change.statements:
                connection.execute(one)


def changes(
    connection: psycopg.Connection[Any], config: Any, keep: Iterable[Place], delete: Iterable[str]
) -> list[Change]:
    """Return what `reconcile` would do now. Raises TableOfAnotherProject where a table's name is taken."""
    wanted = _wanted(keep)
    made: list[Change] = []
    for table in wanted.values():
        found = _found(connection, config, table.place)
        made += _keyed(connection, config, table.place, found)
        made += [change for name in table.columns for change in _column(table, found, name)]
        made += [change for column in table.searched for change in _index(table, found, column)]
    return [*made, *_narrowed(connection, config, wanted, set(delete))]


def project_tables(connection: psycopg.Connection[Any], config: Any) -> list[str]:
    """Return the tables of a project, by what their comments say."""
    found = _tables(connection, schema_of(config.online_store))
    return [name for name, comment in found if comment == _owner(config)]


def project_views(connection: psycopg.Connection[Any], config: Any) -> set[str]:
    """Return the views that have columns in a project's tables."""
    relations = (sql.Identifier(schema_of(config.online_store), name) for name in project_tables(connection, config))
    return {view for relation in relations for _, view in _owned(connection, relation)}


def _wanted(keep: Iterable[Place]) -> dict[str, Wanted]:
    tables: dict[str, Wanted] = {}
    for where in keep:
        if where.writable:
            tables.setdefault(where.table, Wanted(where)).add(where)
    return tables


def _found(connection: psycopg.Connection[Any], config: Any, where: Place) -> Found:
    """Return a table as it is; refuse one that is not ours."""
    there = dict(_tables(connection, where.schema))
    if where.table not in there:
        return Found()
    if there[where.table] != _owner(config):
        raise TableOfAnotherProject(
            f"The table {where.schema}.{where.table} is not of the project {config.project!r}. "
            "Set another db_schema for the online store."
        )
    name = [where.relation.as_string(connection)]
    keys, indexes = (dict(connection.execute(statement("online", block), name)) for block in ("keys", "indexes"))
    return Found(keys, {column: kind for column, kind, _ in _columns(connection, where.relation)}, indexes)


def _keyed(connection: psycopg.Connection[Any], config: Any, where: Place, found: Found) -> Iterator[Change]:
    """Make the table with its keys only; make it anew where its keys cannot be kept."""
    keys = {key.name: key.type.stored for key in where.keys.values()}
    there = found.keys
    if not there:
        yield Change(where.table, f"create with {_listed(keys)}", tuple(_made(connection, config, where)))
    elif keys.keys() != there.keys() or not all(_keepable(there[key], kind) for key, kind in keys.items()):
        text = f"make anew, empty, with {_listed(keys)} instead of {_listed(there)}."
        made = (_DROP.format(where.relation), *_made(connection, config, where))
        found.columns, found.indexes = {}, {}
        yield Change(where.table, text, made, loses=True)
    else:
        for key, kind in keys.items():
            yield from _converted(where, key, there[key], kind)


def _keepable(old: str, new: str) -> bool:
    return _same(old, new) or conversion(sql.Identifier(""), old, new) is not None


def _listed(keys: dict[str, str]) -> str:
    return "the key " + ", ".join(f"{name} {kind}" for name, kind in keys.items())


def _made(connection: psycopg.Connection[Any], config: Any, where: Place) -> Iterator[Statement]:
    if connection.execute(_SCHEMAS, [where.schema]).fetchone() is None:
        yield _MAKE_SCHEMA.format(sql.Identifier(where.schema))
    keys = where.keys.values()
    typed = commas(sql.SQL("{} {}").format(sql.Identifier(key.name), verbatim(key.type.stored)) for key in keys)
    names = commas(sql.Identifier(key.name) for key in keys)
    yield statement("online", "make_table", table=where.relation, keys=typed, names=names)
    yield _WHOSE_TABLE.format(where.relation, sql.Literal(_owner(config)))


def _column(table: Wanted, found: Found, name: str) -> Iterator[Change]:
    """Add a column that is missing; one whose type changed keeps its values where that is safe, else starts anew."""
    where, (kind, comment) = table.place, table.columns[name]
    there, index = found.columns.get(name), _index_name(table, name)
    if there is None:
        yield Change(where.table, f"add {name} {kind}", _added(where, name, kind, comment))
    elif not _same(there, kind) and _keepable(there, kind):
        dropped = found.indexes.pop(index, None)
        yield from _converted(where, name, there, kind, index if dropped else "")
    elif not _same(there, kind):
        found.forget(name, index)
        text = f"make {name} anew, empty: it was {there} and becomes {kind}."
        gone = _DROP_COLUMN.format(where.relation, sql.Identifier(name))
        yield Change(where.table, text, (gone, *_added(where, name, kind, comment)), loses=True)


def _added(where: Place, name: str, kind: str, comment: str) -> tuple[Statement, ...]:
    column = sql.Identifier(name)
    return (
        *([_EXTENSION] if kind.startswith("vector") else []),
        _ADD.format(where.relation, column, verbatim(kind)),
        _WHOSE_COLUMN.format(where.relation, column, sql.Literal(comment)),
    )


def _converted(where: Place, name: str, old: str, new: str, index: str = "") -> Iterator[Change]:
    """Change the type of a column that keeps its values, without the index of its old type."""
    column = sql.Identifier(name)
    values = None if _same(old, new) else conversion(column, old, new)
    if values is not None:
        statements: tuple[Statement, ...] = (
            *([_DROP_INDEX.format(sql.Identifier(where.schema, index))] if index else []),
            *([_EXTENSION] if new.startswith("vector") else []),
            _CONVERT.format(where.relation, column, verbatim(new), values),
        )
        yield Change(where.table, f"convert {name} from {old} to {new}", statements)


def _index(table: Wanted, found: Found, column: str) -> Iterator[Change]:
    """Make the index for search by distance, anew where it is one of another distance."""
    where, operators, index = table.place, table.searched[column], _index_name(table, column)
    name = sql.Identifier(index)
    if found.indexes.get(index) == operators:
        return
    parts = {"table": where.relation, "column": sql.Identifier(column), "operators": verbatim(operators)}
    made: tuple[Statement, ...] = (statement("online", "make_index", index=name, **parts),)
    if index in found.indexes:
        made = (_DROP_INDEX.format(sql.Identifier(where.schema, index)), *made)
    yield Change(where.table, f"index {column} by {operators}", made)


def _index_name(table: Wanted, column: str) -> str:
    return shortened(f"{table.place.table}_{column}_hnsw")


def _narrowed(
    connection: psycopg.Connection[Any], config: Any, wanted: dict[str, Wanted], gone: set[str]
) -> Iterator[Change]:
    """Drop the columns of deleted views, of features a view has no more, and of views that moved elsewhere."""
    kept = {comment.split(":")[0] for table in wanted.values() for _, comment in table.columns.values()}
    for name in project_tables(connection, config):
        relation = sql.Identifier(schema_of(config.online_store), name)
        columns = wanted[name].columns if name in wanted else {}
        there = dict(_owned(connection, relation))
        dropped = [c for c, view in there.items() if c not in columns and (view in kept or _is_gone(view, gone))]
        if len(dropped) == len(there) and name not in wanted:
            yield Change(name, f"drop with {', '.join(dropped)}" if dropped else "drop", (_DROP.format(relation),))
        else:
            drops = ((column, _DROP_COLUMN.format(relation, sql.Identifier(column))) for column in dropped)
            yield from (Change(name, f"drop {column}", (drop,)) for column, drop in drops)


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


def _same(there: str, wanted: str) -> bool:
    return there.replace("timestamp with time zone", "timestamptz") == wanted


def _owner(config: Any) -> str:
    return f"{OWNER}{config.project}."
