"""`tidegate status`: how full the streams are, what trains, what is live."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from tidegate.cli.shown import ago, lasting, say_table
from tidegate.status import Status, StreamStatus, WaitingFigures, read_status

_METRICS = ("recall@10", "ndcg@10")
STATES = ("cut", "ready", "parked", "trained", "skipped")
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
    say_parked(found)
    say_suspicious(found)
    say_rest(found)


def say_streams(found: Status) -> None:
    """Print a line for each stream, and below what holds it and when it is due."""
    say_table(
        ("stream", "waiting / threshold", "for", "windows", "oldest", "live", "since", "newest event"),
        [stream_row(stream) for stream in found.streams],
    )
    for stream in found.streams:
        for what, fact in stream_facts(stream):
            typer.echo(f"  {what:<13}{stream.stream}: {fact}")


def stream_row(stream: StreamStatus) -> tuple[str, ...]:
    """Return a stream as cells."""
    windows = "\n".join(f"{stream.windows[state]:,} {state}" for state in STATES if state in stream.windows)
    return (
        stream.stream,
        f"{stream.waiting:,} / {stream.threshold:,}",
        lasting(stream.oldest_waiting_seconds),
        windows or "none",
        lasting(stream.oldest_unfinished_seconds),
        f"version {stream.live.number} of {stream.versions}" if stream.live else "none yet",
        ago(stream.live.live_from) if stream.live else "",
        f"{stream.last_event_at:%Y-%m-%d %H:%M}" if stream.last_event_at else "none",
    )


def stream_facts(stream: StreamStatus) -> Iterator[tuple[str, str]]:
    """Yield what is worth a line of its own: what holds a stream, how new what waits is, its schedule."""
    if stream.hold:
        yield "held", stream.hold
    if figures := stream.waiting_figures:
        yield "what waits", ", ".join(waiting_parts(figures)) or "nothing to compare with yet"
    if stream.schedule_error:
        yield "unreadable", f"{stream.schedule_error} Mend it with `tidegate streams set {stream.stream} --schedule`."
    elif stream.schedule:
        due = f"{stream.next_cut_at:%Y-%m-%d %H:%M} UTC" if stream.next_cut_at else "when the keeper has planned it"
        yield "next cut", f"{due} ({stream.schedule})"


def waiting_parts(figures: WaitingFigures) -> Iterator[str]:
    """Yield how new what waits is."""
    if figures.new_item_share is not None:
        yield f"{figures.new_item_share:.0%} about new items"
    if figures.mix_drift is not None:
        yield f"a drift of {figures.mix_drift:.2f} in the mix of types"


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
            ("run", "window", "stream", "attempt", "step", "for", "heartbeat", "lease left", "worker"),
            [
                (
                    str(run.run_id),
                    str(run.window_id),
                    run.stream,
                    run.attempt,
                    run.step,
                    lasting(run.seconds),
                    f"{lasting(run.heartbeat_seconds)} ago",
                    lasting(run.lease_seconds_left),
                    run.worker,
                )
                for run in found.leases
            ],
        )


def say_parked(found: Status) -> None:
    """Print the windows that wait for an operator, and what the operator can do."""
    if found.parked:
        say_table(
            ("parked", "stream", "events", "runs", "since", "reason"),
            [(str(w.window_id), w.stream, w.n, w.runs, ago(w.parked_at), w.reason) for w in found.parked],
            caption="`tidegate windows show ID` says more; then `tidegate windows retry ID` or `skip ID`.",
        )


def say_suspicious(found: Status) -> None:
    """Print the newest windows whose figures are unusual."""
    if found.suspicious:
        say_table(
            ("suspicious", "stream", "state", "cut", "figure", "value", "usual", "z"),
            [
                (str(w.window_id), w.stream, w.state, ago(w.cut_at), w.figure, w.value, w.median, w.z)
                for w in found.suspicious
            ],
        )


def say_rest(found: Status) -> None:
    """Print what waits for the keeper and what is in quarantine."""
    typer.echo(f"  unfolded     {found.unfolded_events:,} events in {found.unfolded_batches:,} batches")
    typer.echo(f"  quarantined  {sum(found.quarantined.values()):,} events")
    for reason, n in sorted(found.quarantined.items(), key=lambda item: -item[1]):
        typer.echo(f"{n:>12,}  {reason}")
