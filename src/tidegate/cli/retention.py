"""`tidegate retention`: how long events live, and what would go now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.cli.shown import say_json, say_table, size
from tidegate.errors import BadRequest

if TYPE_CHECKING:
    from tidegate.lifetime import Lifetime, Plan, Report

app = typer.Typer(
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Show what is past its retention, change that, or let it go.",
)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Span = Annotated[str | None, typer.Option(metavar="SPAN", help="90d, 12 hours, 1 year, or forever.")]


@app.callback()
def plan(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show what is past its retention and what keeps each day; nothing is changed."""
    if ctx.invoked_subcommand is not None:
        return
    from tidegate.lifetime import read_plan

    found = _with_connection(read_plan)
    if as_json:
        say_json(asdict(found))
    else:
        say_plan(found)


@app.command("set")
def set_retention(
    keep: Span = None, keep_quarantine: Span = None, keep_impressions: Span = None, keep_keys: Span = None
) -> None:
    """Change how long events, quarantine, impressions and client keys are kept; what is not named stays."""
    from tidegate.lifetime import set_lifetime

    changes = {
        "keep_events": keep,
        "keep_quarantine": keep_quarantine,
        "keep_impressions": keep_impressions,
        "keep_keys": keep_keys,
    }
    if not any(changes.values()):
        raise BadRequest(
            "There is nothing to change.", "Name --keep, --keep-quarantine, --keep-impressions or --keep-keys."
        )
    say_lifetime(_with_connection(lambda connection: set_lifetime(connection, **changes)))
    typer.echo("  the keeper applies it once an hour; see what would go with `tidegate retention`")


@app.command("apply")
def apply_retention(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let go of what is past its retention now, instead of at the keeper's next round."""
    from tidegate.lifetime import apply, read_plan

    if as_json and not yes:
        raise BadRequest("--json answers with one JSON object and asks nothing.", "Say --yes as well.")
    if not yes:
        say_plan(_with_connection(read_plan))
        if not typer.confirm("Drop and delete it?"):
            raise typer.Exit(1)
    report = _with_connection(apply)
    if as_json:
        say_json(asdict(report))
    else:
        say_report(report)


def say_plan(found: Plan) -> None:
    """Print the lifetimes and what is past them."""
    say_lifetime(found.lifetime)
    if not found.partitions:
        typer.echo("  no day is past its retention")
    else:
        say_table(
            ("partition", "events", "size", "plan"),
            [
                (p.partition, p.events, size(p.bytes), f"stays: {p.needed_by}" if p.needed_by else "drop")
                for p in found.partitions
            ],
        )
    for name, n in found.rows.items():
        typer.echo(f"  {n:>12,}  rows past retention: {name.replace('_', ' ')}")


def say_lifetime(lifetime: Lifetime) -> None:
    """Print how long things are kept."""
    for name, value in asdict(lifetime).items():
        typer.echo(f"  {name.replace('_', ' '):<17} {value or 'for ever'}")


def say_report(report: Report) -> None:
    """Print what was done."""
    for partition in report.dropped:
        typer.echo(f"  dropped  {partition}")
    for partition, why in report.kept.items():
        typer.echo(f"  stays    {partition}: {why}")
    for name, n in report.trimmed.items():
        typer.echo(f"  {n:>12,}  rows deleted: {name.replace('_', ' ')}")


def _with_connection(ask: Callable[[Any], Any]) -> Any:
    from tidegate.postgres import open_database

    with open_database() as database, database.connect(autocommit=True) as connection:
        return ask(connection)
