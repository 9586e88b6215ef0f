"""`tidegate versions`: what was trained, how it was judged, and which one is live."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tidegate.cli.shown import say_json, say_table
from tidegate.errors import BadRequest

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="List versions, look at one, or make one live.",
)
Version = Annotated[int, typer.Argument(metavar="VERSION", help="The version's id, as `list` shows it.")]
_SHOWN = ("version_id", "stream", "number", "parent_id", "window_id", "verdict", "reason", "weights_hash")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_versions(
    stream: Annotated[str | None, typer.Option(help="Only of this stream.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the versions, the newest first."""
    found = _ask("list_versions", {"stream": stream, "limit": limit})
    if as_json:
        say_json(found)
    elif not found:
        typer.echo("No version yet: the first one is trained when a stream's first window is full.")
    else:
        say_table(
            ("id", "stream", "number", "parent", "events", "verdict", "live", "reason"),
            [
                (str(v["version_id"]), v["stream"], v["number"], v["parent_id"], v["events"], v["verdict"],
                 "live" if v["live"] else "", v["reason"])
                for v in found
            ],
        )  # fmt: skip


@app.command()
def show(version: Version, as_json: AsJson = False) -> None:
    """Show one version: its figures, its lineage and when it was live."""
    found = _one(version)
    if as_json:
        say_json(found)
        return
    for name in _SHOWN:
        typer.echo(f"{name:<13} {found[name] if found[name] is not None else ''}")
    say_table(
        ("slice", "metric", "subject", "value"),
        [(e["slice"], e["metric"], e["subject"], float(e["value"])) for e in found["evaluations"]],
    )
    say_table(
        ("live from", "until", "by", "reason"),
        [(d["live_from"][:19], (d["live_until"] or "now")[:19], d["actor"], d["reason"]) for d in found["deployments"]],
    )


@app.command()
def deploy(
    version: Version,
    reason: Annotated[str, typer.Option(help="Why; it is kept.")] = "deployed by hand",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
) -> None:
    """Make a version live: a newer one, or an older one to roll back."""
    chosen = _one(version)
    others = _ask("list_versions", {"stream": chosen["stream"], "limit": 10_000})
    live = next((v for v in others if v["live"]), None)
    if live is not None and live["version_id"] == version:
        raise BadRequest(f"Version {version} is live already.", "There is nothing to do.")
    if not chosen["deployable"]:
        raise BadRequest(
            f"Version {version} has no item vectors ({chosen['verdict']}: {chosen['reason']}).",
            "Choose a version that was promoted.",
        )
    say_plan(chosen, live)
    if not yes and not typer.confirm("Flip the pointer?"):
        raise typer.Exit(1)
    _flip(version, reason)
    typer.echo(f"version {chosen['number']} is live in {chosen['stream']}")


def say_plan(chosen: dict[str, Any], live: dict[str, Any] | None) -> None:
    """Print what would change."""
    now = f"version {live['number']} (id {live['version_id']})" if live else "none"
    kind = "roll back" if live and live["number"] > chosen["number"] else "go forward"
    typer.echo(f"stream  {chosen['stream']}\nlive    {now}\nplan    {kind} to version {chosen['number']} "
               f"(id {chosen['version_id']}), {chosen['verdict']}: {chosen['reason']}")  # fmt: skip


def _one(version: int) -> dict[str, Any]:
    found = _ask("show_version", {"version": version})
    if not found:
        raise BadRequest(f"Version {version} does not exist.", "List them with `tidegate versions list`.")
    return found[0]


def _ask(query: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    from psycopg.rows import dict_row

    from tidegate.postgres import open_database
    from tidegate.queries import queries

    with open_database() as database, database.connect(row_factory=dict_row) as connection:
        return connection.execute(queries[query], values).fetchall()


def _flip(version: int, reason: str) -> None:
    from tidegate.postgres import open_database
    from tidegate.queries import queries

    with open_database() as database, database.connect(autocommit=True) as connection:
        connection.execute(queries["deploy"], {"version": version, "reason": reason})
