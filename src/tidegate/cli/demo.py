"""`tidegate demo`: the whole system on a year of real baskets, in a few minutes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from tidegate.errors import TidegateError

MARK = "tidegate demo"
NEXT = """
try next
  make up                                          the whole stack on this data, until Ctrl-C
  .venv/bin/tidegate recommend {household}         what the household gets now, and why
  .venv/bin/tidegate status                        streams, windows, versions
  .venv/bin/tidegate psql                          select * from serving.recommend('{household}', 10);
"""


def demo(
    quick: Annotated[
        bool,
        typer.Option("--quick", help="300 households instead of 2,469: within 90 seconds."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line last, and nothing else.")] = False,
    reset: Annotated[
        bool,
        typer.Option("--reset", help="Drop what the database holds, whatever it is."),
    ] = False,
    windows: Annotated[int, typer.Option(min=1, max=50, help="Windows in the later weeks.")] = 3,
) -> None:
    """Load a year of baskets by SQL and watch thresholds fire, versions train and recommendations change."""
    from concurrent.futures import ThreadPoolExecutor

    from rich.console import Console

    from tidegate import features
    from tidegate.demo.journey import read_journey
    from tidegate.postgres import open_database

    console = Console(stderr=as_json)
    with open_database() as database:
        make_room(database, reset)
        # Applying Feast's definitions takes as long as reading and loading the base period.
        applied = ThreadPoolExecutor(1).submit(features.apply_definitions, database)
        journey = read_journey(quick)
        if not as_json:
            console.print(
                f"Complete Journey: {len(journey):,} purchases of {len(set(journey.households)):,} households, "
                f"{len(journey.products):,} products, one year (relabelled dates; see the docs)."
            )
        summary = play(database, journey, console, as_json, windows, applied.result)
    if as_json:
        print(json.dumps(summary))
    else:
        report(console, summary)


def play(
    database: Any, journey: Any, console: Any, quiet: bool, windows: int, prepared: Callable[[], object]
) -> dict[str, Any]:
    """Start the stack and tell the story; return its figures."""
    from tidegate.demo.story import Story
    from tidegate.demo.view import View
    from tidegate.stack import Stack

    with (
        database.connect(autocommit=True) as writer,
        database.connect(autocommit=True) as watcher,
        View(watcher, console, quiet) as view,
        Stack(("keeper", "features", "gpu"), view.log) as stack,
    ):

        def tick(scene: Any) -> None:
            stack.check()
            view.show(scene)

        return Story(writer, journey, tick, windows, prepared).tell()


def make_room(database: Any, reset: bool) -> None:
    """Give the demo an empty schema. Only its own data is dropped without being asked to."""
    from tidegate.migrate import upgrade

    with database.connect(autocommit=True) as connection:
        mark = connection.execute(
            "select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()"
        ).fetchone()
        name = connection.info.dbname
        used = connection.execute("select to_regclass('ingest.behaviour_events') is not null").fetchone()[0]
        if used and mark[0] != MARK and not reset:
            used = connection.execute("select exists (select from ingest.behaviour_events)").fetchone()[0]
        if used and mark[0] != MARK and not reset:
            raise TidegateError(
                f"The database {name} holds events that are not the demo's.",
                f"The demo would drop the database {name} with all that is in it: say so with --reset, "
                "or give it a folder of its own with TIDEGATE_HOME.",
            )
    if used:
        print(f"dropping the database {name} and the demo data in it", file=sys.stderr)
        recreate(database, name)
    upgrade(database)
    with database.connect(autocommit=True) as connection:
        connection.execute(f"comment on database {connection.info.dbname} is '{MARK}'")


def recreate(database: Any, name: str) -> None:
    """Drop the database and make it again."""
    from psycopg import sql

    with database.named("postgres").connect(autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))


def report(console: Any, summary: dict[str, Any]) -> None:
    """Print the household's recommendations before and after, and the figures."""
    from tidegate.demo.view import recommendations

    household = summary["household"]
    console.print(recommendations(f"{household} before the later weeks", summary["before"]))
    console.print(recommendations(f"{household} after them", summary["after"]))
    for window in summary["per_window"]:
        scores = window["ndcg@10"]
        console.print(
            f"window {window['window']} ({window['slice']}): ndcg@10 of the live version {scores['live']:.4f}, "
            f"own frequency {scores['frequency']:.4f}, popularity {scores['popularity']:.4f}"
        )
    console.print(
        f"{summary['events']:,} events, {summary['windows']} windows, {summary['versions']} versions, "
        f"{summary['promoted']} promoted; crossing insert to task start "
        f"{summary['seconds_from_crossing_to_start_p50']} s (p50)"
    )
    console.print(NEXT.format(household=household), highlight=False)
