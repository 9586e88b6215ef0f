"""What the tests of Feast say often: windows landed, the plain command, a history row as Feast shows it."""

from __future__ import annotations

import subprocess
from typing import Any

import psycopg

from tests.support.activity import Event, Row, insert, make_window, some_events
from tidegate import feature_store, features
from tidegate.postgres import Database

Windows = list[list[Event]]


def land(writer: psycopg.Connection[Any], windows: Windows) -> list[int]:
    """Insert, cut and materialise windows in order; return their positions."""
    positions = []
    for window in windows:
        insert(writer, window)
        positions.append(make_window(writer))
    return positions


def three_windows(seed: int) -> Windows:
    """Return windows of random events; the later ones bring late events too."""
    events = some_events(seed, 150)
    return [events[:60], events[60:110], events[110:]]


def feast(database: Database, *arguments: str) -> str:
    """Run the plain Feast command and return what it printed."""
    done = subprocess.run(
        feature_store.command(arguments),
        env=feature_store.environment(database),
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def expected_features(row: Row) -> dict[str, Any]:
    """Return a history row as Feast shows it."""
    shown = {name: row[name] for name in features.ACTIVITY if name in row}
    return shown | {"event_at": row["event_timestamp"].timestamp()}
