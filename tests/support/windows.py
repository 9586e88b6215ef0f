"""Windows, and runs on them, without any worker."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import psycopg

from tests.support.activity import make_window
from tests.support.learning import one
from tidegate.gate import Verdict
from tidegate.versions import Followers, Publication, Vectors
from tidegate.windows import Run, claim

LEASE = timedelta(seconds=60)
EVENT = "insert into ingest.behaviour_events (stream, user_id, item_id, event_type) values (%s, %s, 'tea', 'view')"


def cut_window(connection: psycopg.Connection[Any], stream: str = "default", user: str = "ann") -> int:
    """Insert an event and cut it; return the window."""
    connection.execute(EVENT.encode(), [stream, user])
    return int(one(connection, "select learning.cut_window(%s, null, true)", [stream]))


def ready_window(connection: psycopg.Connection[Any], stream: str = "default") -> int:
    """Insert an event, cut and materialise it; return the window."""
    connection.execute(EVENT.encode(), [stream, "ann"])
    position = make_window(connection, stream)
    return int(one(connection, "select window_id from learning.windows where position = %s", [position]))


def claimed(connection: psycopg.Connection[Any], stream: str = "default", lease: timedelta = LEASE) -> Run:
    """Claim the stream's next window."""
    run = claim(connection, stream, "a test", lease)
    assert run is not None
    return run


def silence(connection: psycopg.Connection[Any], run: Run) -> None:
    """Let a run's lease end, as if its holder had said nothing for long and the server had been up all the time."""
    connection.execute(
        "update learning.runs set lease_until = pg_postmaster_start_time() - interval '1 second',"
        " heartbeat_at = pg_postmaster_start_time() - interval '1 second' where run_id = %s",
        [run.run_id],
    )


def publication(run: Run, weights: bytes = b"weights", stream: str = "default") -> Publication:
    """Return a version with no vectors, refused by the gate."""
    nothing = Vectors((), np.zeros((0, 2)))
    return Publication(
        run=run,
        stream=stream,
        parent_id=None,
        weights=weights,
        scoring={},
        manifest={},
        text_hashes=b"",
        verdict=Verdict("refuse", "a test"),
        evaluations=(),
        items=nothing,
        followers=Followers.unknown(0),
        users=nothing,
        seen_until=np.zeros(0),
    )


def state_of(connection: psycopg.Connection[Any], window: int) -> str:
    """Return a window's state."""
    return str(one(connection, "select state from learning.windows where window_id = %s", [window]))


def sent(connection: psycopg.Connection[Any], queue: str) -> int:
    """Return how many tasks a queue holds."""
    return int(one(connection, f"select count(*) from pgmq.q_{queue}"))
