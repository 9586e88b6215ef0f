"""Any method behind the gate, as the workers run it.

A candidate learns all but the window's last fifth by time and goes live where the gate promotes it; a refused window's
events are among what the next candidate learns. What is unusual about a window tightens the gate until a version that
has learned it is live.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from models.backtest.contract import Method
from models.backtest.log import EventLog
from models.backtest.prequential import Window, rank_window
from models.evaluation import Scorer
from models.popularity import PopularityClock
from models.scorers import PopularityScorer
from models.timelines import Catalogue
from tidegate.gate import Verdict, judge

HOLDOUT, MOST_HELD = 0.2, 5_000  # share of the window and number of events, as in the workers
# Robust z-scores as in learning.judge_figures: the floor of each figure's spread, and when it is suspicious.
FLOORS = {"log_rate": 0.15, "new_users": 0.02, "new_items": 0.02, "largest_user": 0.01, "duplicates": 0.01}
BOTH_SIDES = ("log_rate",)
SUSPICIOUS = 8.0
LEAST_PAST = 8
MAD_TO_SIGMA = 0.6745


@dataclass(frozen=True)
class Judgement:
    """Hold what the gate said of a window's candidate."""

    verdict: Verdict
    unusual: tuple[str, ...]
    tightened: bool


@dataclass
class Gated:
    """Learn by candidates; rank by the version that is live."""

    live: Method
    judgements: list[Judgement] = field(default_factory=list)
    before: Method | None = None  # what was live until the last promotion
    learned: int = 0  # events that the live version has learned
    tightened: bool = False
    past: list[dict[str, float]] = field(default_factory=list)  # figures of ordinary windows

    def learn(self, past: EventLog, start: int) -> None:
        """Learn the base, or let a candidate learn a window and the gate decide."""
        if not start:
            self.live.learn(past, 0)
            self.learned = len(past)
            self.past = base_figures(past)
            return
        unusual = self.notice(past, start)
        border = holdout(past, start)
        candidate = deepcopy(self.live)
        candidate.learn(past.before(border), self.learned)
        verdict = self.judge(candidate, past, border)
        self.judgements.append(Judgement(verdict, unusual, self.tightened))
        self.before = self.live
        if verdict.promoted:
            self.live, self.learned, self.tightened = candidate, border, False

    def scorer(self, catalogue: Catalogue) -> Scorer:
        """Return what ranks by the live version."""
        return self.live.scorer(catalogue)

    def notice(self, past: EventLog, start: int) -> tuple[str, ...]:
        """Return what is unusual about a window, which tightens the gate."""
        found = figures(past, start)
        unusual = suspicious(found, self.past)
        self.tightened = self.tightened or bool(unusual)
        if not unusual:
            self.past.append(found)
        return unusual

    def judge(self, candidate: Method, past: EventLog, border: int) -> Verdict:
        """Ask the gate about the events from `border` on, which the candidate has not learned."""
        popularity = Popularity()
        popularity.learn(past.before(border), 0)
        event, new = ranks_from(candidate, past, border, border)
        _, popular = ranks_from(popularity, past, border, border)
        _, old = ranks_from(self.live, past, self.learned, border)  # live popularity counts what it has not learned
        return judge(past.user[event], new, popular, old, self.tightened)


class Popularity:
    """Rank by what everybody took lately."""

    def learn(self, past: EventLog, start: int) -> None:
        """Count."""
        self.clock = PopularityClock.empty(len(past.catalogue))
        self.clock.fold(past.item, past.time)

    def scorer(self, catalogue: Catalogue) -> Scorer:
        """Return the counts as a scorer."""
        clock = self.clock.copy()
        clock.grow(len(catalogue))
        return PopularityScorer(clock)


def holdout(past: EventLog, start: int) -> int:
    """Return the position from which on a window is kept from the candidate; a moment is never parted."""
    kept = max(1, min(round(HOLDOUT * (len(past) - start)), MOST_HELD))
    return max(start, int(np.searchsorted(past.time, past.time[len(past) - kept])))


def ranks_from(method: Method, past: EventLog, start: int, border: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (event (M,), rank (M,)) of the events from `border` on; those from `start` on are counted as well."""
    stretch = Window(0, start, len(past), float(past.time[start]), float(past.time[-1]))
    found = rank_window(method, past, stretch)
    order = np.argsort(found.event)
    event, rank = found.event[order], found.rank[order]
    return event[event >= border], rank[event >= border]


def figures(past: EventLog, start: int) -> dict[str, float]:
    """Return what is measured of a window, as learning.note_window_figures does; values and types aside."""
    user, item, time = past.user[start:], past.item[start:], past.time[start:]
    middle = np.quantile(time, [0.25, 0.75])
    known_users, known_items = np.unique(past.user[:start]), np.unique(past.item[:start])
    return {
        "log_rate": float(np.log(max(1, len(time)) / 2 / max(1.0, middle[1] - middle[0]))),
        "new_users": float(np.mean(~np.isin(user, known_users))),
        "new_items": float(np.mean(~np.isin(np.unique(item), known_items))),
        "largest_user": float(np.bincount(user).max() / len(user)),
        "duplicates": 1 - len(np.unique(np.stack([user, item, time]), axis=1).T) / len(user),
    }


def base_figures(past: EventLog) -> list[dict[str, float]]:
    """Return the figures of the base's second half in LEAST_PAST parts: what was usual before the first window."""
    edges = np.linspace(len(past) // 2, len(past), LEAST_PAST + 1).astype(int)
    return [figures(past.before(stop), int(start)) for start, stop in pairwise(edges)]


def suspicious(found: dict[str, float], past: list[dict[str, float]]) -> tuple[str, ...]:
    """Return the figures with a robust z-score over the limit."""
    if len(past) < LEAST_PAST:
        return ()
    return tuple(name for name in FLOORS if score(found[name], [one[name] for one in past], name) >= SUSPICIOUS)


def score(value: float, past: list[float], name: str) -> float:
    """Return the robust z-score of a figure."""
    median = float(np.median(past))
    spread = max(float(np.median(np.abs(np.array(past) - median))), FLOORS[name])
    z = MAD_TO_SIGMA * (value - median) / spread
    return abs(z) if name in BOTH_SIDES else z
