"""The point-in-time join: for each asked row, the newest row of each view that it may see.

One descent of an index a row and view, `LATERAL (... ORDER BY time DESC LIMIT 1)`: the work is proportional to what is
asked, however long the history. A source without such an index is read once into a temporary table that has one;
the log says which index would spare it. Rows are joined by their number, so keys of several columns stay apart.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from psycopg import Connection
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from tidegate.stores.offline.types import types_of_source
from tidegate.stores.statements import AND, column, commas, statement, verbatim

FRAME = Identifier("tidegate_asked")
WORTH_AN_INDEX = 10_000  # rows of a source read for one join, from which on the log names the missing index

log = logging.getLogger("tidegate.stores")


@dataclass(frozen=True)
class View:
    """What the join needs to know of a feature view."""

    name: str
    source: str  # a table's name or a statement in parentheses
    keys: Mapping[str, str]  # column of the source: column of the asked rows
    features: Mapping[str, str]  # name in the result: column of the source
    timestamp: str
    created: str | None
    ttl: int  # seconds; 0 never ends
    serial: str | None = None  # column that decides between rows of one time, in place of `created`
    staged: Composable | None = None
    uuids: frozenset[str] = frozenset()  # the keys of the source that are UUIDs: asked rows may say them as text

    @property
    def ties(self) -> str | None:
        """The column whose largest value is the newest of a view's rows of one key and time."""
        return self.serial or self.created

    @property
    def table(self) -> Composable:
        """The source as it stands in FROM."""
        return self.staged or verbatim(self.source)


@dataclass(frozen=True)
class Sight:
    """What an asked row may see beside what is older than itself."""

    known_then: bool = False  # only rows that had been written by then
    serial: str = ""  # column of sources that grows with each row: it tells the newest of one time by an index
    since: Literal | None = None  # no row before this time
    at_most: Mapping[str, str] = field(default_factory=dict)  # column of a source: column of the asked rows
    none_of: Mapping[str, str] = field(default_factory=dict)  # the same, of arrays


@dataclass(frozen=True)
class Asked:
    """The asked rows, in a temporary table with their number."""

    columns: Sequence[str]
    timestamp: str
    empty: frozenset[str] = frozenset()  # columns without any value, and so without a type


def point_in_time(connection: Connection[Any], asked: Asked, views: Iterable[View], sight: Sight) -> Composed:
    """Return the statement of the join, with every source made ready for it."""
    ready = [
        _ready(connection, asked, *_known(connection, view, asked, sight), _alias(n)) for n, view in enumerate(views)
    ]
    columns: list[Composable] = [column("asked", name) for name in asked.columns]
    columns += [value for n, (view, _) in enumerate(ready) for value in _features(view, _alias(n))]
    joins = SQL("\n").join(_join(asked, view, seen, _alias(n)) for n, (view, seen) in enumerate(ready))
    return statement("offline", "point_in_time", columns=commas(columns), frame=FRAME, joins=joins)


def newest_first(view: View) -> Composed:
    """Return the order in which the first row is a view's value."""
    # An index that ends with a serial is in this order already; to a created timestamp, which may be null, none is.
    nulls = SQL("") if view.serial else SQL(" nulls last")
    ties = [SQL("{} desc").format(Identifier(view.ties)) + nulls] if view.ties else []
    return commas([SQL("{} desc").format(Identifier(view.timestamp)), *ties])


def _features(view: View, alias: str) -> Iterator[Composed]:
    """Yield a view's features: by number within the join, where PostgreSQL could cut two names to the same."""
    for number, name in enumerate(view.features):
        yield SQL("{} as {}").format(column(alias, str(number)), Identifier(name))


def _alias(number: int) -> str:
    return f"view_{number}"


def _known(connection: Connection[Any], view: View, asked: Asked, sight: Sight) -> tuple[View, Sight]:
    """Return a view with what its source's types say, and the bounds that speak of columns which both sides have."""
    types = types_of_source(connection, view.table)
    uuids = frozenset(row for row in view.keys if types.get(row) == "uuid")
    known = set(types)
    at_most, none_of = _both(sight.at_most, known, asked), _both(sight.none_of, known, asked)
    serial = sight.serial if sight.serial in known else None
    return replace(view, serial=serial, uuids=uuids), replace(sight, at_most=at_most, none_of=none_of)


def _both(bounds: Mapping[str, str], source: set[str], asked: Asked) -> dict[str, str]:
    return {row: bound for row, bound in bounds.items() if row in source and bound in asked.columns}


