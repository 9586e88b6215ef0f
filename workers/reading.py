"""What a run reads from the database, as the values that `models` understands.

All of it has a position: a run reads rows of its own position and smaller ones, so that it reads the same
now, after a crash, and in a replay a year later. The amount is that of the window: its events, a bounded
history of its users, and a replay sample in proportion.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import groupby
from math import inf
from typing import Any

import numpy as np
import psycopg
from psycopg.rows import class_row

from models.text import TextEncoder
from models.timelines import Catalogue, Timeline, target_moments
from tidegate.queries import queries

# Events of a user that a run knows: about a year of a busy shopper, and a few hundred kilobytes a thousand
# users.
HISTORY = 2048
BUCKETS = 1024
# Replay draws from so many earlier windows, each with a chance in proportion to its events.
REPLAY_DRAWS = 4
REPLAY_SHARE = 1 / 3  # of the window's events
EMBEDDING = np.dtype("<f4")


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
    parent_number: int | None
    parent_position: int | None
    learned_until: float | None  # unix seconds: the parent has not learned from events at or after this time


@dataclass(frozen=True)
class Row:
    """A user's events in one window."""

    user: str
    position: int
    items: list[str]
    types: list[int]
    times: list[float]
    values: list[float]


def read_task(connection: psycopg.Connection[Any], window_id: int) -> Task:
    """Return the window and its parent."""
    with connection.cursor(row_factory=class_row(Task)) as cursor:
        task = cursor.execute(queries["window_to_train"], {"window": window_id}).fetchone()
    assert task is not None
    return task


def read_rows(
    connection: psycopg.Connection[Any],
    stream: str,
    first: int,
    last: int,
    buckets: tuple[int, int] = (0, BUCKETS - 1),
) -> list[Row]:
    """Return the rows of users with events at positions first..last, with their histories, by user."""
    with connection.cursor(binary=True) as cursor:
        cursor.execute(
            queries["timelines"],
            {
                "stream": stream,
                "first": first,
                "last": last,
                "low": buckets[0],
                "high": buckets[1],
                "limit": HISTORY,
            },
        )
        return [Row(*row) for row in cursor]


def timelines(rows: Iterable[Row], index: dict[str, int]) -> list[Timeline]:
    """Return a timeline for each user, `rows` being user by user; every moment of it is a target."""
    return [timeline(user, list(parts), index) for user, parts in groupby(rows, key=lambda row: row.user)]


def timeline(user: str, rows: Sequence[Row], index: dict[str, int]) -> Timeline:
    """Join a user's rows in order of time; events of one time keep the order of their windows."""
    times = np.concatenate([np.asarray(row.times, dtype=np.float64) for row in rows])
    order = np.argsort(times, kind="stable")
    return Timeline(
        user=user,
        items=np.array([index[item] for row in rows for item in row.items], dtype=np.int64)[order],
        types=np.concatenate([np.asarray(row.types, dtype=np.int8) for row in rows])[order],
        times=times[order],
        values=np.concatenate([np.asarray(row.values, dtype=np.float32) for row in rows])[order],
    )


def first_times(rows: Iterable[Row], position: int) -> dict[str, float]:
    """Return when each user's events at a position begin, in unix seconds."""
    return {row.user: row.times[0] for row in rows if row.position == position}


def read_replay(connection: psycopg.Connection[Any], task: Task, index: dict[str, int], seed: int) -> list[Timeline]:
    """Return a sample of earlier windows, about REPLAY_SHARE of this window's events.

    Users are drawn by their hash and not by their events, so that those who are rarely here are replayed as
    often as the others: they are forgotten first.
    """
    earlier = connection.execute(
        queries["earlier_windows"], {"stream": task.stream, "position": task.position}
    ).fetchall()
    if not earlier:
        return []
    random = np.random.default_rng(seed)
    sizes = np.array([n for _, n in earlier], dtype=np.float64)
    drawn = random.choice(len(earlier), size=REPLAY_DRAWS, p=sizes / sizes.sum())
    found: list[Timeline] = []
    for number in drawn:
        position, n = earlier[number]
        share = task.n * REPLAY_SHARE / REPLAY_DRAWS / n
        width = int(np.clip(round(share * BUCKETS), 1, BUCKETS))
        low = int(random.integers(BUCKETS - width + 1))
        rows = read_rows(connection, task.stream, position, position, (low, low + width - 1))
        begins = first_times(rows, position)
        found += [narrow(t, learn_from=begins[t.user]) for t in timelines(rows, index)]
    return found


def read_histories(connection: psycopg.Connection[Any], task: Task, users: list[str], limit: int) -> list[Row]:
    """Return the newest rows of these users up to the task's position, about `limit` events each."""
    with connection.cursor(binary=True) as cursor:
        cursor.execute(
            queries["histories"],
            {"stream": task.stream, "users": users, "last": task.position, "limit": limit},
        )
        return [Row(*row) for row in cursor]


def items_of(rows: Iterable[Row]) -> set[str]:
    """Return the items of the rows."""
    return {item for row in rows for item in row.items}


def read_catalogue(
    connection: psycopg.Connection[Any],
    encoder: TextEncoder,
    task: Task,
    known: tuple[str, ...],
    needed: set[str],
) -> Catalogue:
    """Return the parent's items first, then what was there at the cut, then what only events know."""
    texts = dict(connection.execute(queries["catalogue"], {"cut_at": task.cut_at}).fetchall())
    listed = list(dict.fromkeys([*known, *texts, *sorted(needed)]))
    return Catalogue(tuple(listed), embed(connection, encoder, [texts.get(item, "") for item in listed]))


def embed(connection: psycopg.Connection[Any], encoder: TextEncoder, texts: Sequence[str]) -> np.ndarray:
    """Return the embeddings (n, E) of texts; each is encoded once and kept, an empty one is zeros."""
    hashes = {text: sha256(text.encode()).digest() for text in set(texts) if text}
    found = {
        bytes(key): np.frombuffer(value, EMBEDDING)
        for key, value in connection.execute(
            queries["cached_embeddings"],
            {"encoder": encoder.identity, "hashes": list(hashes.values())},
            binary=True,
        )
    }
    missing = sorted(text for text, key in hashes.items() if key not in found)
    if missing:
        vectors = np.ascontiguousarray(encoder.encode(missing), dtype=EMBEDDING)
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(
                queries["insert_embedding"],
                [(encoder.identity, hashes[t], v.tobytes()) for t, v in zip(missing, vectors, strict=True)],
            )
        found |= {hashes[t]: v for t, v in zip(missing, vectors, strict=True)}
    zero = np.zeros(encoder.dimensions, EMBEDDING)
    return np.stack([found[hashes[text]] if text else zero for text in texts])


def active_users(connection: psycopg.Connection[Any], task: Task, limit: int) -> list[str]:
    """Return the most recently active users, at most `limit`."""
    rows = connection.execute(
        queries["active_users"], {"stream": task.stream, "last": task.position, "limit": limit}
    ).fetchall()
    return [user for (user,) in rows]


def narrow(timeline: Timeline, learn_from: float = -inf, learn_until: float = inf) -> Timeline:
    """Return the timeline with only the target moments in [learn_from, learn_until), and their profiles."""
    learn_from, learn_until = max(learn_from, timeline.learn_from), min(learn_until, timeline.learn_until)
    profiles = timeline.profiles
    if profiles is not None:
        times = timeline.times[target_moments(timeline)]
        profiles = profiles[(times >= learn_from) & (times < learn_until)]
    return replace(timeline, learn_from=learn_from, learn_until=learn_until, profiles=profiles)
