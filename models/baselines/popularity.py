"""What everybody takes: lately, or ever."""

from __future__ import annotations

from math import inf

import numpy as np

from models.backtest.contract import Method
from models.backtest.log import EventLog
from models.backtest.registry import MethodSettings
from models.baselines.baseline import Baseline, Portion


class Popularity(Baseline):
    """Rank by the live count of all users, which the other baselines ask between equals only."""

    def learn_events(self, past: EventLog, start: int) -> None:
        """Learn nothing more."""

    def score(self, portion: Portion) -> np.ndarray:
        """Return no scores: all items are equal (q, 0)."""
        return np.zeros((len(portion), 0), dtype=np.float32)


def recent(settings: MethodSettings) -> Method:
    """Return popularity with a half-life of a week."""
    return Popularity()


def all_time(settings: MethodSettings) -> Method:
    """Return popularity that forgets nothing."""
    return Popularity(inf)
