"""Behaviour made up at random, and what its features must be, computed the slow and obvious way."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

START = datetime(2025, 3, 1, tzinfo=UTC)
DAY = 86_400.0
HALF_LIVES = {"decayed_day": DAY, "decayed_week": 7 * DAY, "decayed_month": 30 * DAY}
TYPES = ("view", "click", "cart", "purchase", "rating")
INSERT = (
    "insert into ingest.behaviour_events (stream, user_id, item_id, event_type, value, occurred_at)"
    " values (%s, %s, %s, %s, %s, %s)"
)

Row = dict[str, Any]


@dataclass(frozen=True)
class Event:
    """One behaviour event as a client sends it."""

    user_id: str
    item_id: str
    event_type: str
    value: float | None
    occurred_at: datetime
    stream: str = "default"


def some_events(seed: int, n: int, users: int = 5, items: int = 8, days: int = 40) -> list[Event]:
    """Return events in no order of time, many at the same times: baskets and late arrivals are the rule."""
    chance = random.Random(seed)
    return [an_event(chance, users, items, days) for _ in range(n)]


def an_event(chance: random.Random, users: int, items: int, days: int) -> Event:
    """Return an event at a whole number of six hours, or at any microsecond."""
    kind = chance.choice(TYPES)
    value = chance.uniform(1, 5) if kind in ("purchase", "rating") else None
    coarse = chance.random() < 0.7
    after = timedelta(hours=6 * chance.randrange(days * 4)) if coarse else timedelta(days=days * chance.random())
    return Event(f"user-{chance.randrange(users)}", f"item-{chance.randrange(items)}", kind, value, START + after)


def insert(connection: psycopg.Connection[Any], events: Iterable[Event]) -> None:
    """Insert events, a statement each."""
    with connection.cursor() as cursor:
        cursor.executemany(
            INSERT, [(e.stream, e.user_id, e.item_id, e.event_type, e.value, e.occurred_at) for e in events]
        )


def fold(connection: psycopg.Connection[Any]) -> int:
    """Fold as the keeper does; return the number of events."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        connection.execute("select ingest.note_batches()")
        row = connection.execute("select features.fold()").fetchone()
    return int(row[0]) if row else 0


def make_window(connection: psycopg.Connection[Any], stream: str = "default") -> int:
    """Cut what the ledger holds and materialise it; return the window's position."""
    cut = connection.execute("select learning.cut_window(%s, null, true)", (stream,)).fetchone()
    assert cut is not None
    connection.execute("select features.materialise_window(%s)", (cut[0],))
    row = connection.execute("select position from learning.windows where window_id = %s", (cut[0],)).fetchone()
    assert row is not None
    return int(row[0])


def activity(events: list[Event], as_of: datetime) -> Row:
    """Return the features of some events, seen at a time that is no earlier than any of them."""
    kinds = Counter(event.event_type for event in events)
    counts = {"n_events": len(events), **{f"n_{kind}": kinds[kind] for kind in TYPES}}
    decayed = {name: sum(decay(as_of - e.occurred_at, half) for e in events) for name, half in HALF_LIVES.items()}
    sums = {"spend": total(events, "purchase"), "rating_sum": total(events, "rating")}
    return counts | decayed | sums | {"first_event_at": min(e.occurred_at for e in events)}


def decay(elapsed: timedelta, half_life: float) -> float:
    """Return what is left of a count."""
    return 2.0 ** -(elapsed.total_seconds() / half_life)


def total(events: list[Event], kind: str) -> float:
    """Return the sum of the values of one type."""
    return sum(event.value or 0.0 for event in events if event.event_type == kind)


def user_history(windows: list[list[Event]], user: str) -> list[Row]:
    """Return the rows of a user's history: one after each moment, late events at the newest row."""
    return history([[e for e in window if e.user_id == user] for window in windows], lambda e, _: e.occurred_at)


def item_history(windows: list[list[Event]], item: str) -> list[Row]:
    """Return the rows of an item's history: one at the last event of each day."""
    return history([[e for e in window if e.item_id == item] for window in windows], last_of_its_day)


def pair_history(windows: list[list[Event]], user: str, item: str) -> list[Row]:
    """Return the rows of a pair's history: one after each moment, late events at the newest row."""
    of_pair = [[e for e in window if (e.user_id, e.item_id) == (user, item)] for window in windows]
    return history(of_pair, lambda e, _: e.occurred_at)


def last_of_its_day(event: Event, window: list[Event]) -> datetime:
    """Return the time of the window's last event on the event's day."""
    return max(e.occurred_at for e in window if e.occurred_at.date() == event.occurred_at.date())


def history(windows: list[list[Event]], moment: Callable[[Event, list[Event]], datetime]) -> list[Row]:
    """Return a history's rows in the order in which they came to be."""
    rows: list[Row] = []
    known: list[Event] = []
    for position, window in enumerate(windows, start=1):
        newest = rows[-1]["event_timestamp"] if rows else datetime.min.replace(tzinfo=UTC)
        times = {event: max(newest, moment(event, window)) for event in window}
        for at in sorted(set(times.values())):
            seen = known + [event for event in window if times[event] <= at]
            rows.append({"event_timestamp": at, "position": position} | activity(seen, at))
        known = known + window
    return rows
