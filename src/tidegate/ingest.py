"""Files into the database, chunk by chunk, each row once.

How far a file is in stands in `ingest.files` and is written in the transaction of each chunk: an ingest that
was killed goes on after its last committed row when the same command runs again, and two that run at once
cannot both take a chunk. A file is known by its content and by how it is read, not by its name.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from tidegate import catalogue, events, parse
from tidegate.errors import IngestError
from tidegate.events import Quarantined, Row
from tidegate.queries import queries
from tidegate.readers import Source, Unreadable

Kind = Literal["events", "items", "users"]
CHUNK = 10_000  # rows of one transaction: what a kill repeats at most, and one ledger row
_REST = {"events": "context", "items": "attributes", "users": "attributes"}
_REQUIRED = {"events": events.REQUIRED, "items": ("item_id",), "users": ("user_id",)}


@dataclass(frozen=True)
class Reading:
    """How the columns of a file become ours."""

    kind: Kind
    mapping: Mapping[str, str]  # our column: the file's column
    constants: Mapping[str, str]  # our column: the value of every row
    keep: tuple[str, ...] = ()  # the file's columns that go into context or attributes

    def row(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row by our names."""
        row: dict[str, Any] = {ours: given.get(theirs) for ours, theirs in self.mapping.items()}
        row |= self.constants
        kept = {name: given[name] for name in self.keep if given.get(name) not in (None, "")}
        if kept:
            row[_REST[self.kind]] = _joined(row.get(_REST[self.kind]), kept)
        return row

    def as_json(self) -> dict[str, Any]:
        """Return what makes this reading different from another of the same file."""
        return {
            "kind": self.kind,
            "mapping": dict(self.mapping),
            "constants": dict(self.constants),
            "keep": list(self.keep),
        }


@dataclass(frozen=True)
class FileState:
    """How far a file is in."""

    file_id: int
    rows_done: int
    rows_refused: int
    finished_at: Any


@dataclass
class Progress:
    """What an ingest has done so far."""

    resumed_at: int = 0  # rows that an earlier ingest had committed
    rows: int = 0  # rows that this one has committed
    refused: Counter[str] = field(default_factory=Counter)  # quarantined or left out, by reason
    changed: int = 0  # of the catalogue: rows that were new or different


def plan(
    kind: Kind,
    columns: Iterable[str],
    mapping: Mapping[str, str],
    constants: Mapping[str, str],
    keep: Iterable[str] = (),
) -> Reading:
    """Return how to read a file with these columns; those that carry our names need no mapping.

    Raises IngestError that names the columns there are.
    """
    there = list(columns)
    ours = events.COLUMNS if kind == "events" else tuple(catalogue.READERS[kind])
    _check("There is no column", mapping.values(), there, f"The file has: {', '.join(there)}.")
    _check(f"No column of {kind} is called", [*mapping, *constants], ours, f"They are: {', '.join(ours)}.")
    found = {name: name for name in ours if name in there and name not in constants} | dict(mapping)
    for name in _REQUIRED[kind]:
        if name not in found and name not in constants:
            raise IngestError(
                f"No column is {name}. The file has: {', '.join(there)}.",
                f"Name it with --map {name}=COLUMN" + (f", or --set {name}=VALUE." if name == "event_type" else "."),
            )
    kept = [name for name in there if name not in found.values()] if list(keep) == ["*"] else list(keep)
    _check("There is no column", kept, there, f"The file has: {', '.join(there)}.")
    return Reading(kind, found, dict(constants), tuple(kept))


def fingerprint(source: Source) -> str:
    """Return the sha256 of the whole content: only that knows a file again."""
    with source.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def ingest(
    connection: psycopg.Connection[Any],
    source: Source,
    reading: Reading,
    progress: Progress,
    tell: Callable[[], None] = lambda: None,
    again: bool = False,
) -> None:
    """Bring a file in from where it was left, counting in `progress` and calling `tell` after each commit.

    `connection` must be in autocommit mode: each chunk is a transaction of its own. Raises IngestError.
    """
    state = _open(connection, source, reading, again)
    progress.resumed_at = done = state.rows_done
    for chunk in _chunks(source.rows(skip=done)):
        with connection.transaction():
            _advance(connection, state, done, len(chunk))
            refused, changed = write(connection, reading, chunk)
            connection.execute(queries["refuse_rows"], {"file": state.file_id, "refused": refused.total()})
        done += len(chunk)
        progress.rows += len(chunk)
        progress.refused += refused
        progress.changed += changed
        tell()
    connection.execute(queries["finish_file"], {"file": state.file_id, "done": done})


