"""What a run reads from the database, as the values that `models` understands.

All of it has a position: a run reads rows of its own position and smaller ones, those of parked windows aside,
so that it reads the same now, after a crash, and in a replay a year later. The amount is that of the window: its
events, a bounded history of its users, and a replay sample in proportion. Rows come in portions and become compact
arrays at once; nothing here is as long as a table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import groupby
from math import inf
from typing import Any, NamedTuple

import numpy as np
import psycopg
from psycopg.adapt import Buffer, Loader
from psycopg.pq import Format
from psycopg.rows import class_row

from models.timelines import Timeline, target_moments
from tidegate.families import SEQUENTIAL_RECOMMENDER, Service
from tidegate.queries import queries

# Earlier events that a run holds besides those that it learns, all users together: some tens of megabytes, however long
# history grows. Each user has an equal part of them.
HISTORY = 500_000
# No user has fewer: the tower sees the last hundred events before a moment. None has more: the repeat terms decay
# within months, and their plain counts grow with their logarithm.
LEAST, MOST = 128, 2048
BUCKETS = 1024
# Replay draws from so many earlier windows, each with a chance in proportion to its events.
REPLAY_DRAWS = 4
REPLAY_SHARE = 1 / 3  # of the window's events
PORTION = 500  # rows that are held as Python objects at a time

Numbering = Callable[[list[str]], np.ndarray]


@dataclass(frozen=True)
class Task:
    """The window to train, and the live version that training continues from."""

    window_id: int
    stream: str
    position: int
    n: int
    cut_at: float  # unix seconds
    settings: dict[str, Any]
    parent_id: int | None
    parent_hash: str | None
    parent_position: int | None
    learned_until: float | None  # unix seconds: the parent has not learned from events at or after this time
    excluded: list[int]  # positions of parked and skipped windows, smaller than its own
    service: Service = SEQUENTIAL_RECOMMENDER  # what is read of Feast
    tightened: bool = False  # whether a window that no live version has learned yet is suspicious

    @property
    def first(self) -> int:
        """Return the first position to learn from: the parent's, whose holdout is still to be learned."""
        return self.parent_position or 1

    def learned(self, row: Row) -> np.ndarray:
        """Return which events (n,) of a row the parent has learned: all before its window, and that up to its holdout.

        By position first and by time only there: a late event, or a window that was retried, is learned although
        the parent has learned what came later.
        """
        if self.parent_position is None or row.position > self.parent_position:
            return np.zeros(len(row.times), dtype=bool)
        until = inf if row.position < self.parent_position or self.learned_until is None else self.learned_until
        return row.times < until


class Record(NamedTuple):
    """A user's events in one window, as the database holds them."""

    user: str
    position: int
    items: list[str]
    types: np.ndarray  # (n,) int16
    times: np.ndarray  # (n,) float64
    values: np.ndarray  # (n,) float32


@dataclass(frozen=True)
class Row:
    """A user's events in one window, in order of time."""

    user: str
    position: int
    items: np.ndarray  # (n,) int32, as numbered
    types: np.ndarray  # (n,) int8
    times: np.ndarray  # (n,) float64
    values: np.ndarray  # (n,) float32


@dataclass(frozen=True)
class Draw:
    """Users of an earlier window, by their buckets, whose events there are learned once more."""

    position: int
    low: int
    high: int


class Items:
    """Numbers items in the order in which they are met, the model's own first."""

    def __init__(self, known: Iterable[str]) -> None:
        self.index = {item: number for number, item in enumerate(known)}

    def add(self, names: Iterable[str]) -> np.ndarray:
        """Return the numbers (n,) of items; a new one gets the next."""
        index = self.index
        return np.array([index.setdefault(name, len(index)) for name in names], dtype=np.int32)

    def find(self, names: Iterable[str]) -> np.ndarray:
        """Return the numbers (n,) of items, -1 for one that is not known."""
        return np.array([self.index.get(name, -1) for name in names], dtype=np.int32)


