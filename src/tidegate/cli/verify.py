"""`tidegate windows verify`: whether windows still hold the events that they held."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tidegate.cli.shown import say_json, say_table
from tidegate.errors import BadRequest

CHANGED = "CHANGED: not the events that it held"


def verify(
    windows: Annotated[list[int] | None, typer.Argument(metavar="[ID]…", help="Only these windows.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """Compare what windows hold with the hash of what they held when they became features.

    Exit code 1 where a window holds something else. Events that are past retention cannot be compared, and say so.
    """
    found: list[dict[str, Any]] = [w | {"verdict": verdict(w)} for w in ask(windows)]
    if missing := set(windows or ()) - {w["window_id"] for w in found}:
        raise BadRequest(f"Window {min(missing)} does not exist.", "List them with `tidegate windows list`.")
    if as_json:
        say_json(found)
    else:
        say_table(
            ("window", "stream", "events", "content hash", "verdict"),
            [(str(w["window_id"]), w["stream"], w["n"], (w["content_hash"] or "")[:12], w["verdict"]) for w in found],
        )
    if any(w["verdict"] == CHANGED for w in found):
        raise typer.Exit(1)


def verdict(window: dict[str, Any]) -> str:
    """Say what became of a window's events."""
    if window["content_hash"] is None:
        return "has no hash: its features were never materialised, or before hashes were taken"
    if window["events_left"] < window["n"]:
        return f"{window['events_left']:,} of {window['n']:,} events are left: past retention or deleted"
    return "as it was" if window["found"] == window["content_hash"] else CHANGED


def ask(windows: list[int] | None) -> list[dict[str, Any]]:
    """Return the hashes of windows, then and now."""
    from psycopg.rows import dict_row

    from tidegate.postgres import open_database
    from tidegate.queries import queries

    with open_database() as database, database.connect(row_factory=dict_row) as connection:
        return connection.execute(queries["verify_windows"], {"windows": windows or None}).fetchall()
