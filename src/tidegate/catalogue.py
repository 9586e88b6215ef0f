"""The catalogue: items and users, brought in by upsert.

Only what a row names is set, and only rows that differ are touched: loading the same file twice writes
nothing. An item that was known from events only is adopted by the first row that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psycopg

from tidegate import parse
from tidegate.errors import BadRequest
from tidegate.queries import queries

Kind = Literal["items", "users"]
Reader = Callable[[Any, str], Any]
_LONGEST_ID = 256


def identity(value: Any, column: str) -> str:
    """Return the id of an item or user. Raises parse.Flaw."""
    found = parse.text(value, column)
    if not found or len(found) > _LONGEST_ID:
        raise parse.Flaw(f"{column} must have 1 to {_LONGEST_ID} characters")
    return found


def price(value: Any, column: str) -> float | None:
    """Return a price. Raises parse.Flaw."""
    found = parse.number(value, column)
    if found is not None and not 0 <= found < float("inf"):
        raise parse.Flaw(f"{column} must be a finite number, 0 or more")
    return found


def attributes(value: Any, column: str) -> str | None:
    """Return an object as JSON text. Raises parse.Flaw."""
    found = parse.document(value, column)
    if found is not None and not found.startswith("{"):
        raise parse.Flaw(f"{column} must be a JSON object")
    return found


READERS: dict[Kind, dict[str, Reader]] = {
    "items": {
        "item_id": identity,
        "title": parse.text,
        "category": parse.text,
        "price": price,
        "attributes": attributes,
        "available": parse.flag,
    },
    "users": {"user_id": identity, "attributes": attributes},
}


@dataclass(frozen=True)
class Refused:
    """A row that was left out."""

    place: int  # its index among the rows that were given
    row: Any  # as it was given
    reason: str


@dataclass(frozen=True)
class Merged:
    """What became of a batch of the catalogue."""

    named: int  # different items or users that the batch names
    changed: int  # of them: new, or different from before
    refused: tuple[Refused, ...]


def merge(connection: psycopg.Connection[Any], kind: Kind, rows: Sequence[Mapping[str, Any]]) -> Merged:
    """Bring items or users into the catalogue in one transaction; rows that break a rule are left out.

    Where a batch names an item twice, its last row counts. Raises BadRequest for a name that is no column.
    """
    for row in rows:
        check_names(kind, row)
    good, refused = sort_out(kind, rows)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(
            f"drop table if exists pg_temp.incoming_{kind}"
        )  # of an earlier batch in the caller's transaction
        cursor.execute(queries[f"stage_{kind}"])
        with cursor.copy(queries[f"copy_{kind}"]) as copy:
            for values in good:
                copy.write_row(values)
        found = cursor.execute(queries[f"merge_{kind}"]).fetchone()
    named, changed = found or (0, 0)
    return Merged(named, changed, tuple(refused))


def check_names(kind: Kind, row: object) -> None:
    """Raise BadRequest unless this is a mapping with no other names than the catalogue's."""
    names = f"Its names are {', '.join(READERS[kind])}; whatever else you know goes into attributes, an object."
    if not isinstance(row, Mapping):
        raise BadRequest(f"Each of the {kind} must be an object, not {parse.shown(row)}.", names)
    unknown = sorted(str(name) for name in row.keys() - READERS[kind].keys())
    if unknown:
        raise BadRequest(f"The catalogue's {kind} have no {', '.join(unknown)}.", names)


def sort_out(kind: Kind, rows: Sequence[Mapping[str, Any]]) -> tuple[list[tuple[Any, ...]], list[Refused]]:
    """Return the rows that can be written, as the staging table takes them, and those that break a rule."""
    readers = READERS[kind]
    good: list[tuple[Any, ...]] = []
    refused: list[Refused] = []
    for place, row in enumerate(rows):
        try:
            values = [read(row.get(column), column) for column, read in readers.items()]
            good.append((place, *values, [column for column in readers if column in row]))
        except parse.Flaw as flaw:
            refused.append(Refused(place, row, str(flaw)))
    return good, refused
