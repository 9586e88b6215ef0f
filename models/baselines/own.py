"""What this user takes again. Where people repeat, these two are hard to beat (Li et al. 2023)."""

from __future__ import annotations

import numpy as np

from models.backtest.contract import Method
from models.backtest.log import EventLog
from models.backtest.registry import MethodSettings
from models.baselines.baseline import Baseline, Portion


class OwnFrequency(Baseline):
    """Rank by how often the user took an item."""

    def learn_events(self, past: EventLog, start: int) -> None:
        """Learn nothing: the histories say it all."""

    def score(self, portion: Portion) -> np.ndarray:
        """Return the counts (q, N)."""
        return portion.sums(np.ones(len(portion.queries.histories.items)))


class OwnRecency(Baseline):
    """Rank by when the user took an item last."""

    def learn_events(self, past: EventLog, start: int) -> None:
        """Learn nothing: the histories say it all."""

    def score(self, portion: Portion) -> np.ndarray:
        """Return the share of the user's moments that were over when it was last taken (q, N), zero for never."""
        row, event = portion.history()
        moment = portion.past.moment
        scores = np.zeros((len(portion), portion.size), dtype=np.float32)
        moments = moment[portion.queries.start[row] - 1] + 1
        # Positions increase with time, and the last assignment stays.
        scores[row, portion.queries.histories.items[event]] = (moment[event] + 1) / moments
        return scores


def frequency(settings: MethodSettings) -> Method:
    """Return the ranking by own frequency."""
    return OwnFrequency()


def recency(settings: MethodSettings) -> Method:
    """Return the ranking by own recency."""
    return OwnRecency()
