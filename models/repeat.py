"""What a user did before with one item, and when.

Where people buy again, their own counts are hard to beat (Hu et al. 2020, "TIFU-KNN"; Li et al. 2023, "A next basket
recommendation reality check"); where nobody watches a film twice, the same features say so by negative weights. They
are exact and are computed for all users of a batch at once: an event carries the state of its (user, item) pair just
after it, and a query reads the last event of each pair before its start.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.histories import Histories, Queries, spans
from models.popularity import decay

# The last one is of the item, not of the pair: of what a user took before, popularity says less (see Recommender).
REPEAT_FEATURES = ("touched", "count", "decayed_day", "decayed_week", "decayed_month", "due", "popular")
# After three times the usual gap an item is overdue, and longer silence says nothing more.
MOST_DUE = 3.0
PORTION = 65_536  # events whose states are computed at a time


@dataclass(frozen=True)
class PairStates:
    """Hold, for each event, the state of its (user, item) pair just after it."""

    count: np.ndarray  # (E,) int32, events of the pair so far
    decayed: np.ndarray  # (E, 3) float32, decayed counts at the event's own time
    first: np.ndarray  # (E,) float64, unix seconds of the pair's first event
    following: np.ndarray  # (E,) int64, position of the pair's next event, or the end of the user's timeline


@dataclass(frozen=True)
class RepeatRows:
    """Hold the features of every item that a query's user touched before, ordered by query and then by item."""

    query: np.ndarray  # (R,) int64
    item: np.ndarray  # (R,) int64
    values: np.ndarray  # (R, 6) float32, see REPEAT_FEATURES; "popular" is joined where the popularity is


def pair_states(histories: Histories) -> PairStates:
    """Compute the state of every pair after every event, some users at a time to save memory."""
    size = len(histories.items)
    states = PairStates(
        count=np.empty(size, np.int32),
        decayed=np.empty((size, 3), np.float32),
        first=np.empty(size),
        following=np.empty(size, np.int64),
    )
    for low, high in _portions(histories.bounds):
        _fill_states(states, histories, low, high)
    return states


def _portions(bounds: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield stretches low:high of events, of whole users and about PORTION events each."""
    low = 0
    while low < bounds[-1]:
        one_user, many = np.searchsorted(bounds, [low, low + PORTION], side="right")
        high = int(bounds[max(one_user, many - 1)])
        yield low, high
        low = high


def _fill_states(states: PairStates, histories: Histories, low: int, high: int) -> None:
    """Compute the states of the events low:high, in one pass for each repetition."""
    items, owner, times = (part[low:high] for part in (histories.items, histories.owner, histories.times))
    order = np.lexsort((items, owner))
    head = _pair_heads(items, owner, order)
    rank = np.arange(len(order)) - head
    times = times[order]
    decayed = np.ones((len(order), 3))
    by_rank = np.argsort(rank, kind="stable")
    for level in np.split(by_rank, np.cumsum(np.bincount(rank, minlength=1)))[1:-1]:
        decayed[level] += decayed[level - 1] * decay(times[level] - times[level - 1])
    last_of_pair = np.append(rank[1:] == 0, True)[: len(order)]
    following = np.append(order[1:], 0)[: len(order)] + low
    states.count[low:high][order] = rank + 1
    states.decayed[low:high][order] = decayed
    states.first[low:high][order] = times[head]
    states.following[low:high][order] = np.where(last_of_pair, histories.bounds[owner[order] + 1], following)


def repeat_rows(states: PairStates, queries: Queries) -> RepeatRows:
    """Return a row for every (query, item) whose user touched the item strictly before the query's moment."""
    histories = queries.histories
    users = np.unique(queries.user)
    _, event = spans(histories.bounds[users], histories.bounds[users + 1])
    # One place more a user than events, else "after the last event" would be the next user's first place.
    place = queries.start + queries.user
    shift = histories.owner[event]
    low = np.searchsorted(place, event + shift, side="right")
    high = np.searchsorted(place, states.following[event] + shift, side="right")
    chosen, query = spans(low, high)
    item = histories.items[event[chosen]]
    order = np.lexsort((item, query))
    query, item, event = query[order], item[order], event[chosen[order]]
    return RepeatRows(query, item, _values(states, event, queries.time[query], histories.times[event]))


def _pair_heads(items: np.ndarray, owner: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return, for each event in `order`, where in `order` its pair begins."""
    changes = np.diff(items[order], prepend=-1) | np.diff(owner[order], prepend=-1)
    return np.maximum.accumulate(np.where(changes != 0, np.arange(len(order)), 0))


def _values(states: PairStates, event: np.ndarray, now: np.ndarray, last: np.ndarray) -> np.ndarray:
    count = states.count[event]
    silence = now - last
    gap = (last - states.first[event]) / np.maximum(count - 1, 1)
    regular = (count >= 2) & (gap > 0)
    due = np.where(regular, np.minimum(silence / np.where(regular, gap, 1.0), MOST_DUE), 0.0)
    remembered = np.log1p(states.decayed[event] * decay(silence))
    return np.column_stack([np.ones(len(event)), np.log1p(count), remembered, due]).astype(np.float32)
