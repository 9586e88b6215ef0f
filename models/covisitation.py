"""What is taken after what.

Pairs of items that people take one after the other say at once what a tower of vectors learns slowly and blurred:
that this film is rated after that one, that this part is bought for that machine (Ludewig and Jannach 2018, "Evaluation
of session-based recommendation algorithms", where such counts beat most networks). The counts are one more term of the
score, so the tower learns what they do not say.

A pair counts for less the further apart its events are and the longer ago it happened. Each item keeps its strongest
followers only, so that memory is proportional to the catalogue. Training needs the counts as they were before each
moment: otherwise every pair would foretell itself. The first version learns from a few snapshots; an increment knows
what its parent knew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from models.histories import Histories, Queries, begins_moment, spans
from models.popularity import DAY

REACH = 20  # events of a user between which a pair is counted
LATEST = 20  # events of the history that are asked for what follows them
KEPT = 100  # followers of an item
HALF_LIFE = 90 * DAY  # seconds after which a pair counts half
SNAPSHOTS = 8  # of a first version's past
PORTION = 100_000  # events whose pairs are counted at a time


@dataclass(frozen=True)
class Followers:
    """Hold at one time how much each item follows each other one."""

    weights: sparse.csr_array  # (N, N) float32, from earlier to later item; rows and columns made comparable

    def after(self, queries: Queries) -> np.ndarray:
        """Return ln(1 + N * share) (Q, N) float32, the share of an item in what followed the query's latest events.

        The newest event weighs most. An item that follows as often as any other has a share of 1 / N; a row of zeros
        says that nothing is known to follow.
        """
        found = (recent_rows(queries, self.weights.shape[0]) @ self.weights).toarray()
        total = found.sum(axis=1, keepdims=True)
        return np.log1p(found * np.divide(found.shape[1], total, out=np.zeros_like(total), where=total > 0))


@dataclass
class Covisitation:
    """Count pairs over N items, decayed to the time `at`, and leave snapshots of earlier times."""

    counts: sparse.csr_array  # (N, N) float32
    at: float = -np.inf  # unix seconds
    snapshot_times: list[float] = field(default_factory=list)  # increasing
    snapshots: list[Followers] = field(default_factory=list)

    @classmethod
    def empty(cls, size: int) -> "Covisitation":
        """Begin with `size` items and no pairs."""
        return cls(sparse.csr_array((size, size), dtype=np.float32))

    def __len__(self) -> int:
        return int(self.counts.shape[0])

    def grow(self, size: int) -> None:
        """Make room for `size` items."""
        self.counts.resize((size, size))

    def followers(self) -> Followers:
        """Return the counts divided by the root of what both items have in all."""
        before = 1.0 + np.asarray(self.counts.sum(axis=1), dtype=np.float64)
        after = 1.0 + np.asarray(self.counts.sum(axis=0), dtype=np.float64)
        weights = self.counts.copy()
        row = np.repeat(np.arange(len(self)), np.diff(weights.indptr))
        weights.data = (weights.data / np.sqrt(before[row] * after[weights.indices])).astype(np.float32)
        return Followers(weights)

    def advance(self, histories: Histories, new: np.ndarray, asked: np.ndarray) -> None:
        """Count the pairs whose later event is one of `new` (m,), positions in the histories.

        The moments `asked` (Q,) then find snapshots of earlier times: the counts as they are now, or, where nothing was
        counted yet, up to SNAPSHOTS of them.
        """
        self.snapshot_times, self.snapshots = [], []
        new = new[np.argsort(histories.times[new], kind="stable")]
        edges = [self.at] if self.counts.nnz else _edges(asked)
        done = 0
        for edge in edges:
            until = int(np.searchsorted(histories.times[new], edge))
            self.fold(histories, new[done:until])
            done = max(done, until)
            self.snapshot_times.append(edge)
            self.snapshots.append(self.followers())
        self.fold(histories, new[done:])

    def fold(self, histories: Histories, new: np.ndarray) -> None:
        """Count the pairs whose later event is one of `new` (m,), in order of time; some events at a time."""
        for begin in range(0, len(new), PORTION):
            portion = new[begin : begin + PORTION]
            at = max(self.at, float(histories.times[portion].max()))
            if np.isfinite(self.at):
                self.counts.data *= np.float32(2.0 ** ((self.at - at) / HALF_LIFE))
            self.at = at
            earlier, later, weight = pairs(histories, portion, REACH)
            weight = weight**-0.5 * np.exp2((histories.times[later] - at) / HALF_LIFE)
            place = (histories.items[earlier], histories.items[later])
            added = sparse.csr_array((weight.astype(np.float32), place), shape=self.counts.shape)
            self.counts = strongest(self.counts + added, KEPT)

    def settle(self) -> None:
        """Drop the snapshots: from here on every moment is later than the counts."""
        self.snapshot_times, self.snapshots = [], []

    def read(self) -> tuple[list[Followers], np.ndarray]:
        """Return what can be read, oldest first, and from when on (unix seconds)."""
        if self.snapshots:
            return self.snapshots, np.asarray(self.snapshot_times)
        return [self.followers()], np.array([-np.inf])


class Following:
    """Answer queries with the followers of their time."""

    def __init__(self, counted: Covisitation, queries: Queries) -> None:
        self.queries, self.size = queries, len(counted)
        self.followers, since = counted.read()
        found = np.searchsorted(since, queries.time, side="right") - 1
        self.early = found < 0  # (Q,) what is known knows of these queries' future
        self._snapshot = np.maximum(found, 0)

    def of(self, number: np.ndarray) -> np.ndarray:
        """Return `Followers.after` (q, N) of some of the queries (q,)."""
        values = np.zeros((len(number), self.size), dtype=np.float32)
        snapshot = self._snapshot[number]
        for chosen in np.unique(snapshot):
            rows = np.flatnonzero(snapshot == chosen)
            values[rows] = self.followers[chosen].after(self.queries[number[rows]])
        return values


def pairs(histories: Histories, new: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the earlier and the later event (p,) of each pair whose later event is new, and the moments between (p,).

    Positions in the histories; `new` (m,) in any order. What shares a moment counts both ways, as if it were one moment
    apart.
    """
    moment = moments(histories)
    parts = []
    for lag in range(1, reach + 1):
        later = new[new >= lag]
        later = later[histories.owner[later] == histories.owner[later - lag]]
        apart = moment[later] - moment[later - lag]
        same = later[apart == 0]
        parts.append((later - lag, later, np.maximum(apart, 1)))
        parts.append((same, same - lag, np.ones(len(same), dtype=np.int64)))
    return _joined(parts)


