"""`tidegate streams`: the streams and what makes them train."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tidegate.cli.shown import lasting, say_json, say_table
from tidegate.errors import BadRequest, UnknownStream

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="List streams, add one, or change what makes one train.",
)
Stream = Annotated[str, typer.Argument(help="Name of the stream.")]
Threshold = Annotated[int | None, typer.Option(min=1, help="New events that make a window.")]
MaxAge = Annotated[
    float | None,
    typer.Option(min=0, metavar="SECONDS", help="A window of this age is cut, full or not; 0: none."),
]
Repeats = Annotated[
    bool | None,
    typer.Option("--repeats/--no-repeats", help="Whether items may be recommended to a user again."),
]


@app.command("list")
def list_streams(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """List the streams."""
    from tidegate.postgres import open_database
    from tidegate.queries import queries

    with open_database() as database, database.connect() as connection:
        rows = connection.execute(queries["list_streams"]).fetchall()
    headings = ("stream", "threshold", "max_age_seconds", "repeats", "created_at")
    if as_json:
        say_json([dict(zip(headings, row, strict=True)) for row in rows])
        return
    say_table(
        ("stream", "threshold", "max age", "repeats", "since"),
        [(name, n, lasting(age) or "none", repeats, since) for name, n, age, repeats, since in rows],
    )


@app.command()
def add(stream: Stream, threshold: Threshold = None, max_age: MaxAge = None, repeats: Repeats = None) -> None:
    """Make a stream; events may name it from then on."""
    if not 1 <= len(stream) <= 64:
        raise BadRequest("The name of a stream has 1 to 64 characters.")
    values = {"stream": stream, "threshold": threshold, "max_age": max_age or None, "repeats": repeats}
    if not _change("add_stream", values):
        raise BadRequest(f"The stream {stream!r} exists.", f"Change it with `tidegate streams set {stream}`.")
    typer.echo(f"the stream {stream} is there")


@app.command("set")
def set_stream(stream: Stream, threshold: Threshold = None, max_age: MaxAge = None, repeats: Repeats = None) -> None:
    """Change what makes a stream train; what is not named stays."""
    if threshold is None and max_age is None and repeats is None:
        raise BadRequest("There is nothing to change.", "Name --threshold, --max-age or --repeats.")
    values = {"stream": stream, "threshold": threshold, "max_age": max_age, "repeats": repeats}
    if not _change("change_stream", values):
        raise UnknownStream(f'Stream "{stream}" does not exist.')
    typer.echo(f"the stream {stream} is changed")


def _change(query: str, values: dict[str, Any]) -> bool:
    from tidegate.postgres import open_database
    from tidegate.queries import queries

    with open_database() as database, database.connect(autocommit=True) as connection:
        return connection.execute(queries[query], values).rowcount == 1
