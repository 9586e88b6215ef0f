"""How long things live: days are sealed when they are over and dropped when they are past their retention.

What an unfinished window, the ledger or the live features still need is never dropped, whatever its age.
Dropping takes the whole table for an instant and gives up after 50 ms, so no writer waits longer for it: a
long transaction only makes it "busy", and the next hour tries again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row

from tidegate.errors import BadRequest
from tidegate.queries import queries

BUSY = "busy"
COPIED = "copied"  # what a stream keeps is safe, and the partition may be dropped next
TRIES = 20  # at a partition that is busy: transactions of a few milliseconds leave a gap within that
PAUSE = 0.25  # seconds between them
CHUNK = 5_000  # rows that one transaction deletes: locks and the log stay small
TRIMS = ("default_partition", "quarantine", "impressions")
_TRIM_QUERIES = ("trim_default", "trim_quarantine", "trim_impressions")


@dataclass(frozen=True)
class Lifetime:
    """How long things are kept, as PostgreSQL writes intervals; None is for ever."""

    keep_events: str | None
    keep_quarantine: str | None
    keep_impressions: str | None
    seal_after: str
    keep_keys: str


@dataclass(frozen=True)
class OldPartition:
    """A day that is past its retention."""

    partition: str
    starts_at: datetime
    ends_at: datetime
    events: int  # an estimate
    bytes: int
    needed_by: str | None  # why it stays all the same


@dataclass(frozen=True)
class Plan:
    """What applying the retention would do now."""

    lifetime: Lifetime
    partitions: tuple[OldPartition, ...]
    rows: dict[str, int]  # past retention: in the default partition, in quarantine, impressions


@dataclass
class Report:
    """What applying the retention has done."""

    dropped: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)  # partition -> why it is still there
    trimmed: dict[str, int] = field(default_factory=dict)


def read_lifetime(connection: psycopg.Connection[Any]) -> Lifetime:
    """Return how long things are kept."""
    with connection.cursor(row_factory=class_row(Lifetime)) as cursor:
        found = cursor.execute(queries["lifetime"]).fetchone()
    assert found is not None
    return found


def set_lifetime(connection: psycopg.Connection[Any], **changes: str | None) -> Lifetime:
    """Change how long things are kept; None leaves a value, 'forever' takes a limit away. Raises BadRequest."""
    names = ("keep_events", "keep_quarantine", "keep_impressions", "seal_after", "keep_keys")
    try:
        connection.execute(queries["set_lifetime"], {name: changes.get(name) for name in names})
    except psycopg.DataError as error:
        raise BadRequest(f"{_first_line(error)}.", "Write 90d, 12 hours, 1 year or forever.") from None
    except psycopg.errors.CheckViolation as error:
        broken = (error.diag.constraint_name or "").replace("_", " ")
        raise BadRequest(f"That is too short: {broken}.", "Events are kept for a day at least.") from None
    return read_lifetime(connection)


def read_plan(connection: psycopg.Connection[Any]) -> Plan:
    """Return what is past its retention, and what keeps it."""
    with connection.cursor(row_factory=class_row(OldPartition)) as cursor:
        partitions = cursor.execute(queries["retention_plan"]).fetchall()
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(queries["rows_past_retention"]).fetchone()
    return Plan(read_lifetime(connection), tuple(partitions), rows or {})


def apply(connection: psycopg.Connection[Any], tries: int = TRIES) -> Report:
    """Drop and delete what is past its retention and not needed; `connection` must be in autocommit.

    Applying it twice at the same time does no harm: a partition is dropped once.
    """
    report = Report()
    for old in read_plan(connection).partitions:
        said = drop(connection, old.partition, tries)
        if said == "dropped":
            report.dropped.append(old.partition)
        else:
            report.kept[old.partition] = said
    for name, query in zip(TRIMS, _TRIM_QUERIES, strict=True):
        report.trimmed[name] = trim(connection, query)
    return report


def drop(connection: psycopg.Connection[Any], partition: str, tries: int) -> str:
    """Drop a partition, trying again while somebody is in the way; return what became of it."""
    for left in reversed(range(tries)):
        while (said := str(_value(connection, "drop_partition", {"partition": partition}))) == COPIED:
            continue
        if said != BUSY or not left:
            break
        time.sleep(PAUSE)
    return said


def trim(connection: psycopg.Connection[Any], query: str) -> int:
    """Delete old rows chunk by chunk; return how many."""
    gone = 0
    while (n := int(_value(connection, query, {"most": CHUNK}))) > 0:
        gone += n
    return gone


def seal(connection: psycopg.Connection[Any]) -> list[str]:
    """Index and freeze the days that are over; return them. `connection` must be in autocommit."""
    days = [name for (name,) in connection.execute(queries["unsealed_partitions"]).fetchall()]
    sealed = [day for day in days if _value(connection, "seal_partition", {"partition": day}) == "sealed"]
    for day in sealed:
        # Nothing changes in it any more: frozen now, it is never read for that again.
        connection.execute(sql.SQL("vacuum (freeze, analyze) ingest.{}").format(sql.Identifier(day)))
    return sealed


def _value(connection: psycopg.Connection[Any], query: str, values: dict[str, Any]) -> Any:
    row = connection.execute(queries[query], values).fetchone()
    return None if row is None else row[0]


def _first_line(error: psycopg.Error) -> str:
    return str(error).partition("\n")[0].rstrip(".")