class ReadHashes:
    """Names what was read, window by window, so that a replay can say what has changed."""

    def __init__(self, first: int) -> None:
        self.first = first  # what is earlier is history, under one name: there is no end to it
        self.found: defaultdict[str, Any] = defaultdict(sha256)

    def noting(self, records: Iterable[Record], name: str | None = None) -> Iterator[Record]:
        """Hand the records on; note them under `name`, or else under their window's position."""
        for record in records:
            chosen = name or (str(record.position) if record.position >= self.first else "history")
            names = "\0".join((record.user, str(record.position), *record.items)).encode()
            self.note(chosen, names, record.types, record.times, record.values)
            yield record

    def note(self, name: str, *parts: bytes | np.ndarray) -> None:
        """Add bytes to what has a name."""
        for part in parts:
            self.found[name].update(part)

    def named(self) -> dict[str, str]:
        """Return the hashes so far, in hexadecimal."""
        return {name: found.hexdigest() for name, found in self.found.items()}


class ArrayLoader(Loader):
    """Reads an array of numbers without nulls, in PostgreSQL's binary form, into numpy: no Python number is made."""

    format = Format.BINARY
    element: np.dtype[Any]
    entry: np.dtype[Any]

    def __init_subclass__(cls) -> None:
        cls.entry = np.dtype([("length", ">i4"), ("value", cls.element)])

    def load(self, data: Buffer) -> np.ndarray:
        """Return the array (n,) in the machine's own byte order."""
        dimensions = int.from_bytes(bytes(data[:4]), "big")
        entries = np.frombuffer(data, self.entry, offset=20 if dimensions else 12)
        return entries["value"].astype(self.element.newbyteorder("="))


class Int2Array(ArrayLoader):
    """Reads smallint[]."""

    element = np.dtype(">i2")


class Float4Array(ArrayLoader):
    """Reads real[]."""

    element = np.dtype(">f4")


class Float8Array(ArrayLoader):
    """Reads double precision[]."""

    element = np.dtype(">f8")


LOADERS = {"int2": Int2Array, "float4": Float4Array, "float8": Float8Array}


def read_task(connection: psycopg.Connection[Any], window_id: int) -> Task:
    """Return the window and its parent."""
    with connection.cursor(row_factory=class_row(Task)) as cursor:
        task = cursor.execute(queries["window_to_train"], {"window": window_id}).fetchone()
    assert task is not None
    return task


def records(connection: psycopg.Connection[Any], query: str, values: Mapping[str, Any]) -> Iterator[Record]:
    """Yield what a query finds, PORTION rows at a time."""
    with connection.transaction(), connection.cursor("records") as cursor:
        for name, loader in LOADERS.items():
            cursor.adapters.register_loader(psycopg.adapters.types[name].array_oid, loader)
        cursor.itersize = PORTION
        cursor.execute(queries[query], values, binary=True)
        for row in cursor:
            yield Record(*row)


def numbered(found: Iterable[Record], number: Numbering) -> Iterator[Row]:
    """Yield rows with their items as numbers; events of an item that has none are left out."""
    for record in found:
        items = number(record.items)
        parts = (items, record.types.astype(np.int8), record.times, record.values)
        if len(items) and items.min() < 0:
            parts = tuple(part[items >= 0] for part in parts)  # type: ignore[assignment]
        yield Row(record.user, record.position, *parts)


