"""`tidegate quarantine`: events that broke a rule."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.cli.shown import say_json, say_table

if TYPE_CHECKING:
    from tidegate.quarantine import Redrive

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.callback()
def quarantine() -> None:
    """Look at events that broke a rule, and let them go again."""


@app.command("list")
def list_quarantine(
    reason: Annotated[str | None, typer.Option(help="Only those whose reason contains this.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 20,
    redriven: Annotated[bool, typer.Option("--redriven", help="Also those that have passed since.")] = False,
    as_json: AsJson = False,
) -> None:
    """List quarantined events: how many by reason, and the newest ones."""
    from psycopg.rows import dict_row

    from tidegate.postgres import open_database
    from tidegate.queries import queries

    asked = {"reason": reason, "limit": limit, "redriven": redriven}
    with open_database() as database, database.connect(row_factory=dict_row) as connection:
        by_reason = connection.execute(queries["count_quarantine"]).fetchall()
        newest = connection.execute(queries["list_quarantine"], asked).fetchall()
    if as_json:
        say_json({"by_reason": by_reason, "newest": newest})
    elif not by_reason and not newest:
        typer.echo("Nothing is in quarantine.")
    else:
        say_table(("events", "reason", "last"), [(r["events"], r["reason"], r["last_at"]) for r in by_reason])
        rows = [(str(r["quarantine_id"]), r["quarantined_at"], r["reason"], _compact(r["event"])) for r in newest]
        say_table(("id", "when", "reason", "event"), rows)


@app.command()
def explain(
    quarantine_id: Annotated[int, typer.Argument(metavar="ID", help="The row's id, from `quarantine list`.")],
    as_json: AsJson = False,
) -> None:
    """Show an event, every rule that it breaks now, and what would make it pass."""
    from tidegate import quarantine
    from tidegate.postgres import open_database

    with open_database() as database, database.connect(autocommit=True) as connection:
        found = quarantine.explain(connection, quarantine_id)
    if as_json:
        say_json(found)
    else:
        say_explanation(found)


@app.command()
def redrive(
    ids: Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="Ids of rows.")] = None,
    reason: Annotated[str | None, typer.Option(help="All whose reason contains this.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that is in quarantine.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send quarantined events through the rules again; what passes is an event of now."""
    from tidegate import quarantine
    from tidegate.errors import BadRequest
    from tidegate.postgres import open_database

    if sum((bool(ids), reason is not None, everything)) != 1:
        raise BadRequest("It is not clear what to redrive.", "Name ids, or --reason, or --all.")
    with open_database() as database, database.connect(autocommit=True) as connection:
        found = quarantine.find(connection, ids, reason)
        if not yes and found:
            say_redrive(quarantine.redrive(connection, found, rehearse=True), "would pass", "would stay")
            if not typer.confirm(f"Redrive {len(found):,} events?", err=as_json):
                raise typer.Exit(1)
        done = quarantine.redrive(connection, found)
    if as_json:
        say_json(asdict(done))
    else:
        say_redrive(done, "passed", "stay in quarantine")


def say_explanation(found: dict[str, Any]) -> None:
    """Print an event, what it breaks, and how it goes in."""
    typer.echo(f"  quarantined {found['quarantined_at']:%Y-%m-%d %H:%M:%S}: {found['reason']}")
    for name, value in found["event"].items():
        if value is not None:
            typer.echo(f"    {name:<12} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    if found["redriven_at"] is not None:
        typer.echo(f"  it has passed since: event {found['event_id'] or 'that came again'}")
        return
    if not found["broken"]:
        typer.echo("  it breaks no rule now and would pass:")
    else:
        rows = [(b["rule"], b["severity"], b["field"], b["given"], b["needed"]) for b in found["broken"]]
        say_table(("breaks", "severity", "field", "value", "would pass"), rows)
    typer.echo(f"  {found['redrive']};")


def say_redrive(done: Redrive, passed: str, stay: str) -> None:
    """Print what became, or would become, of the events."""
    typer.echo(f"  {done.passed:>9,}  {passed}")
    if done.repeats:
        typer.echo(f"  {done.repeats:>9,}  have come again since, by their client key")
    for reason, n in done.refused.items():
        typer.echo(f"  {n:>9,}  {stay}: {reason}")


def _compact(event: dict[str, object]) -> str:
    """Return an event as JSON without what is missing."""
    return json.dumps({name: value for name, value in event.items() if value is not None}, ensure_ascii=False)
