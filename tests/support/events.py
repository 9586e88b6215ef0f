"""Events as an application writes them, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

VIEW: dict[str, Any] = {"user_id": "a", "item_id": "tea", "event_type": "view"}


def insert(connection: psycopg.Connection[Any], *rows: Mapping[str, Any], table: str = "behaviour_events") -> None:
    """Insert rows that name the same columns, in one statement; a dict is written as jsonb."""
    columns = sql.SQL(", ").join(map(sql.Identifier, rows[0]))
    places = sql.SQL("({})").format(sql.SQL(", ").join([sql.Placeholder()] * len(rows[0])))
    statement = sql.SQL("insert into ingest.{} ({}) values {}").format(
        sql.Identifier(table), columns, sql.SQL(", ").join([places] * len(rows))
    )
    connection.execute(statement, [written(value) for row in rows for value in row.values()])


def written(value: Any) -> Any:
    """Return a value as a parameter of a statement."""
    return Jsonb(value) if isinstance(value, dict) else value


def add_rule(connection: psycopg.Connection[Any], name: str, kind: str, **parameters: Any) -> None:
    """Add a rule; the parameters are its columns."""
    values = {"name": name, "kind": kind} | parameters
    statement = sql.SQL("insert into ingest.rules ({}) values ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, values)), sql.SQL(", ").join([sql.Placeholder()] * len(values))
    )
    connection.execute(statement, list(values.values()))


def reasons(connection: psycopg.Connection[Any]) -> list[str]:
    """Return the reasons of what is in quarantine, the oldest first."""
    rows = connection.execute(
        "select reason from ingest.quarantined_events where redriven_at is null order by quarantine_id"
    ).fetchall()
    return [reason for (reason,) in rows]


def warnings(connection: psycopg.Connection[Any]) -> list[tuple[str, int]]:
    """Return rule and count of each warning, the oldest first."""
    return connection.execute("select rule, n from ingest.warnings order by warning_id").fetchall()


def accepted(connection: psycopg.Connection[Any]) -> int:
    """Return how many events there are; the ledger must say the same."""
    row = connection.execute(
        "select (select count(*) from ingest.behaviour_events), (select coalesce(sum(n), 0) from ingest.batches)"
    ).fetchone()
    assert row is not None
    assert row[0] == row[1], "the ledger does not count what is there"
    return int(row[0])