def read_timelines(
    connection: psycopg.Connection[Any], task: Task, number: Numbering, hashes: ReadHashes
) -> tuple[list[Timeline], np.ndarray]:
    """Return the timelines of users with events since the parent's window, and the window's own times, sorted.

    Targets are the events that the parent has not learned, early or late.
    """
    own: list[np.ndarray] = [np.zeros(0)]

    def noting(rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            if row.position == task.position:
                own.append(row.times)
            yield row

    found = hashes.noting(records(connection, "timelines", spanning(task, task.first, task.position)))
    made = list(timelines(noting(numbered(found, number)), task.learned))
    return made, np.sort(np.concatenate(own))


def spanning(
    task: Task, first: int, last: int, low: int = 0, high: int = BUCKETS - 1, share: float = 1.0
) -> dict[str, Any]:
    """Return the parameters that ask for users with events at positions first..last and in buckets low..high."""
    return {
        "stream": task.stream,
        "first": first,
        "last": last,
        "excluded": task.excluded,
        "low": low,
        "high": high,
        "least": LEAST,
        "most": MOST,
        "history": int(HISTORY * share),
    }


def timelines(rows: Iterable[Row], learned: Callable[[Row], np.ndarray] | None = None) -> Iterator[Timeline]:
    """Yield a timeline for each user, `rows` being user by user; every moment is a target but those all learned."""
    for user, parts in groupby(rows, key=lambda row: row.user):
        yield timeline(user, list(parts), learned)


def timeline(user: str, rows: Sequence[Row], learned: Callable[[Row], np.ndarray] | None = None) -> Timeline:
    """Join a user's rows in order of time; events of one time keep the order of their windows."""
    times = np.concatenate([row.times for row in rows])
    order = np.argsort(times, kind="stable")
    return Timeline(
        user=user,
        items=np.concatenate([row.items for row in rows])[order],
        types=np.concatenate([row.types for row in rows])[order],
        times=times[order],
        values=np.concatenate([row.values for row in rows])[order],
        learned=np.concatenate([learned(row) for row in rows])[order] if learned else None,
    )


def draws(connection: psycopg.Connection[Any], task: Task, seed: int) -> list[Draw]:
    """Choose a sample of earlier windows, about REPLAY_SHARE of this window's events.

    Users are drawn by their hash and not by their events, so that those who are rarely here are replayed as
    often as the others: they are forgotten first.
    """
    asked = {"stream": task.stream, "position": task.position, "excluded": task.excluded}
    earlier = connection.execute(queries["earlier_windows"], asked).fetchall()
    if not earlier:
        return []
    random = np.random.default_rng(seed)
    sizes = np.array([n for _, n in earlier], dtype=np.float64)
    drawn = random.choice(len(earlier), size=REPLAY_DRAWS, p=sizes / sizes.sum())
    return [draw(earlier[number][0], earlier[number][1], task.n, random) for number in drawn]


def draw(position: int, size: int, n: int, random: np.random.Generator) -> Draw:
    """Draw buckets of a window of `size` events, as many as make their share for a window of `n`."""
    width = int(np.clip(round(n * REPLAY_SHARE / REPLAY_DRAWS / size * BUCKETS), 1, BUCKETS))
    low = int(random.integers(BUCKETS - width + 1))
    return Draw(position, low, low + width - 1)


def read_draw(
    connection: psycopg.Connection[Any], task: Task, drawn: Draw, number: Numbering, hashes: ReadHashes
) -> Iterator[Timeline]:
    """Yield the drawn users' timelines as of the earlier window; its events are the targets."""
    share = REPLAY_SHARE / REPLAY_DRAWS
    asked = spanning(task, drawn.position, drawn.position, drawn.low, drawn.high, share)
    found = hashes.noting(records(connection, "timelines", asked), "replay")
    for user, parts in groupby(numbered(found, number), key=lambda row: row.user):
        rows = list(parts)
        begins = min((row.times[0] for row in rows if row.position == drawn.position and len(row.times)), default=inf)
        yield narrow(timeline(user, rows), learn_from=float(begins))


def read_histories(
    connection: psycopg.Connection[Any], task: Task, users: list[str], limit: int, number: Numbering
) -> list[Timeline]:
    """Return the newest events of these users up to the task's position, about `limit` each."""
    asked = {"stream": task.stream, "users": users, "last": task.position, "limit": limit, "excluded": task.excluded}
    return list(timelines(numbered(records(connection, "histories", asked), number)))


def active_users(connection: psycopg.Connection[Any], task: Task, limit: int) -> list[str]:
    """Return the most recently active users, at most `limit`."""
    asked = {"stream": task.stream, "last": task.position, "limit": limit, "excluded": task.excluded}
    return [user for (user,) in connection.execute(queries["active_users"], asked).fetchall()]


def narrow(timeline: Timeline, learn_from: float = -inf, learn_until: float = inf) -> Timeline:
    """Return the timeline with only the target moments in [learn_from, learn_until), and their profiles."""
    learn_from, learn_until = max(learn_from, timeline.learn_from), min(learn_until, timeline.learn_until)
    profiles = timeline.profiles
    if profiles is not None:
        times = timeline.times[target_moments(timeline)]
        profiles = profiles[(times >= learn_from) & (times < learn_until)]
    return replace(timeline, learn_from=learn_from, learn_until=learn_until, profiles=profiles)