def moments(histories: Histories) -> np.ndarray:
    """Number (E,) the moments of all users, one after the other."""
    return np.cumsum(begins_moment(histories))


def recent_rows(queries: Queries, size: int) -> sparse.csr_array:
    """Return the latest events of each query's history as rows (Q, size), the newest one weighing one."""
    row, event = spans(np.maximum(queries.first, queries.start - LATEST), queries.start)
    back = queries.start[row] - event  # 1 = the newest
    weight = ((LATEST + 1 - back) / LATEST).astype(np.float32)
    return sparse.csr_array((weight, (row, queries.histories.items[event])), shape=(len(queries), size))


def strongest(counts: sparse.csr_array, most: int) -> sparse.csr_array:
    """Keep the `most` largest entries of each row; among equals, those of smaller index."""
    counts.sum_duplicates()
    row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    order = np.lexsort((counts.indices, -counts.data, row))
    rank = np.arange(len(order)) - counts.indptr[row[order]]
    kept = np.sort(order[rank < most])
    bounds = np.concatenate([[0], np.cumsum(np.bincount(row[kept], minlength=counts.shape[0]))])
    return sparse.csr_array((counts.data[kept], counts.indices[kept], bounds), shape=counts.shape)


def _edges(asked: np.ndarray) -> list[float]:
    """Return up to SNAPSHOTS moments that part `asked` (Q,) into about equal shares; the first knows nothing."""
    if not len(asked):
        return []
    return np.unique(np.quantile(asked, np.arange(SNAPSHOTS) / SNAPSHOTS, method="lower")).tolist()


def _joined(parts: Sequence[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    earlier, later, apart = (np.concatenate(column) for column in zip(*parts, strict=True))
    return earlier, later, apart
