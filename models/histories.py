"""Timelines laid end to end, and the moments at which a score is asked for.

One flat array an attribute lets numpy work on all users at once; a query is then no more than a position in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from models.errors import TimelineError, UnknownItem
from models.timelines import PROFILE, Timeline, target_moments


@dataclass(frozen=True)
class Histories:
    """Hold the events of all users, one user after the other."""

    items: np.ndarray  # (E,) int32: histories are what a fit holds most of, and nothing here needs more
    types: np.ndarray  # (E,) int8
    times: np.ndarray  # (E,) float64, unix seconds
    owner: np.ndarray  # (E,) int32, which user an event belongs to
    bounds: np.ndarray  # (U + 1,) int64, user u owns events bounds[u]:bounds[u + 1]
    users: tuple[str, ...]


@dataclass(frozen=True)
class Queries:
    """Hold the moments to be scored, ordered by user and then by time.

    The history of query q is events bounds[user]:start; what is to be found is events start:stop, so nothing that
    shares the moment's time is ever seen.
    """

    histories: Histories
    user: np.ndarray  # (Q,) int64
    start: np.ndarray  # (Q,) int64
    stop: np.ndarray  # (Q,) int64, equal to start where nothing is to be found (serving)
    time: np.ndarray  # (Q,) float64, unix seconds
    profile: np.ndarray  # (Q, len(PROFILE)) float32, NaN = unknown

    def __len__(self) -> int:
        return len(self.user)

    def __getitem__(self, chosen: np.ndarray) -> "Queries":
        """Keep the chosen queries, given as a mask or as increasing indices."""
        return Queries(
            self.histories,
            self.user[chosen],
            self.start[chosen],
            self.stop[chosen],
            self.time[chosen],
            self.profile[chosen],
        )

    @property
    def first(self) -> np.ndarray:
        """Return the position (Q,) of the first event of each query's user."""
        return self.histories.bounds[self.user]

    def targets(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (query (M,), item (M,)) of every event to be found, in the order of the queries."""
        query, event = self.target_events()
        return query, self.histories.items[event]

    def target_events(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (query (M,), position (M,)) of every event to be found, in the order of the queries."""
        return spans(self.start, self.stop)


def spans(lows: np.ndarray, highs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Write out the ranges lows[k]:highs[k]; return the k (M,) and the member (M,) of each entry."""
    sizes = np.maximum(highs - lows, 0)
    owner = np.repeat(np.arange(len(lows)), sizes)
    before = np.cumsum(sizes) - sizes
    return owner, np.arange(sizes.sum()) - np.repeat(before - lows, sizes)


def lay_out(timelines: Sequence[Timeline]) -> Histories:
    """Lay the timelines end to end."""
    sizes = np.array([len(timeline) for timeline in timelines], dtype=np.int64)
    return Histories(
        items=_joined([t.items for t in timelines], np.int32),
        types=_joined([t.types for t in timelines], np.int8),
        times=_joined([t.times for t in timelines], np.float64),
        owner=np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
        bounds=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        users=tuple(t.user for t in timelines),
    )


def target_queries(timelines: Sequence[Timeline]) -> Queries:
    """Return one query for each target moment of the timelines.

    Raises TimelineError when a timeline's profiles do not have one row for each of its target moments.
    """
    histories = lay_out(timelines)
    starts = [target_moments(timeline) for timeline in timelines]
    start = _joined([s + b for s, b in zip(starts, histories.bounds, strict=False)], np.int64)
    user = np.repeat(np.arange(len(starts)), [len(s) for s in starts])
    every = np.flatnonzero(begins_moment(histories))
    following = np.append(every, len(histories.times))[np.searchsorted(every, start, side="right")]
    return Queries(
        histories,
        user=user,
        start=start,
        stop=following,
        time=histories.times[start],
        profile=_joined(
            [_profile(t, len(s)) for t, s in zip(timelines, starts, strict=True)], np.float32, len(PROFILE)
        ),
    )


def queries_at(timelines: Sequence[Timeline], at: float | None = None, profiles: np.ndarray | None = None) -> Queries:
    """Return one query for each timeline, at the moment `at` (unix seconds) or after all of its events.

    `profiles` is (U, len(PROFILE)), NaN = unknown. Without `at`, a query's time is that of the user's last event.
    """
    histories = lay_out(timelines)
    moment = inf if at is None else at
    seen = np.array([np.searchsorted(t.times, moment) for t in timelines], dtype=np.int64)
    start = histories.bounds[:-1] + seen
    last = np.array([t.times[-1] if len(t) else 0.0 for t in timelines])
    unknown = np.full((len(timelines), len(PROFILE)), np.nan, dtype=np.float32)
    return Queries(
        histories,
        user=np.arange(len(timelines)),
        start=start,
        stop=start,
        time=last if at is None else np.full(len(timelines), at),
        profile=unknown if profiles is None else np.asarray(profiles, dtype=np.float32),
    )


def recent(queries: Queries, limit: int) -> Queries:
    """Keep the latest queries that together have at most `limit` events to be found, and at least one query."""
    order = np.argsort(-queries.time, kind="stable")
    total = np.cumsum((queries.stop - queries.start)[order])
    return queries[np.sort(order[: max(1, int(np.searchsorted(total, limit, side="right")))])]


def check_items(histories: Histories, size: int) -> None:
    """Raise UnknownItem where an event points beyond a catalogue of `size` items."""
    if len(histories.items) and not 0 <= histories.items.min() <= histories.items.max() < size:
        worst = int(histories.items.max())
        raise UnknownItem(f"item {worst} is outside a catalogue of {size}; grow the model with the new catalogue first")


def _joined(parts: list[np.ndarray], dtype: type, width: int | None = None) -> np.ndarray:
    empty: np.ndarray = np.zeros((0,) if width is None else (0, width), dtype=dtype)
    return np.concatenate([empty, *parts], dtype=dtype, casting="same_kind")


def begins_moment(histories: Histories) -> np.ndarray:
    """Tell (E,) which events are the first of a moment of their user."""
    begins = np.diff(histories.times, prepend=-inf) != 0
    begins[histories.bounds[:-1][np.diff(histories.bounds) > 0]] = True
    return begins


def _profile(timeline: Timeline, moments: int) -> np.ndarray:
    if timeline.profiles is None:
        return np.full((moments, len(PROFILE)), np.nan, dtype=np.float32)
    if timeline.profiles.shape != (moments, len(PROFILE)):
        raise TimelineError(
            f"profiles of {timeline.user!r} have shape {timeline.profiles.shape}, not {(moments, len(PROFILE))}; "
            "give one row for each target moment"
        )
    return timeline.profiles
