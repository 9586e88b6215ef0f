"""Rules of ingestion: rows of `ingest.rules`, compiled into the trigger when they change.

A rule's name is the reason that its quarantined events show. Whoever may write `ingest.rules` writes code
that runs as the owner of the schema, so no application needs that privilege.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from tidegate.errors import BadRequest
from tidegate.queries import queries

COLUMNS = (
    "kind",
    "severity",
    "stream",
    "event_type",
    "field",
    "type",
    "lowest",
    "highest",
    "allowed",
    "seconds",
    "most",
    "expression",
    "enabled",
)


@dataclass(frozen=True)
class Trial:
    """What a rule would have done to the newest events."""

    looked: int
    broken: int
    examples: tuple[int, ...]  # event ids, at most five


def read_columns(given: Iterable[str]) -> dict[str, Any]:
    """Return COLUMN=VALUE words as columns of a rule; an empty value is null. Raises BadRequest."""
    columns: dict[str, Any] = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not equals or name not in COLUMNS:
            raise BadRequest(f"{word!r} is not COLUMN=VALUE of a rule.", f"Its columns are {', '.join(COLUMNS)}.")
        columns[name] = (value.split(",") if name == "allowed" else value) if value else None
    return columns


def read_rules(connection: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    """Return the rules, each with how many events it holds in quarantine and has warned of."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(queries["list_rules"]).fetchall()


def add_rule(connection: psycopg.Connection[Any], name: str, parameters: Mapping[str, Any]) -> None:
    """Add a rule; it is in force for statements that begin after the commit. Raises BadRequest."""
    values = {"name": name} | dict(parameters)
    statement = sql.SQL("insert into ingest.rules ({}) values ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, values)), sql.SQL(", ").join(map(sql.Placeholder, values))
    )
    _change(connection, statement, values)


def set_rule(connection: psycopg.Connection[Any], name: str, parameters: Mapping[str, Any]) -> None:
    """Change what is given of a rule. Raises BadRequest."""
    if not parameters:
        raise BadRequest("There is nothing to change.", f"Its columns are {', '.join(COLUMNS)}.")
    assignments = [sql.SQL("{} = {}").format(sql.Identifier(key), sql.Placeholder(key)) for key in parameters]
    statement = sql.SQL("update ingest.rules set {} where name = {}").format(
        sql.SQL(", ").join(assignments), sql.Placeholder("rule_name")
    )
    if _change(connection, statement, dict(parameters) | {"rule_name": name}) == 0:
        raise unknown(name)


def remove_rule(connection: psycopg.Connection[Any], name: str) -> None:
    """Take a rule away; what it has quarantined stays there. Raises BadRequest."""
    if connection.execute(queries["remove_rule"], {"name": name}).rowcount == 0:
        raise unknown(name)


def try_rule(connection: psycopg.Connection[Any], name: str, last: int) -> Trial:
    """Return how many of the newest events would have broken a rule, in force or not. Raises BadRequest."""
    try:
        row = connection.execute(queries["test_rule"], {"name": name, "last": last}).fetchone()
    except psycopg.errors.NoDataFound:
        raise unknown(name) from None
    except psycopg.DataError as error:
        raise BadRequest(f"The rule cannot be tried: {_said(error)}.") from None
    assert row is not None
    return Trial(row[0], row[1], tuple(row[2] or ()))


def unknown(name: str) -> BadRequest:
    """Return the error about a rule that is not there."""
    return BadRequest(f'There is no rule "{name}".', "List the rules with `tidegate rules list`.")


def _change(connection: psycopg.Connection[Any], statement: sql.Composed, values: Mapping[str, Any]) -> int:
    """Run a change; what the table refuses becomes an error that says what the kind needs."""
    try:
        return connection.execute(statement, values).rowcount
    except psycopg.errors.UniqueViolation:
        raise BadRequest("There is a rule of this name.", "Change it with `tidegate rules set`.") from None
    except psycopg.errors.CheckViolation as error:
        needed = (error.diag.constraint_name or "").replace("_", " ")
        raise BadRequest(
            f"The rule does not fit its kind: {needed}.", "Its kinds: `tidegate rules add --help`."
        ) from None
    except (psycopg.DataError, psycopg.errors.NotNullViolation) as error:
        raise BadRequest(f"PostgreSQL: {_said(error)}.", error.diag.message_hint or "") from None


def _said(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error)).rstrip(".")
