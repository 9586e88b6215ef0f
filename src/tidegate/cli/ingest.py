"""`tidegate ingest`: a file into the events or the catalogue."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from tidegate.cli.shown import say_json, say_table
from tidegate.errors import DatabaseUnavailable, IngestError
from tidegate.ingest import Kind, Progress, Reading, plan, write
from tidegate.ingest import ingest as bring_in
from tidegate.readers import EXTENSIONS, Source, Unreadable, open_source

RESUME = "The same command goes on where this one stopped; no row is lost or written twice."
_SHOWN_ROWS = 5
_FORMATS = sorted(set(EXTENSIONS.values()))


def ingest(
    file: Annotated[Path, typer.Argument(help="CSV, JSON lines or Parquet, also .gz.", show_default=False)],
    items: Annotated[bool, typer.Option("--items", help="The rows are items of the catalogue.")] = False,
    users: Annotated[bool, typer.Option("--users", help="The rows are users of the catalogue.")] = False,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="OURS=THEIRS", help="user_id=household,item_id=product"),
    ] = None,
    constants: Annotated[
        list[str] | None, typer.Option("--set", metavar="OURS=VALUE", help="event_type=purchase …")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Keep further columns in context or attributes; '*' keeps all."),
    ] = None,
    stream: Annotated[str | None, typer.Option(help="The stream of all events.")] = None,
    form: Annotated[str | None, typer.Option("--format", help=", ".join(_FORMATS))] = None,
    encoding: Annotated[str, typer.Option(help="Of a text file.")] = "utf-8",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would happen, no more.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Write a finished file once more.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Bring a file into the events, or with --items or --users into the catalogue, resumable at any row."""
    from tidegate.postgres import open_database

    if form is not None and form not in _FORMATS:
        raise IngestError(f"There is no format {form}.", f"Say one of {', '.join(_FORMATS)}.")
    source = open_source(file, form, encoding)
    values = pairs(constants or []) | ({"stream": stream} if stream else {})
    reading = plan(kind_of(items, users), source.columns(), pairs(mapping or []), values, split(keep or []))
    with open_database() as database, database.connect(autocommit=True) as connection:
        if dry_run:
            say_dry_run(connection, source, reading, as_json)
            return
        progress = Progress()
        began = time.monotonic()
        with resumable(source, progress), bar(source, quiet=as_json) as tell:
            bring_in(connection, source, reading, progress, tell, again)
    say_result(source, reading, progress, time.monotonic() - began, as_json)


def kind_of(items: bool, users: bool) -> Kind:
    """Return what the rows are."""
    if items and users:
        raise typer.BadParameter("a file holds either items or users")
    return "items" if items else "users" if users else "events"


def split(values: list[str]) -> list[str]:
    """Return values that were given one by one or with commas between them."""
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def pairs(values: list[str]) -> dict[str, str]:
    """Return OURS=THEIRS pairs as a dict."""
    found = {}
    for value in split(values):
        ours, equals, theirs = value.partition("=")
        if not equals or not theirs:
            raise typer.BadParameter(f"{value!r} is not of the form OURS=THEIRS")
        found[ours.strip()] = theirs.strip()
    return found


@contextmanager
def resumable(source: Source, progress: Progress) -> Iterator[None]:
    """Say how to go on when the ingest ends early."""
    from psycopg import OperationalError

    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"\ntidegate: stopped after {done(progress):,} rows of {source.path.name}. {RESUME}", err=True)
        raise
    except OperationalError as error:
        said = str(error).strip().partition("\n")[0].rstrip(".")
        raise DatabaseUnavailable(f"PostgreSQL, after {done(progress):,} rows: {said}.", RESUME) from None


def done(progress: Progress) -> int:
    """Return how many rows of the file are committed."""
    return progress.resumed_at + progress.rows


@contextmanager
def bar(source: Source, quiet: bool) -> Iterator[Any]:
    """Show a progress bar on stderr; yield what moves it on."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as shown:
        task = shown.add_task(source.path.name, total=source.size)
        yield lambda: shown.update(task, completed=source.position)


def say_result(source: Source, reading: Reading, progress: Progress, seconds: float, as_json: bool) -> None:
    """Print what became of the file."""
    refused = progress.refused.total()
    if as_json:
        found = {"file": str(source.path), "kind": reading.kind, "seconds": round(seconds, 3)}
        say_json(found | vars(progress))
        return
    if progress.resumed_at:
        typer.echo(f"went on after {progress.resumed_at:,} rows that were in already")
    rate = progress.rows / seconds if seconds else 0
    typer.echo(f"{progress.rows - refused:,} {reading.kind} in {seconds:.1f} s ({rate:,.0f} rows/s)")
    if reading.kind != "events":
        typer.echo(f"{progress.changed:,} of them are new or changed")
    say_refused(progress.refused, "quarantined" if reading.kind == "events" else "left out")


def say_refused(refused: Counter[str], what: str) -> None:
    """Print the rows that were not accepted, by reason."""
    if refused:
        typer.echo(f"{refused.total():,} {what}:")
    for reason, n in refused.most_common():
        typer.echo(f"{n:>12,}  {reason}")


def say_dry_run(connection: Any, source: Source, reading: Reading, as_json: bool) -> None:
    """Write the whole file in one transaction, roll it back, and print what would have happened."""
    from psycopg import Rollback

    first = [reading.row(row) for row in islice(source.rows(), _SHOWN_ROWS) if not isinstance(row, Unreadable)]
    refused: Counter[str] = Counter()
    n = 0
    rows = source.rows()
    while chunk := list(islice(rows, 10_000)):
        with connection.transaction():
            refused += write(connection, reading, chunk)[0]
            n += len(chunk)
            raise Rollback
    if as_json:
        say_json({"dry_run": True, "reading": reading.as_json(), "first": first, "rows": n, "refused": refused})
        return
    say_table(
        ("column", "from"),
        [
            *reading.mapping.items(),
            *((name, f"always {value!r}") for name, value in reading.constants.items()),
        ],
    )
    if reading.kind == "events" and "occurred_at" not in {**reading.mapping, **reading.constants}:
        typer.echo("no column is occurred_at: every event would happen at the time of the ingest\n")
    say_table(tuple(first[0]) if first else (), [row.values() for row in first], title="first rows")
    typer.echo(f"{n - refused.total():,} of {n:,} rows are good; nothing was written")
    say_refused(refused, "would be refused")
