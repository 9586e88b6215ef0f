"""`tidegate windows`: what was cut, what trains, what is parked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidegate.cli.shown import cell, lasting, say_json, say_table
from tidegate.cli.verify import verify
from tidegate.errors import BadRequest, UnknownStream
from tidegate.events import DEFAULT_STREAM

if TYPE_CHECKING:
    import psycopg

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="List windows, look at one, cut, verify, retry or skip one.",
)
app.command()(verify)
Window = Annotated[int, typer.Argument(help="The window's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

# A window's own figures, in the order in which they come to be; the rest stands below them.
FIGURES = (
    "stream", "state", "cause", "n", "position", "first_id", "last_id", "id_ranges", "t0", "t1", "crossed_at", "cut_at",
    "ready_at", "nudged_at", "retried_at", "finished_at", "reason",
)  # fmt: skip
BELOW = ("window_id", "figures", "runs", "versions", "traceback")


@app.command("list")
def list_windows(
    stream: Annotated[str | None, typer.Option(help="Only of this stream.")] = None,
    state: Annotated[str | None, typer.Option(help="Only cut, ready, trained, parked or skipped ones.")] = None,
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
        ("window", "stream", "events", "cause", "state", "attempt", "run", "version", "verdict", "cut at", "reason"),
        [
            (str(w["window_id"]), w["stream"], w["events"], w["cause"], w["state"], w["attempt"], w["run_state"],
             w["version_number"], w["verdict"], w["cut_at"], w["reason"])
            for w in found
        ],
    )  # fmt: skip


@app.command()
def show(window: Window, as_json: AsJson = False) -> None:
    """Show all about a window: its figures, its runs with their errors, its versions."""
    from tidegate.postgres import open_database
    from tidegate.queries import queries

    with open_database() as database, database.connect() as connection:
        row = connection.execute(queries["show_window"], {"window": window}).fetchone()
    if row is None:
        raise unknown(window)
    found: dict[str, Any] = row[0]
    if as_json:
        say_json(found)
        return
    say_figures(found)
    for f in found["figures"]:
        typer.echo(f"  unusual: {f['figure']} is {f['value']:.3g}, usually {f['median']:.3g} (z {f['z']:.1f})")
    say_runs(found["runs"])
    for version in found["versions"]:
        typer.echo(f"  version {version['number']} ({version['verdict']}): {version['reason']}")
    errors = [run["error"] for run in found["runs"] if run["error"]]
    if traceback := found.get("traceback") or next(reversed(errors), None):
        typer.echo(f"\n{traceback.rstrip()}")


def say_figures(found: dict[str, Any]) -> None:
    """Print what a window is, a figure a line."""
    typer.echo(f"  window {found['window_id']}")
    for name in (*FIGURES, *(key for key in found if key not in FIGURES + BELOW)):
        if found.get(name) is not None:
            typer.echo(f"    {name:<18} {cell(found[name])}")


def say_runs(runs: list[dict[str, Any]]) -> None:
    """Print the runs of a window."""
    if runs:
        say_table(
            ("run", "attempt", "state", "step", "worker", "claimed at", "took", "error"),
            [
                (str(r["run_id"]), r["attempt"], r["state"], r["step"], r["worker"], r["claimed_at"][:19],
                 lasting(r["seconds"]), (r["error"] or "").strip().rpartition("\n")[2])
                for r in runs
            ],
        )  # fmt: skip


@app.command()
def cut(
    stream: Annotated[str, typer.Argument(help="The stream.")] = DEFAULT_STREAM,
    force: Annotated[
        bool, typer.Option("--force", help="Cut it although it is not full, or although something holds it.")
    ] = False,
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
    waiting, threshold, hold = depth
    raise not_cut(waiting, threshold, hold, force=force)


def not_cut(waiting: int, threshold: int, hold: str | None, *, force: bool) -> BadRequest:
    """Say why there was no window to cut."""
    held = f" The stream is held: {hold}." if hold and waiting >= threshold else ""
    return BadRequest(
        f"There is no window to cut: {waiting:,} events wait, the threshold is {threshold:,}.{held}",
        "Cut it all the same with --force." if waiting and not force else "Write events first.",
    )


@app.command()
def retry(window: Window, as_json: AsJson = False) -> None:
    """Give a parked window another round of attempts."""
    from tidegate.postgres import open_database
    from tidegate.queries import queries

    with open_database() as database, database.connect(autocommit=True) as connection:
        find_parked(connection, window, "retried")
        found = connection.execute(queries["retry_window"], {"window": window}).fetchone()
    say_changed(window, found, as_json, "its attempts count from here")


@app.command()
def skip(
    window: Window,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give a parked window up for good: its events are never trained on."""
    from tidegate.postgres import open_database
    from tidegate.queries import queries

    with open_database() as database, database.connect(autocommit=True) as connection:
        stream, n, reason, waiting = find_parked(connection, window, "skipped")
        if not yes:
            # The question goes to stderr where stdout is one JSON object.
            say_plan(window, stream, n, reason, waiting, err=as_json)
            typer.confirm("  give it up?", abort=True, err=as_json)
        found = connection.execute(queries["skip_window"], {"window": window}).fetchone()
    say_changed(window, found, as_json, "no version will learn its events")


def find_parked(connection: psycopg.Connection[Any], window: int, what: str) -> tuple[str, int, str, int]:
    """Return the stream, size and reason of a parked window, and how many of its stream wait. Raises BadRequest."""
    from tidegate.queries import queries

    row = connection.execute(queries["window_state"], {"window": window}).fetchone()
    if row is None:
        raise unknown(window)
    state, *rest = row
    if state != "parked":
        raise BadRequest(f"Window {window} is {state}, not parked.", f"Only a parked window can be {what}.")
    return tuple(rest)


def say_plan(window: int, stream: str, n: int, reason: str, waiting: int, err: bool) -> None:
    """Say what skipping a window means."""
    typer.echo(f"  window {window} of stream {stream} is parked: {reason}", err=err)
    typer.echo(f"  its {n:,} events stay in the history and are never trained on; this cannot be undone", err=err)
    if waiting:
        typer.echo(f"  {waiting:,} later windows of the stream go on without it", err=err)


def say_changed(window: int, found: Any, as_json: bool, what: str) -> None:
    """Print the new state of a window; somebody else may have been quicker."""
    state = found[0] if found is not None else None
    if state is None:
        raise BadRequest(
            f"Window {window} is not parked any more.", f"Look at it with `tidegate windows show {window}`."
        )
    if as_json:
        say_json({"window_id": window, "state": state})
    else:
        typer.echo(f"window {window} is {state}: {what}")


def unknown(window: int) -> BadRequest:
    """Return the error for a window that is not there."""
    return BadRequest(f"Window {window} does not exist.", "List them with `tidegate windows list`.")