def _join(asked: Asked, view: View, sight: Sight, alias: str) -> Composed:
    rows = enumerate(view.features.values())
    features = (SQL("{} as {}").format(column("s", row), Identifier(str(number))) for number, row in rows)
    return statement(
        "offline",
        "newest_row",
        features=commas(features),
        source=view.table,
        conditions=AND.join(_conditions(asked, view, sight)),
        newest_first=newest_first(view),
        view=Identifier(alias),
    )


def _conditions(asked: Asked, view: View, sight: Sight) -> Iterator[Composable]:
    at, row = column("asked", asked.timestamp), column("s", view.timestamp)
    yield from _same_keys(asked, view)
    yield SQL("{} <= {}").format(row, at)
    if view.ttl:
        yield SQL("{} >= {} - {} * interval '1 second'").format(row, at, Literal(view.ttl))
    if sight.since is not None:
        yield SQL("{} >= {}").format(row, sight.since)
    if sight.known_then and view.created:
        yield SQL("{} <= {}").format(column("s", view.created), at)
    yield from _bounds(sight)


def _bounds(sight: Sight) -> Iterator[Composable]:
    for row, bound in sight.at_most.items():
        yield SQL("{} <= {}").format(column("s", row), column("asked", bound))
    for row, bound in sight.none_of.items():
        yield SQL("{} <> all ({})").format(column("s", row), column("asked", bound))


def _same_keys(asked: Asked, view: View) -> Iterator[Composable]:
    for row, name in view.keys.items():
        same = SQL("{} = {}::uuid") if row in view.uuids else SQL("{} = {}")
        yield SQL("false") if name in asked.empty else same.format(column("s", row), column("asked", name))


def _ready(connection: Connection[Any], asked: Asked, view: View, sight: Sight, alias: str) -> tuple[View, Sight]:
    """Return a view whose source an index serves."""
    probe = statement(
        "offline",
        "point_in_time",
        columns=commas([column("asked", asked.timestamp), *_features(view, alias)]),
        frame=FRAME,
        joins=_join(asked, view, sight, alias),
    )
    if _served(_plan(connection, probe)):
        return view, sight
    return _stage(connection, asked, view, sight, alias), sight


def _plan(connection: Connection[Any], query: Composable) -> dict[str, Any]:
    row = connection.execute(SQL("explain (format json, costs off) {}").format(query)).fetchone()
    assert row is not None
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def _served(plan: dict[str, Any]) -> bool:
    """Tell whether the newest row is found by descent: nothing under the join's LIMIT is scanned or sorted whole."""
    limits = [node for node in _nodes(plan) if node["Node Type"] == "Limit"]
    below = {node["Node Type"] for limit in limits for node in _nodes(limit)}
    return bool(limits) and not below & {"Seq Scan", "Sort", "Aggregate", "WindowAgg", "Unique", "Hash Join"}


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


def _stage(connection: Connection[Any], asked: Asked, view: View, sight: Sight, alias: str) -> View:
    """Read what any asked row could see into a temporary table with the index that the source lacks."""
    staged = Identifier(f"tidegate_source_{alias}")
    times = [name for name in (view.timestamp, view.ties, view.created) if name]
    wanted = [*view.keys, *times, *view.features.values(), *sight.at_most, *sight.none_of]
    making = statement(
        "offline",
        "stage_source",
        staged=staged,
        columns=commas(Identifier("s", name) for name in dict.fromkeys(wanted)),
        source=view.table,
        timestamp=Identifier(view.timestamp),
        asked_timestamp=Identifier(asked.timestamp),
        frame=FRAME,
        same_keys=AND.join(_same_keys(asked, view)) if view.keys else SQL("true"),
    )
    rows = connection.execute(making).rowcount
    order = commas([*map(Identifier, view.keys), newest_first(view)])
    connection.execute(statement("offline", "index_staged", staged=staged, columns=order))
    connection.execute(SQL("analyze {}").format(staged))
    if rows >= WORTH_AN_INDEX:
        log.warning(missing_index(view, rows))
    return replace(view, staged=staged)


def missing_index(view: View, rows: int) -> str:
    """Say which index would spare reading a source for each join."""
    names = ", ".join([*view.keys, view.timestamp, *([view.ties] if view.ties else [])])
    table = "the table that its query reads" if view.source.startswith("(") else view.source
    return (
        f"No index serves the point-in-time join of the view {view.name}: {rows:,} rows were read and sorted for it. "
        f"Make one: create index on {table} ({names})."
    )
