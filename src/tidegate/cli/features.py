"""`tidegate features`: what is known of a user, now or as it was at a moment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from tidegate.cli.shown import say_json, say_table


def features(
    user: Annotated[str, typer.Argument(help="The user, by the application's own name.")],
    at: Annotated[str, typer.Option(help="As it was at a moment, in ISO 8601; UTC unless it says otherwise.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what is known of a user, now or as it was at a moment."""
    asked = moment(at) if at else None
    found = read(user, asked)
    if as_json:
        say_json({"user_id": user, "at": asked, "features": found})
    elif found is None:
        typer.echo(f"Nothing is known of {user}{f' at {asked.isoformat()}' if asked else ''}.")
    else:
        newest = datetime.fromtimestamp(found["event_at"], UTC)
        say_table(
            ("feature", "value"),
            found.items(),
            title=f"{user}{f' as of {asked.isoformat()}' if asked else ', as of the last commit'}",
            caption=f"decayed counts are as of the newest event, {newest.isoformat()}",
        )


def moment(text: str) -> datetime:
    """Return a time that an operator wrote. Raises BadRequest."""
    from tidegate import parse
    from tidegate.errors import BadRequest

    try:
        found = parse.moment(text, "--at")
    except parse.Flaw as flaw:
        raise BadRequest(f"{flaw}.", "For example: --at 2026-11-24T12:00:00Z.") from None
    assert found is not None
    return found


def read(user: str, at: datetime | None) -> dict[str, Any] | None:
    """Return a user's features by their names in Feast."""
    from tidegate.features import as_of, now
    from tidegate.postgres import open_database

    with open_database() as database:
        return as_of(database, user, at) if at else now(database, user)
