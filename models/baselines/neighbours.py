"""Item-kNN: what the users of this item took besides (Sarwar et al. 2001), by the `implicit` package.

Similarity is the cosine of the items' columns, cut to the K most similar items; an item is its own neighbour, so a
user's own items score too. The matrix is made anew from all events of the past in each window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from implicit.nearest_neighbours import ItemItemRecommender
from scipy import sparse

from models.backtest.contract import Method
from models.backtest.log import EventLog
from models.backtest.registry import MethodSettings
from models.baselines.baseline import Baseline, Portion
from models.baselines.matrices import taken


@dataclass(frozen=True)
class NeighbourSettings:
    """Say how far a neighbourhood reaches."""

    neighbours: int = 50  # K, items that count as similar to an item, itself included


class ItemNeighbours(Baseline):
    """Rank by the summed similarity to each item of the history."""

    def __init__(self, settings: NeighbourSettings, threads: int = 1) -> None:
        super().__init__()
        self.settings, self.threads = settings, threads
        self.similarity = sparse.csr_array((0, 0), dtype=np.float32)  # (n, n)

    def learn_events(self, past: EventLog, start: int) -> None:
        """Compute the similarities of all items from all events."""
        interactions = taken(past)
        length = np.sqrt(np.maximum(interactions.sum(axis=0), 1.0))
        interactions.data /= length[interactions.indices]
        knn = ItemItemRecommender(K=self.settings.neighbours, num_threads=self.threads)
        knn.fit(sparse.csr_matrix(interactions, dtype=np.float64), show_progress=False)
        self.similarity = sparse.csr_array(knn.similarity, dtype=np.float32)

    def score(self, portion: Portion) -> np.ndarray:
        """Return the summed similarities (q, n)."""
        return portion.sums(portion.past.first, self.similarity)


def item_knn(settings: MethodSettings) -> Method:
    """Return item-kNN."""
    return ItemNeighbours(settings.over(NeighbourSettings()), settings.threads)
