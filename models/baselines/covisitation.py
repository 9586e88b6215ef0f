"""What follows or accompanies what: counted pairs of events (Ludewig and Jannach 2018, "sequential rules").

A pair counts one over the number of moments between its events. What shares a moment, such as a basket, counts both
ways and in full. New events add pairs; old ones are never read again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from models.backtest.contract import Method
from models.backtest.log import EventLog
from models.backtest.registry import MethodSettings
from models.baselines.baseline import Baseline, Past, Portion
from models.histories import lay_out


@dataclass(frozen=True)
class CovisitationSettings:
    """Say how far a pair reaches."""

    reach: int = 10  # events of a user between which a pair is counted
    latest: int = 1  # moments of the history that are asked for what follows


class Covisitation(Baseline):
    """Rank by what followed, in the past of everybody, the latest items of the history."""

    def __init__(self, settings: CovisitationSettings) -> None:
        super().__init__()
        self.settings = settings
        self.pairs = sparse.csr_array((0, 0), dtype=np.float32)  # (n, n), from earlier to later item

    def learn_events(self, past: EventLog, start: int) -> None:
        """Count the pairs whose later event is new."""
        size = len(past.catalogue)
        earlier, later, weight = new_pairs(past, start, self.settings.reach)
        self.pairs.resize((size, size))
        self.pairs = self.pairs + sparse.csr_array((weight, (earlier, later)), shape=(size, size))

    def score(self, portion: Portion) -> np.ndarray:
        """Return the counted pairs (q, n) from the latest moments, a moment further back counting less."""
        row, event = portion.history(self.settings.reach * self.settings.latest)
        moment = portion.past.moment
        back = moment[portion.queries.start[row] - 1] - moment[event]
        weight = np.where(back < self.settings.latest, 1.0 / (1.0 + back), 0.0)
        return (portion.rows(row, event, weight, self.pairs.shape[0]) @ self.pairs).toarray()


def new_pairs(past: EventLog, start: int, reach: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return earlier item (p,), later item (p,) and weight (p,) float32 of each pair whose later event is new."""
    timelines = past.timelines(start)
    histories = lay_out(timelines)
    fresh = ~np.concatenate([np.zeros(0, dtype=bool), *(t.learned for t in timelines if t.learned is not None)])
    moment, parts = Past(histories).moment, []
    for lag in range(1, min(reach, len(fresh) - 1) + 1):
        wanted = np.flatnonzero(fresh[lag:] & (histories.owner[lag:] == histories.owner[:-lag]))
        apart = moment[wanted + lag] - moment[wanted]
        weight = (1.0 / np.maximum(apart, 1)).astype(np.float32)
        parts.append((histories.items[wanted], histories.items[wanted + lag], weight))
        same = apart == 0
        parts.append((histories.items[wanted + lag][same], histories.items[wanted][same], weight[same]))
    nothing = (np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32))
    earlier, later, weights = (np.concatenate(column) for column in zip(nothing, *parts, strict=True))
    return earlier, later, weights


def covisitation(settings: MethodSettings) -> Method:
    """Return co-visitation."""
    return Covisitation(settings.over(CovisitationSettings()))
