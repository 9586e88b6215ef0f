"""Behaviour events: from any mapping to rows of `ingest.behaviour_events`.

Two things can be wrong with an event. What no column can take (a price that is a word) is found here; what
breaks a rule (an unknown event type) is found by the statement trigger, which is the one place for rules.
Either way the event goes to `ingest.quarantined_events` with its reason, in the same transaction, and the
others are accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from tidegate import parse
from tidegate.errors import BadRequest
from tidegate.queries import queries

DEFAULT_STREAM = "default"
_READERS = {
    "stream": parse.text,
    "user_id": parse.text,
    "item_id": parse.text,
    "event_type": parse.text,
    "value": parse.number,
    "context": parse.document,
    "client_key": parse.text,
    "occurred_at": parse.moment,
}
COLUMNS = tuple(_READERS)
REQUIRED = ("user_id", "item_id", "event_type")


@dataclass(frozen=True)
class Row:
    """One event, typed, in the order of COLUMNS; its rules are not checked yet."""

    stream: str
    user_id: str | None
    item_id: str | None
    event_type: str | None
    value: float | None
    context: str | None  # JSON text
    client_key: str | None
    occurred_at: datetime | None


@dataclass(frozen=True)
class Quarantined:
    """An event that was not accepted."""

    place: int  # its index among the events that were given
    event: Any  # as it was given
    reason: str


@dataclass(frozen=True)
class Receipt:
    """What became of the events that were recorded."""

    accepted: int
    quarantined: tuple[Quarantined, ...]
    repeated: int = 0  # dropped: their client key, or the key of the whole batch, has been seen before


def parse_event(event: Mapping[str, Any]) -> Row:
    """Return an event's columns. Raises parse.Flaw with the rule that a value breaks."""
    values = {column: read(event.get(column), column) for column, read in _READERS.items()}
    return Row(**values | {"stream": values["stream"] or DEFAULT_STREAM})  # type: ignore[arg-type]


def check_names(event: object) -> None:
    """Raise BadRequest unless this is a mapping with our names only: a misspelt one would get lost."""
    if not isinstance(event, Mapping):
        raise BadRequest(f"An event must be an object, not {parse.shown(event)}.", _SHAPE)
    unknown = sorted(str(name) for name in event.keys() - _READERS.keys())
    if unknown:
        raise BadRequest(f"An event has no {', '.join(unknown)}.", _SHAPE)


_SHAPE = f"Its names are {', '.join(COLUMNS)}; whatever else you know goes into context, which is an object."


def record(
    connection: psycopg.Connection[Any], events: Iterable[Mapping[str, Any]], batch_key: str | None = None
) -> Receipt:
    """Write events in one transaction (or within the caller's) and say which were quarantined, and why.

    A missing `occurred_at` is now, a missing `stream` is 'default'. With a `batch_key` that has been committed
    before, within the horizon, nothing is written. The role needs INSERT and SELECT on `ingest.behaviour_events`
    and `ingest.quarantined_events`, and EXECUTE on `ingest.begin_batch`. Raises BadRequest for what is no event at
    all; then nothing is written.
    """
    given = list(events)
    for event in given:
        check_names(event)
    rows, flawed = sort_out(given)
    with connection.transaction():
        if batch_key is not None and not begin_batch(connection, batch_key):
            return Receipt(0, (), repeated=len(given))
        refused, repeated = _insert(connection, rows)
        quarantine(connection, flawed)
    quarantined = flawed + [Quarantined(place, given[place], reason) for place, reason in refused]
    quarantined.sort(key=lambda event: event.place)
    return Receipt(len(given) - len(quarantined) - repeated, tuple(quarantined), repeated)


def begin_batch(connection: psycopg.Connection[Any], key: str) -> bool:
    """Tell whether the batch of this key is to be written: not if it has been. Raises BadRequest."""
    try:
        row = connection.execute(queries["begin_batch"], {"key": key}).fetchone()
    except psycopg.errors.InvalidParameterValue:
        raise BadRequest(
            "A batch key has 1 to 256 characters.", "Name the batch by what you will know again."
        ) from None
    return row is not None and bool(row[0])


def sort_out(events: Sequence[Mapping[str, Any]]) -> tuple[dict[int, Row], list[Quarantined]]:
    """Return the rows that can be written, by place, and what no column can take."""
    rows: dict[int, Row] = {}
    flawed: list[Quarantined] = []
    for place, event in enumerate(events):
        try:
            rows[place] = parse_event(event)
        except parse.Flaw as flaw:
            flawed.append(Quarantined(place, event, str(flaw)))
    return rows, flawed


def quarantine(connection: psycopg.Connection[Any], flawed: Sequence[Quarantined]) -> None:
    """Keep events that cannot be typed, as they were given."""
    if flawed:
        given = [parse.as_given(event.event) for event in flawed]
        connection.execute(
            queries["quarantine_events"], {"events": given, "reasons": [event.reason for event in flawed]}
        )


def quarantine_mark(connection: psycopg.Connection[Any]) -> int:
    """Return the newest quarantined row; what this transaction adds comes after it."""
    row = connection.execute(queries["quarantine_mark"]).fetchone()
    return int(row[0]) if row else 0


def _insert(connection: psycopg.Connection[Any], rows: dict[int, Row]) -> tuple[list[tuple[int, str]], int]:
    """Insert rows in one statement; return place and reason of the quarantined ones, and how many were repeats."""
    if not rows:
        return [], 0
    mark = quarantine_mark(connection)
    columns = {column: [getattr(row, column) for row in rows.values()] for column in COLUMNS}
    inserted = connection.execute(queries["insert_events"], columns).fetchall()
    places = {event_id: place for (event_id,), place in zip(inserted, rows, strict=True)}
    refused = connection.execute(queries["quarantined_of"], {"mark": mark, "ids": list(places)})
    found = [(places[event_id], reason) for event_id, reason in refused]
    if not any(row.client_key for row in rows.values()):
        return found, 0
    stayed = connection.execute(queries["count_events"], {"ids": list(places)}).fetchone()
    return found, len(rows) - len(found) - (stayed[0] if stayed else 0)
