"""`tidegate status`: how full the streams are, what trains, what is live."""

from __future__ import annotations

from typing import Annotated

import typer

from tidegate.cli.shown import ago, lasting, say_table
from tidegate.status import Status, StreamStatus, read_status

_METRICS = ("recall@10", "ndcg@10")
_SUBJECTS = ("live", "popularity", "frequency")


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show streams, windows, versions, quarantine and leases."""
    from tidegate.postgres import open_database

    with open_database() as database, database.connect() as connection:
        found = read_status(connection)
    if as_json:
        typer.echo(found.model_dump_json())
        return
    say_streams(found)
    say_figures(found)
    say_leases(found)
    say_rest(found)


def say_streams(found: Status) -> None:
    """Print a line for each stream."""
    say_table(
        ("stream", "waiting / threshold", "windows", "oldest unfinished", "live", "since", "newest event"),
        [stream_row(stream) for stream in found.streams],
    )


def stream_row(stream: StreamStatus) -> tuple[str, ...]:
    """Return a stream as cells."""
    windows = ", ".join(f"{n:,} {state}" for state, n in sorted(stream.windows.items()))
    return (
        stream.stream,
        f"{stream.waiting:,} / {stream.threshold:,}",
        windows or "none",
        lasting(stream.oldest_unfinished_seconds),
        f"version {stream.live.number} of {stream.versions}" if stream.live else "none yet",
        ago(stream.live.live_from) if stream.live else "",
        f"{stream.last_event_at:%Y-%m-%d %H:%M}" if stream.last_event_at else "none",
    )


def say_figures(found: Status) -> None:
    """Print how well the live version did on the last window, before it was trained on."""
    rows = [
        (stream.stream, subject, *(stream.metrics[subject].get(metric) for metric in _METRICS))
        for stream in found.streams
        for subject in _SUBJECTS
        if subject in stream.metrics
    ]
    if rows:
        say_table(("stream", "on the last window", *_METRICS), rows)


def say_leases(found: Status) -> None:
    """Print the runs that are under way."""
    if found.leases:
        say_table(
            ("run", "window", "attempt", "worker", "for", "lease left"),
            [
                (
                    run.run_id,
                    run.window_id,
                    run.attempt,
                    run.worker,
                    lasting(run.seconds),
                    lasting(run.lease_seconds_left),
                )
                for run in found.leases
            ],
        )


def say_rest(found: Status) -> None:
    """Print what waits for the keeper and what is in quarantine."""
    typer.echo(f"  unfolded     {found.unfolded_events:,} events in {found.unfolded_batches:,} batches")
    typer.echo(f"  quarantined  {sum(found.quarantined.values()):,} events")
    for reason, n in sorted(found.quarantined.items(), key=lambda item: -item[1]):
        typer.echo(f"{n:>12,}  {reason}")
