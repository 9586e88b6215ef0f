"""V-SKNN: rank by what happened in sessions like this one (Ludewig and Jannach 2018).

The current session is a vector of its latest items, later ones weighing more; a past session is as similar as the items
that it shares weigh; and the items of a similar session count the less, the longer ago the shared item was. Where the
log holds users instead of sessions, a user's timeline is cut where nothing happened for a while, and the current
session is the latest stretch of the history.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse

from models.backtest.contract import Method
from models.backtest.log import EventLog
from models.backtest.registry import MethodSettings
from models.baselines.baseline import Baseline, Portion
from models.popularity import DAY

# A step back is a binary digit of a float64, which has room for these and ten more for the sum of all weights.
MOST_STEPS = 42
MOST_SHARED = 2**22  # pairs of query and session at a time: 50 MB


@dataclass(frozen=True)
class SessionSettings:
    """Say what a session is and how many neighbours it has."""

    neighbours: int = 100  # k, sessions that vote
    candidates: int = 1_000  # the latest sessions of each item, and of all items together, among which they are sought
    latest: int = 20  # events of the history that are looked at; at most MOST_STEPS
    longest: int = 50  # events of a stretch of a timeline
    pause: float = DAY  # seconds without an event that end a stretch of a timeline


class SessionNeighbours(Baseline):
    """Rank by the votes of the most similar sessions among the recent ones."""

    def __init__(self, settings: SessionSettings) -> None:
        super().__init__()
        self.settings = settings
        self.sessions = sparse.csr_array((0, 0), dtype=np.float32)  # (S, n), in order of their last events
        self.of_item = sparse.csr_array((0, 0))  # (n, S) float64, the latest sessions of each item

    def learn_events(self, past: EventLog, start: int) -> None:
        """Gather the sessions of all events."""
        self.sessions = session_rows(past, self.settings)
        self.of_item = latest_of_rows(sparse.csr_array(self.sessions.T, dtype=np.float64), self.settings.candidates)

    def score(self, portion: Portion) -> np.ndarray:
        """Return the votes (q, n)."""
        most = max(1, MOST_SHARED // (self.settings.latest * self.settings.candidates))
        return np.concatenate([(self.votes(part) @ self.sessions).toarray() for part in portion.parts(most)])

    def votes(self, portion: Portion) -> sparse.csr_array:
        """Return what each session says for each query (q, S): its likeness by how long ago the shared item was."""
        latest = min(self.settings.latest, MOST_STEPS)
        row, event = newest_of_items(portion, latest)
        step = portion.queries.start[row] - event  # 1 = the last event
        length = np.minimum(portion.queries.start - portion.queries.first, latest)[row]
        # Two sums at once: whole numbers tell how alike, binary digits of the rest which steps are shared. The paper
        # divides by the length, which is the same for all sessions.
        weight = (length - step + 1) + np.exp2(-step.astype(np.float64))
        return nearest(
            portion.rows(row, event, weight, self.of_item.shape[0], np.float64) @ self.of_item, self.settings
        )


def session_rows(past: EventLog, settings: SessionSettings) -> sparse.csr_array:
    """Return the sessions (S, N) float32 in order of their last events, a one where a session has an item."""
    order = np.argsort(past.user, kind="stable")
    session = session_numbers(past, order, settings)
    ends = np.flatnonzero(np.diff(session, append=-1))
    by_end = np.empty(len(ends), dtype=np.int64)
    by_end[np.argsort(past.time[order][ends], kind="stable")] = np.arange(len(ends))
    ones = np.ones(len(order), dtype=np.float32)
    rows = sparse.csr_array((ones, (by_end[session], past.item[order])), shape=(len(ends), len(past.catalogue)))
    rows.data[:] = 1.0
    return rows


def session_numbers(past: EventLog, order: np.ndarray, settings: SessionSettings) -> np.ndarray:
    """Number the session (E,) of each event, given the `order` (E,) of the events by user and time."""
    user, time = past.user[order], past.time[order]
    begins = np.diff(user, prepend=-1) != 0
    if not past.sessions:
        begins |= np.diff(time, prepend=-np.inf) > settings.pause
        place = np.arange(len(order))
        begins |= (place - np.maximum.accumulate(np.where(begins, place, 0))) % settings.longest == 0
    return np.cumsum(begins) - 1


def newest_of_items(portion: Portion, latest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (row (m,), position (m,)) of the `latest` events of each history, of an item only the newest one."""
    row, event = portion.history(latest)
    key = row * portion.size + portion.queries.histories.items[event]
    _, last = np.unique(key[::-1], return_index=True)
    kept = np.sort(len(key) - 1 - last)
    return row[kept], event[kept]


def latest_of_rows(rows: sparse.csr_array, limit: int) -> sparse.csr_array:
    """Keep the last `limit` columns that each row has."""
    rows.sort_indices()
    sizes = np.diff(rows.indptr)
    from_end = np.repeat(rows.indptr[1:], sizes) - np.arange(len(rows.indices))
    kept = from_end <= limit
    bounds = np.concatenate([[0], np.cumsum(np.minimum(sizes, limit))])
    return sparse.csr_array((rows.data[kept], rows.indices[kept], bounds), shape=rows.shape)


def nearest(shared: sparse.csr_array, settings: SessionSettings) -> sparse.csr_array:
    """Keep in each row (q, S) the most similar of the latest candidates; return their votes.

    Among equals the later session wins.
    """
    alike = np.floor(shared.data)
    kept: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
    for low, high in pairwise(shared.indptr):
        session, among = shared.indices[low:high], np.arange(high - low)
        if len(among) > settings.candidates:
            among = np.argpartition(session, -settings.candidates)[-settings.candidates :]
        best = np.lexsort((-session[among], -alike[low:high][among]))[: settings.neighbours]
        kept.append(low + among[best])
    chosen = np.concatenate(kept)
    bounds = np.concatenate([[0], np.cumsum([len(part) for part in kept[1:]])]).astype(np.int64)
    # The highest binary digit tells the latest shared item.
    back = 1.0 - np.frexp(shared.data[chosen] - alike[chosen])[1]
    votes = (alike[chosen] / back).astype(np.float32)
    return sparse.csr_array((votes, shared.indices[chosen], bounds), shape=shared.shape)


def vsknn(settings: MethodSettings) -> Method:
    """Return V-SKNN."""
    return SessionNeighbours(settings.over(SessionSettings()))
