"""What an operator asks: how full each stream is, what trains, what is live and how well it does.

Everything comes from one SQL snapshot, so that its figures fit together.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
from pydantic import BaseModel, ConfigDict, Field

from tidegate import schedules
from tidegate.queries import queries


class Frozen(BaseModel):
    """A value that does not change."""

    model_config = ConfigDict(frozen=True)


class LiveVersion(Frozen):
    """The version that answers for a stream."""

    version_id: int
    number: int = Field(description="1, 2, 3 … within the stream.")
    live_from: datetime
    reason: str = Field(description="Why it was made live.")


class WaitingFigures(Frozen):
    """How new the newest waiting events are; there are none while less than 500 wait."""

    sampled: int = Field(description="Events that were looked at.")
    new_item_share: float | None = Field(description="Share about items that are new; null before the first version.")
    mix_drift: float | None = Field(description="Distance of the mix of event types from the last windows', 0 to 1.")


class StreamStatus(Frozen):
    """One stream: what waits, what trains, what is live."""

    stream: str
    waiting: int = Field(description="Events that no window owns yet.")
    threshold: int = Field(description="New events that make a window.")
    max_age_seconds: float | None = Field(description="Age at which a window is cut although it is not full.")
    oldest_waiting_seconds: float | None = Field(description="Age of the oldest event that no window owns.")
    hold: str | None = Field(description="Why no window is cut now, with the figures; null: nothing holds it.")
    schedule: str | None = Field(description="Cron, in UTC.")
    next_cut_at: datetime | None = Field(description="When the schedule is due next.")
    schedule_error: str | None = Field(description="Why the schedule cannot be read; null where it can.")
    waiting_figures: WaitingFigures | None = Field(description="Null where neither is a reason to cut or too few wait.")
    repeats: bool = Field(description="Whether an item that a user has had may be recommended again.")
    windows: dict[str, int] = Field(description="Windows by state: cut, ready, trained, parked, skipped.")
    oldest_unfinished_seconds: float | None = Field(description="Age of the oldest window that is not finished.")
    last_event_at: datetime | None = Field(description="The stream's present: the time of its newest folded event.")
    live: LiveVersion | None = Field(description="Null before the first version.")
    versions: int = Field(description="Versions that a gate has judged.")
    metrics: dict[str, dict[str, float]] = Field(
        description="Last window's figures before training on it: of live, popularity and frequency."
    )


class ParkedWindow(Frozen):
    """A window that waits for an operator."""

    window_id: int
    stream: str
    n: int = Field(description="Its events.")
    runs: int = Field(description="Attempts to train on it.")
    parked_at: datetime
    reason: str


class SuspiciousWindow(Frozen):
    """A window whose figures are unusual, and the most unusual of them."""

    window_id: int
    stream: str
    state: str
    cut_at: datetime
    figure: str | None
    value: float | None
    median: float | None = Field(description="What was usual.")
    z: float | None = Field(description="Robust z-score.")


class Lease(Frozen):
    """A run that is under way."""

    run_id: int
    window_id: int
    stream: str
    attempt: int
    worker: str
    step: str = Field(description="claimed, read, score, fit, judge, export or publish.")
    heartbeat_seconds: float = Field(description="How long ago it last said that it lives.")
    seconds: float = Field(description="How long it has run.")
    lease_seconds_left: float = Field(description="Silence that it may still keep before another attempt takes over.")


class Status(Frozen):
    """The whole system at one moment."""

    streams: tuple[StreamStatus, ...]
    unfolded_batches: int = Field(description="Batches that the keeper has not folded into the live features.")
    unfolded_events: int = Field(description="Events in those batches; reads merge them, so nothing is stale.")
    quarantined: dict[str, int] = Field(description="Quarantined events by reason.")
    parked: tuple[ParkedWindow, ...] = Field(description="The newest 20.")
    suspicious: tuple[SuspiciousWindow, ...] = Field(description="The newest 5, whatever became of them.")
    leases: tuple[Lease, ...]


def read_status(connection: psycopg.Connection[Any]) -> Status:
    """Return the status of the whole system as of one snapshot."""
    row = connection.execute(queries["status"]).fetchone()
    assert row is not None
    found: dict[str, Any] = row[0]
    for stream in found["streams"]:
        stream["schedule_error"] = schedules.flaw(stream["schedule"])
    return Status.model_validate(found)
