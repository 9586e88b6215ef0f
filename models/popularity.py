"""How often each item was taken lately, at three paces.

A decayed count forgets by itself and needs one number an item: d_h(t) = sum over earlier events 2^(-(t - t_e) / h).
Serving has it live in SQL; training needs it as it was at thousands of past moments, so a clock is run through the
window once and leaves a few dozen snapshots. A query reads the latest one that is not later than itself, which holds
only events strictly before it.
"""

from dataclasses import dataclass, field

import numpy as np

DAY = 86_400.0  # seconds
HALF_LIVES = np.array([1.0, 7.0, 30.0]) * DAY  # seconds
WEEK, MONTH = 1, 2  # columns of the half-lives

# Snapshots of one window: between two of them popularity hardly moves, and each costs 12 bytes an item.
WINDOW_SNAPSHOTS = 64
# Snapshots that travel in a checkpoint, so that replayed moments find the popularity of their time.
CARRIED_SNAPSHOTS = 16


def decay(seconds: np.ndarray) -> np.ndarray:
    """Return what is left (..., 3) of a count after `seconds` (...), one column a half-life."""
    return np.exp2(-np.asarray(seconds, dtype=np.float64)[..., None] / HALF_LIVES)


@dataclass
class PopularityClock:
    """Hold the decayed counts of N items at the time `at`, and snapshots of earlier times.

    An event that arrives late counts with what is left of it. An event from the future moves the clock and makes all
    others old: refuse those before they get here.
    """

    counts: np.ndarray  # (N, 3) float64
    at: float = -np.inf  # unix seconds
    snapshot_times: np.ndarray = field(default_factory=lambda: np.array([-np.inf]))  # (S,) increasing
    snapshots: np.ndarray = field(default_factory=lambda: np.zeros((1, 0, 3), np.float32))  # (S, N, 3), ln(1 + count)

    @classmethod
    def empty(cls, size: int) -> "PopularityClock":
        """Start a clock of `size` items that has seen nothing."""
        return cls(np.zeros((size, 3)), snapshots=np.zeros((1, size, 3), dtype=np.float32))

    def __len__(self) -> int:
        return len(self.counts)

    def copy(self) -> "PopularityClock":
        """Return a clock that can be moved without moving this one."""
        return PopularityClock(self.counts.copy(), self.at, self.snapshot_times.copy(), self.snapshots.copy())

    def grow(self, size: int) -> None:
        """Make room for `size` items; the old ones keep their counts, the new ones have none."""
        missing = size - len(self.counts)
        self.counts = np.pad(self.counts, ((0, missing), (0, 0)))
        self.snapshots = np.pad(self.snapshots, ((0, 0), (0, missing), (0, 0)))

    def move_to(self, at: float) -> None:
        """Let time pass until `at` (unix seconds); a clock never runs backwards."""
        if at > self.at:
            self.counts *= decay(np.array(at - self.at))
            self.at = at

    def fold(self, items: np.ndarray, times: np.ndarray) -> None:
        """Count events: `items` (n,) indices and `times` (n,) unix seconds, in any order."""
        if len(items):
            self.move_to(float(times.max()))
            np.add.at(self.counts, items, decay(self.at - times))

    def features(self) -> np.ndarray:
        """Return ln(1 + count) (N, 3) as of now."""
        return np.log1p(self.counts).astype(np.float32)

    def advance(self, items: np.ndarray, times: np.ndarray, asked: np.ndarray, limit: int = WINDOW_SNAPSHOTS) -> None:
        """Fold a window's events and leave snapshots at no more than `limit` of the moments `asked` (Q,).

        A moment before the clock's own time gets no snapshot: the clock already knows what came later.
        """
        order = np.argsort(times, kind="stable")
        items, times = items[order], times[order]
        done = 0
        taken = []
        for moment in _spread(asked[asked >= self.at], limit):
            before = int(np.searchsorted(times, moment))
            self.fold(items[done:before], times[done:before])
            self.move_to(moment)
            taken.append((moment, self.features()))
            done = max(done, before)
        self.fold(items[done:], times[done:])
        self._keep(taken)

    def latest(self, times: np.ndarray) -> np.ndarray:
        """Return (Q,) which snapshot each of `times` (Q,) reads; the oldest where all are younger."""
        return np.maximum(np.searchsorted(self.snapshot_times, times, side="right") - 1, 0)

    def thin(self, limit: int = CARRIED_SNAPSHOTS) -> None:
        """Drop snapshots until `limit` are left, spread over time; the newest always stays."""
        several = len(self.snapshot_times) > 1
        kept: list[int] = list(np.flatnonzero(np.isfinite(self.snapshot_times)) if several else [0])
        while len(kept) > limit:
            del kept[int(np.argmin(np.diff(self.snapshot_times[kept])))]
        self.snapshot_times, self.snapshots = self.snapshot_times[kept], self.snapshots[kept]

    def _keep(self, taken: list[tuple[float, np.ndarray]]) -> None:
        if taken:
            self.snapshot_times = np.append(self.snapshot_times, [moment for moment, _ in taken])
            self.snapshots = np.concatenate([self.snapshots, [features for _, features in taken]])


def _spread(times: np.ndarray, limit: int) -> list[float]:
    """Choose at most `limit` of `times` so that each stands for about the same number of them."""
    distinct = np.unique(times)
    if len(distinct) <= limit:
        return list(distinct.tolist())
    return np.unique(np.quantile(times, np.arange(limit) / limit, method="lower")).tolist()
