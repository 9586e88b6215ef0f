"""`tidegate streams`: the streams, what makes them train and what holds them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

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
NewItemShare = Annotated[
    float | None,
    typer.Option(min=0, max=1, metavar="SHARE", help="Cut when this share of what waits is about new items; 0: never."),
]
MixDrift = Annotated[
    float | None,
    typer.Option(min=0, max=1, metavar="DISTANCE", help="Cut when the event types' mix moved so far; 0: never."),
]
Schedule = Annotated[
    str | None, typer.Option(metavar="CRON", help="Cut at these times: five fields, in UTC; '': never.")
]
MinInterval = Annotated[
    float | None, typer.Option(min=0, metavar="SECONDS", help="Cut no sooner after the last cut; 0: at once.")
]
BudgetSeconds = Annotated[
    int | None, typer.Option(min=0, metavar="SECONDS", help="Train no more than this in an hour; 0: no limit.")
]
MaxAttempts = Annotated[int | None, typer.Option(min=1, help="Attempts until a window is parked.")]
OnParked = Annotated[
    Literal["continue", "stop"] | None, typer.Option(help="Whether later windows wait for a parked one.")
]
Suspicion = Annotated[
    Literal["ignore", "tighten", "park"] | None, typer.Option(help="What a window meets that is unlike those before.")
]
SuspicionZ = Annotated[float | None, typer.Option(min=1, metavar="Z", help="Robust z-score that is suspicious.")]
Repeats = Annotated[
    bool | None,
    typer.Option("--repeats/--no-repeats", help="Whether items may be recommended to a user again."),
]

KeepEvents = Annotated[
    bool | None,
    typer.Option("--keep-events/--no-keep-events", help="Whether its windows' events outlive retention, for replay."),
]


@app.command("list")
def list_streams(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """List the streams."""
    from psycopg.rows import dict_row

    from tidegate.postgres import open_database
    from tidegate.queries import queries

    with open_database() as database, database.connect(row_factory=dict_row) as connection:
        found = connection.execute(queries["list_streams"]).fetchall()
    if as_json:
        say_json(found)
        return
    say_table(
        ("stream", "a window is cut at", "held by", "attempts", "on parked", "repeats", "held now"),
        [
            (s["stream"], triggers(s), limits(s), s["max_attempts"], s["on_parked"], s["repeats"], s["hold"])
            for s in found
        ],
    )


def triggers(stream: dict[str, Any]) -> str:
    """Return what makes a stream train, in a line for each."""
    parts = (
        f"{stream['threshold']:,} events",
        stream["max_age_seconds"] and f"{lasting(stream['max_age_seconds'])} of age",
        stream["new_item_share"] and f"{stream['new_item_share']:.0%} new items",
        stream["mix_drift"] and f"a drift of {stream['mix_drift']:g}",
        stream["schedule"],
    )
    return "\n".join(part for part in parts if part)


def limits(stream: dict[str, Any]) -> str:
    """Return what can hold a stream, in a line for each."""
    parts = (
        stream["min_interval_seconds"] and f"{lasting(stream['min_interval_seconds'])} between cuts",
        stream["budget_seconds"] and f"{stream['budget_seconds']:,} s an hour",
    )
    return "\n".join(part for part in parts if part)


@app.command()
def add(
    stream: Stream,
    threshold: Threshold = None,
    max_age: MaxAge = None,
    new_item_share: NewItemShare = None,
    mix_drift: MixDrift = None,
    schedule: Schedule = None,
    min_interval: MinInterval = None,
    budget_seconds: BudgetSeconds = None,
    max_attempts: MaxAttempts = None,
    on_parked: OnParked = None,
    suspicion: Suspicion = None,
    suspicion_z: SuspicionZ = None,
    repeats: Repeats = None,
    keep_events: KeepEvents = None,
) -> None:
    """Make a stream; events may name it from then on."""
    values = dict(locals())
    if not 1 <= len(stream) <= 64:
        raise BadRequest("The name of a stream has 1 to 64 characters.")
    if not _change("add_stream", values):
        raise BadRequest(f"The stream {stream!r} exists.", f"Change it with `tidegate streams set {stream}`.")
    typer.echo(f"the stream {stream} is there")


@app.command("set")
def set_stream(
    stream: Stream,
    threshold: Threshold = None,
    max_age: MaxAge = None,
    new_item_share: NewItemShare = None,
    mix_drift: MixDrift = None,
    schedule: Schedule = None,
    min_interval: MinInterval = None,
    budget_seconds: BudgetSeconds = None,
    max_attempts: MaxAttempts = None,
    on_parked: OnParked = None,
    suspicion: Suspicion = None,
    suspicion_z: SuspicionZ = None,
    repeats: Repeats = None,
    keep_events: KeepEvents = None,
) -> None:
    """Change what makes a stream train; what is not named stays."""
    values = dict(locals())
    if all(value is None for name, value in values.items() if name != "stream"):
        raise BadRequest("There is nothing to change.", "Name an option; `tidegate streams set --help` lists them.")
    if not _change("change_stream", values):
        raise UnknownStream(f'Stream "{stream}" does not exist.')
    typer.echo(f"the stream {stream} is changed")


def _change(query: str, values: dict[str, Any]) -> bool:
    from datetime import UTC, datetime

    from tidegate import schedules
    from tidegate.postgres import open_database
    from tidegate.queries import queries

    if values["schedule"]:
        values["schedule"] = " ".join(values["schedule"].split())
        schedules.next_time(values["schedule"], datetime.now(UTC))
    with open_database() as database, database.connect(autocommit=True) as connection:
        changed = connection.execute(queries[query], values).rowcount == 1
        # A keeper would do it within a second; without one, the schedule counts from now all the same.
        schedules.plan(connection)
    return changed
