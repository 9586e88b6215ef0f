"""What an operator asks: how full each stream is, what trains, what is live and how well it does.

Everything comes from one SQL snapshot, so that its figures fit together.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
from pydantic import BaseModel, ConfigDict, Field

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


class StreamStatus(Frozen):
    """One stream: what waits, what trains, what is live."""

    stream: str
    waiting: int = Field(description="Events that no window owns yet.")
    threshold: int = Field(description="New events that make a window.")
    max_age_seconds: float | None = Field(description="Age at which a window is cut although it is not full.")
    repeats: bool = Field(description="Whether an item that a user has had may be recommended again.")
    windows: dict[str, int] = Field(description="Windows by state: cut, ready, trained, parked.")
    oldest_unfinished_seconds: float | None = Field(description="Age of the oldest window that is not finished.")
    last_event_at: datetime | None = Field(description="The stream's present: the time of its newest folded event.")
    live: LiveVersion | None = Field(description="Null before the first version.")
    versions: int = Field(description="Versions that a gate has judged.")
    metrics: dict[str, dict[str, float]] = Field(
        description="Last window's figures before training on it: of live, popularity and frequency."
    )


class Lease(Frozen):
    """A run that is under way."""

    run_id: int
    window_id: int
    attempt: int
    worker: str
    seconds: float = Field(description="How long it has run.")
    lease_seconds_left: float = Field(description="Silence that it may still keep before another attempt takes over.")


class Status(Frozen):
    """The whole system at one moment."""

    streams: tuple[StreamStatus, ...]
    unfolded_batches: int = Field(description="Batches that the keeper has not folded into the live features.")
    unfolded_events: int = Field(description="Events in those batches; reads merge them, so nothing is stale.")
    quarantined: dict[str, int] = Field(description="Quarantined events by reason.")
    leases: tuple[Lease, ...]


def read_status(connection: psycopg.Connection[Any]) -> Status:
    """Return the status of the whole system as of one snapshot."""
    row = connection.execute(queries["status"]).fetchone()
    assert row is not None
    return Status.model_validate(row[0])
