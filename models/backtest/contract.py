"""What a method must do to take part in a backtest."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol, runtime_checkable

import numpy as np

from models.backtest.log import EventLog
from models.evaluation import Scorer
from models.histories import Queries
from models.timelines import Catalogue


class Method(Protocol):
    """Learn window after window, and rank in between."""

    def learn(self, past: EventLog, start: int) -> None:
        """Learn the events of `past` from position `start` on; those before were given in earlier calls.

        The first call has start = 0 and is the base. A method may read old events again (a full retrain does), and
        pays for it in the cost that is reported.
        """

    def scorer(self, catalogue: Catalogue) -> Scorer:
        """Return what ranks `catalogue`, which begins with the items that were learned and may have newer ones.

        The queries that it is given hold their own histories, up to each query's moment. Events of a query's window
        that are earlier than the query may be counted (popularity is live), later ones never.
        """


@runtime_checkable
class SharesBase(Protocol):
    """A method whose first version is often that of another one: they differ only in how they learn on.

    A contest with twenty of them then learns the base once for each seed. The cost that is reported is that of the one
    that did learn it.
    """

    def base_key(self) -> Hashable:
        """Return what the first version depends on; methods with equal keys learn the same from the same base."""

    def begin_like(self, other: SharesBase, base: EventLog) -> None:
        """Begin as `other` did, which has an equal key and has learned `base` and nothing else."""


@runtime_checkable
class Clicks(Protocol):
    """A method that also says how probable an interaction is."""

    def probabilities(self, queries: Queries, item: np.ndarray) -> np.ndarray:
        """Return p(interaction) (Q,) of item (Q,) for each query."""