def write(
    connection: psycopg.Connection[Any], reading: Reading, chunk: list[dict[str, Any] | Unreadable]
) -> tuple[Counter[str], int]:
    """Write one chunk; return the refused rows by reason, and how many rows of the catalogue changed."""
    if reading.kind == "events":
        return _write_events(connection, reading, chunk), 0
    readable = [reading.row(row) for row in chunk if not isinstance(row, Unreadable)]
    merged = catalogue.merge(connection, reading.kind, readable)
    refused = Counter(row.reason for row in chunk if isinstance(row, Unreadable))
    return refused + Counter(row.reason for row in merged.refused), merged.changed


def _write_events(
    connection: psycopg.Connection[Any], reading: Reading, chunk: list[dict[str, Any] | Unreadable]
) -> Counter[str]:
    mark = events.quarantine_mark(connection)
    rows, flawed = typed(reading, chunk)
    timed = "occurred_at" in reading.mapping or "occurred_at" in reading.constants
    with (
        connection.cursor() as cursor,
        cursor.copy(queries["copy_events" if timed else "copy_events_of_now"]) as copy,
    ):
        for row in rows:
            values = (
                row.stream,
                row.user_id,
                row.item_id,
                row.event_type,
                row.value,
                row.context,
                row.client_key,
            )
            copy.write_row((*values, row.occurred_at) if timed else values)
    events.quarantine(connection, flawed)
    return Counter(dict(connection.execute(queries["quarantined_here"], {"mark": mark}).fetchall()))


def typed(reading: Reading, chunk: list[dict[str, Any] | Unreadable]) -> tuple[list[Row], list[Quarantined]]:
    """Return the events of a chunk that columns can take, and the others."""
    rows: list[Row] = []
    flawed: list[Quarantined] = []
    for place, row in enumerate(chunk):
        if isinstance(row, Unreadable):
            flawed.append(Quarantined(place, {"line": row.line}, row.reason))
            continue
        event = reading.row(row)
        try:
            rows.append(events.parse_event(event))
        except parse.Flaw as flaw:
            flawed.append(Quarantined(place, event, str(flaw)))
    return rows, flawed


def _open(connection: psycopg.Connection[Any], source: Source, reading: Reading, again: bool) -> FileState:
    name = {"content_hash": fingerprint(source), "reading": Jsonb(reading.as_json())}
    place = {"path": str(source.path.resolve()), "n_bytes": source.path.stat().st_size}
    with connection.cursor(row_factory=class_row(FileState)) as cursor:
        state = cursor.execute(queries["open_file"], name | place).fetchone()
        if state is not None and again:
            cursor.execute(queries["restart_file"], {"file": state.file_id})
            state = cursor.execute(queries["file_state"], name).fetchone()
    assert state is not None
    if state.finished_at is not None:
        raise IngestError(
            f"{source.path.name} is in already: {state.rows_done:,} rows, "
            f"finished at {state.finished_at:%Y-%m-%d %H:%M}.",
            "Its rows are not written twice; say --again if you want that.",
        )
    return state


def _advance(connection: psycopg.Connection[Any], state: FileState, done: int, rows: int) -> None:
    """Take the next rows; the row's lock keeps any other ingest of this file out until the commit."""
    taken = connection.execute(queries["advance_file"], {"file": state.file_id, "done": done, "rows": rows})
    if taken.rowcount == 0:
        raise IngestError("Another process is bringing this file in.", "Wait until it has ended.")


def _chunks(rows: Iterator[dict[str, Any] | Unreadable]) -> Iterator[list[dict[str, Any] | Unreadable]]:
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def _check(cause: str, names: Iterable[str], known: Iterable[str], next_step: str) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise IngestError(f"{cause} {', '.join(unknown)}.", next_step)


def _joined(document: Any, kept: dict[str, Any]) -> Any:
    """Add kept columns to a document; text that is no JSON object is left for its rule to be refused."""
    try:
        parsed = orjson_object(document)
    except parse.Flaw:
        return document
    return kept | parsed


def orjson_object(document: Any) -> dict[str, Any]:
    """Return a document as a dict. Raises parse.Flaw where it is none."""
    import orjson

    found = parse.document(document, "context")
    value = {} if found is None else orjson.loads(found)
    if not isinstance(value, dict):
        raise parse.Flaw("not an object")
    return value
