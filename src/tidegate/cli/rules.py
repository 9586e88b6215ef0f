"""`tidegate rules`: what events must be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from tidegate.cli.shown import say_json, say_table

HOW = """NAME is the reason that quarantined events show, and what follows the kind are columns of ingest.rules.

\b
type        field=context.KEY type=number|text|boolean|timestamp
range       field=value|context.KEY lowest=0 highest=100
allowed     field=event_type|context.KEY|... allowed=phone,tablet
reference   field=item_id|user_id     it must be in the catalogue
future      seconds=300               at most so far from now
rate        most=100 seconds=60       of one user
duplicate   seconds=5                 same user, item and type
expression  expression="value < 1000 or event_type <> 'rating'"

\b
For any kind: stream=shop  event_type=purchase  severity=warn  enabled=false"""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="List, add, change, remove or try the rules that events must keep.",
)
Name = Annotated[str, typer.Argument(help="The rule's name: the reason that its events show.")]
Columns = Annotated[list[str] | None, typer.Argument(metavar="[COLUMN=VALUE]...", help="What the kind needs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_rules(as_json: AsJson = False) -> None:
    """List the rules, and how many events each has refused or warned of."""
    from tidegate.rules import read_rules

    found = _with_connection(read_rules)
    if as_json:
        say_json(found)
        return
    say_table(
        ("rule", "kind", "severity", "in force", "for", "quarantined", "warned", "needs"),
        [
            (r["name"], r["kind"], r["severity"], r["enabled"], _scope(r), r["quarantined"], r["warned"], r["needs"])
            for r in found
        ],
    )


@app.command(help=f"Add a rule. {HOW}")
def add(
    name: Name,
    kind: Annotated[str, typer.Argument(help="One of those above.")],
    columns: Columns = None,
    as_json: AsJson = False,
) -> None:
    """Add a rule; HOW is its help."""
    from tidegate.rules import add_rule, read_columns

    given = {"kind": kind} | read_columns(columns or [])
    _with_connection(lambda connection: add_rule(connection, name, given))
    _say_done(name, "is there, not in force" if given.get("enabled") == "false" else "is in force", as_json)


@app.command("set")
def set_rule(name: Name, columns: Columns = None, as_json: AsJson = False) -> None:
    """Change a rule, as: tidegate rules set "too dear" highest=200 severity=warn; COLUMN= takes a value away."""
    from tidegate.rules import read_columns
    from tidegate.rules import set_rule as change

    given = read_columns(columns or [])
    _with_connection(lambda connection: change(connection, name, given))
    _say_done(name, "is changed", as_json)


@app.command()
def remove(name: Name, as_json: AsJson = False) -> None:
    """Remove a rule; what it has quarantined stays there."""
    from tidegate.rules import remove_rule

    _with_connection(lambda connection: remove_rule(connection, name))
    _say_done(name, "is gone; redrive what it holds with `tidegate quarantine redrive --reason`", as_json)


@app.command("test")
def try_rule(
    name: Name,
    last: Annotated[int, typer.Option(min=1, help="On so many of the newest events.")] = 10_000,
    as_json: AsJson = False,
) -> None:
    """Show how many of the newest events would have broken a rule, in force or not; nothing is changed."""
    from dataclasses import asdict

    from tidegate.rules import try_rule as look

    trial = _with_connection(lambda connection: look(connection, name, last))
    if as_json:
        say_json({"name": name} | asdict(trial))
        return
    typer.echo(f"  {trial.broken:,} of the newest {trial.looked:,} events would have broken {name!r}")
    if trial.examples:
        typer.echo(f"  for example event {', '.join(map(str, trial.examples))}")


def _scope(rule: dict[str, Any]) -> str:
    return ", ".join(filter(None, (rule["stream"], rule["event_type"]))) or "all events"


def _say_done(name: str, what: str, as_json: bool) -> None:
    if as_json:
        say_json({"name": name, "done": what})
    else:
        typer.echo(f"the rule {name!r} {what}")


def _with_connection(ask: Callable[[Any], Any]) -> Any:
    from tidegate.postgres import open_database

    with open_database() as database, database.connect(autocommit=True) as connection:
        return ask(connection)
