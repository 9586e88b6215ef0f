"""`tidegate windows`: what was cut, what trains, what is parked."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate.cli.shown import say_json, say_table
from tidegate.cli.verify import verify
from tidegate.errors import BadRequest, UnknownStream
from tidegate.events import DEFAULT_STREAM

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="List windows, cut one, or retry a parked one.",
)
app.command()(verify)


@app.command("list")
def list_windows(
    stream: Annotated[str | None, typer.Option(help="Only of this stream.")] = None,
    state: Annotated[str | None, typer.Option(help="Only cut, ready, trained or parked ones.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """List the windows, the newest first."""
    from psycopg.rows import dict_row

    from tidegate.postgres import open_database
    from tidegate.queries import queries

    with open_database() as database, database.connect(row_factory=dict_row) as connection:
        values = {"stream": stream, "state": state, "limit": limit}
        found = connection.execute(queries["list_windows"], values).fetchall()
    if as_json:
        say_json(found)
        return
    say_table(
        ("window", "stream", "events", "state", "attempt", "run", "version", "verdict", "cut at", "reason"),
        [
            (str(w["window_id"]), w["stream"], w["events"], w["state"], w["attempt"], w["run_state"],
             w["version_number"], w["verdict"], w["cut_at"], w["reason"])
            for w in found
        ],
    )  # fmt: skip


@app.command()
def cut(
    stream: Annotated[str, typer.Argument(help="The stream.")] = DEFAULT_STREAM,
    force: Annotated[bool, typer.Option("--force", help="Cut it although it is not full.")] = False,
) -> None:
    """Cut a stream's next window now, instead of waiting for its threshold."""
    from tidegate.postgres import open_database
    from tidegate.queries import queries

    with open_database() as database, database.connect(autocommit=True) as connection:
        depth = connection.execute(queries["waiting_events"], {"stream": stream}).fetchone()
        if depth is None:
            raise UnknownStream(f'Stream "{stream}" does not exist.')
        found = connection.execute(queries["force_window"], {"stream": stream, "force": force}).fetchone()
    if found is not None and found[0] is not None:
        typer.echo(f"window {found[0]} is cut; it trains as soon as a worker is free")
        return
    raise BadRequest(
        f"There is no window to cut: {depth[0]:,} events wait, the threshold is {depth[1]:,}.",
        "Cut it all the same with --force." if depth[0] and not force else "Write events first.",
    )


@app.command()
def retry(window: Annotated[int, typer.Argument(help="The window's id.")]) -> None:
    """Give a parked window another round of attempts."""
    from tidegate.postgres import open_database
    from tidegate.queries import queries

    with open_database() as database, database.connect(autocommit=True) as connection:
        found = connection.execute(queries["retry_window"], {"window": window}).fetchone()
        state = connection.execute(queries["window_state"], {"window": window}).fetchone()
    if state is None:
        raise BadRequest(f"Window {window} does not exist.", "List them with `tidegate windows list`.")
    if found is None or found[0] is None:
        raise BadRequest(f"Window {window} is {state[0]}, not parked.", "Only a parked window needs a retry.")
    typer.echo(f"window {window} is {found[0]} again")
