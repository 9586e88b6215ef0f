"""`tidegate quarantine`: events that broke a rule."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tidegate.cli.shown import say_json, say_table

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def quarantine() -> None:
    """Look at events that broke a rule."""


@app.command("list")
def list_quarantine(
    reason: Annotated[str | None, typer.Option(help="Only those whose reason contains this.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List quarantined events: how many by reason, and the newest ones."""
    from psycopg.rows import dict_row

    from tidegate.postgres import open_database
    from tidegate.queries import queries

    with open_database() as database, database.connect(row_factory=dict_row) as connection:
        by_reason = connection.execute(queries["count_quarantine"]).fetchall()
        newest = connection.execute(queries["list_quarantine"], {"reason": reason, "limit": limit}).fetchall()
    if as_json:
        say_json({"by_reason": by_reason, "newest": newest})
    elif not by_reason:
        typer.echo("Nothing is in quarantine.")
    else:
        say_table(("events", "reason", "last"), [row.values() for row in _reordered(by_reason)])
        rows = [(row["quarantined_at"], row["reason"], _compact(row["event"])) for row in newest]
        say_table(("when", "reason", "event"), rows)


def _compact(event: dict[str, object]) -> str:
    """Return an event as JSON without what is missing."""
    return json.dumps({name: value for name, value in event.items() if value is not None}, ensure_ascii=False)


def _reordered(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{name: row[name] for name in ("events", "reason", "last_at")} for row in rows]
