"""Which earlier moments an increment learns again.

A memory chooses among everything that was learned, or among exemplars that it kept. What it costs is bounded by the
window: it is asked for so many events, and never gives many more.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from models.backtest.log import EventLog
from models.methods.exemplars import herded, states
from models.recommender import Recommender
from models.timelines import Timeline

# Exemplars are chosen among at most so many times their number of events: a bound on the time of a first version.
CANDIDATES = 10


@dataclass(frozen=True)
class Moments:
    """Hold the moments of a log, ordered by user and then by time: all of a user's events that share a time."""

    of: np.ndarray  # (E,) int64, which moment an event belongs to
    user: np.ndarray  # (m,) int32, index into the log's users
    time: np.ndarray  # (m,) float64, unix seconds
    size: np.ndarray  # (m,) int64, events

    def __len__(self) -> int:
        return len(self.size)


def moments(log: EventLog) -> Moments:
    """Return the moments of a log."""
    order = np.argsort(log.user, kind="stable")
    user, time = log.user[order], log.time[order]
    begins = np.flatnonzero((np.diff(user, prepend=-1) != 0) | (np.diff(time, prepend=np.nan) != 0))
    size = np.diff(begins, append=len(order))
    of = np.empty(len(order), dtype=np.int64)
    of[order] = np.repeat(np.arange(len(size)), size)
    return Moments(of, user[begins], time[begins], size)


class Memory(Protocol):
    """Choose what is learned again."""

    def recall(self, past: EventLog, events: int, random: np.random.Generator) -> np.ndarray:
        """Return positions (n,) of about `events` events of what was learned, whole moments of them."""

    def remember(self, model: Recommender, past: EventLog, start: int) -> None:
        """Look at what was just learned, the events from `start` on."""


class Nothing:
    """Learn nothing again."""

    def recall(self, past: EventLog, events: int, random: np.random.Generator) -> np.ndarray:
        """Return no positions."""
        return np.zeros(0, dtype=np.int64)

    def remember(self, model: Recommender, past: EventLog, start: int) -> None:
        """Keep nothing."""


class Random(Nothing):
    """Every moment is as likely as another (Chaudhry et al. 2019, "On tiny episodic memories")."""

    def recall(self, past: EventLog, events: int, random: np.random.Generator) -> np.ndarray:
        """Return positions (n,) of drawn moments."""
        all_moments = moments(past)
        return positions(all_moments, drawn(self.weights(all_moments), all_moments.size, events, random))

    def weights(self, of: Moments) -> np.ndarray:
        """Return how likely each moment (m,) is, beside the others."""
        return np.ones(len(of))


@dataclass
class Recent(Random):
    """A moment is half as likely after each `half_life`, given as a share of the time that was learned."""

    half_life: float = 0.1

    def weights(self, of: Moments) -> np.ndarray:
        """Return how likely each moment (m,) is, beside the others."""
        age = of.time.max(initial=-np.inf) - of.time
        return np.exp2(-age / max(self.half_life * age.max(initial=0.0), 1e-9))


class Inactive(Random):
    """Every user is as likely as another: who is rarely here is forgotten first (EvoRec, Wang et al. 2024)."""

    def weights(self, of: Moments) -> np.ndarray:
        """Return how likely each moment (m,) is, beside the others."""
        return 1.0 / np.bincount(of.user)[of.user]


@dataclass
class Herding(Nothing):
    """Keep exemplars whose vectors have the mean of their item's vectors, frequent items more of them.

    Rebuffi et al. 2017, "iCaRL", with ADER's shares: an item has exemplars in proportion to how often it was taken.
    They are chosen anew after each increment, from the window and the exemplars so far.
    """

    capacity: int = 10_000
    kept: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # positions in the log

    def recall(self, past: EventLog, events: int, random: np.random.Generator) -> np.ndarray:
        """Return positions (n,) of exemplars, with all events of their moments."""
        all_moments = moments(past)
        chosen = np.zeros(len(all_moments))
        chosen[all_moments.of[self.kept]] = 1.0
        return positions(all_moments, drawn(chosen, all_moments.size, events, random))

    def remember(self, model: Recommender, past: EventLog, start: int) -> None:
        """Choose the exemplars among the latest events from `start` on and those that were kept."""
        latest = np.arange(max(start, len(past) - CANDIDATES * self.capacity), len(past))
        all_moments = moments(past)
        asked = np.unique(all_moments.of[np.concatenate([self.kept, latest])])
        candidates = positions(all_moments, asked)
        # Timelines are in order of users, as moments are, so the queries are the asked moments.
        vectors = states(model, replayed(past, candidates))
        of_candidate = vectors[np.searchsorted(asked, all_moments.of[candidates])]
        self.kept = candidates[herded(past.item[candidates], of_candidate, self.capacity)]


def drawn(weights: np.ndarray, size: np.ndarray, events: int, random: np.random.Generator) -> np.ndarray:
    """Draw moments without replacement, in proportion to `weights` (m,), until they have `events` events.

    Efraimidis and Spirakis 2006: the largest keys log(u) / w are such a sample. A moment of weight zero is never drawn.
    """
    possible = np.flatnonzero(weights > 0)
    keys = np.log(random.random(len(possible))) / weights[possible]
    order = possible[np.argsort(-keys, kind="stable")]
    return np.sort(order[: np.searchsorted(np.cumsum(size[order]), events, side="right")])


def positions(of: Moments, chosen: np.ndarray) -> np.ndarray:
    """Return the positions (n,) of the events of the chosen moments."""
    wanted = np.zeros(len(of), dtype=bool)
    wanted[chosen] = True
    return np.flatnonzero(wanted[of.of])


def replayed(past: EventLog, wanted: np.ndarray) -> list[Timeline]:
    """Return timelines whose targets are the moments of the events at positions `wanted` (n,), and what came before."""
    target = np.zeros(len(past), dtype=bool)
    target[wanted] = True
    users = np.zeros(len(past.users), dtype=bool)
    users[past.user[wanted]] = True
    chosen = np.flatnonzero(users[past.user])
    order = chosen[np.argsort(past.user[chosen], kind="stable")]
    parts = np.split(order, np.flatnonzero(np.diff(past.user[order])) + 1)
    return [_timeline(past, part, target) for part in parts if len(part)]


def _timeline(past: EventLog, part: np.ndarray, target: np.ndarray) -> Timeline:
    """Return one user's events up to the last target's moment."""
    last = past.time[part[target[part]][-1]]
    part = part[past.time[part] <= last]
    return Timeline(
        user=past.users[past.user[part[0]]],
        items=past.item[part],
        types=past.type[part],
        times=past.time[part],
        values=past.value[part],
        learned=~target[part],
    )
