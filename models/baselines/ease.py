"""EASE: the best linear autoencoder with an empty diagonal, in closed form (Steck 2019).

With X (users, items) and P = (X'X + lambda I)^-1 the weights are B = I - P / diag(P). The inverse takes N^3 steps and
N^2 numbers, so beyond MOST_ITEMS only the items that were taken most take part; the others score zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import lapack

from models.backtest.contract import Method
from models.backtest.log import EventLog
from models.backtest.registry import MethodSettings
from models.baselines.baseline import Baseline, Portion
from models.baselines.matrices import taken

MOST_ITEMS = 10_000  # 2 GB while they are solved, and half a minute on one thread


@dataclass(frozen=True)
class EaseSettings:
    """Say how strongly the weights are held back."""

    ridge: float = 200.0  # lambda


class Ease(Baseline):
    """Rank by history @ B, refitted from all events in each window."""

    def __init__(self, settings: EaseSettings) -> None:
        super().__init__()
        self.settings = settings
        self.size = 0  # n items were learned
        self.items = np.zeros(0, dtype=np.int64)  # (m,) which of them take part
        self.weights = np.zeros((0, 0), dtype=np.float32)  # (m, m)

    def learn_events(self, past: EventLog, start: int) -> None:
        """Solve for the weights of the items that were taken most."""
        interactions = taken(past)
        self.size = interactions.shape[1]
        taken_by = np.asarray(interactions.sum(axis=0)).ravel()
        self.items = np.sort(np.argsort(-taken_by, kind="stable")[:MOST_ITEMS])
        self.weights = ease_weights(interactions[:, self.items], self.settings.ridge)

    def score(self, portion: Portion) -> np.ndarray:
        """Return the scores (q, n)."""
        row, event = portion.added()
        rows = portion.rows(row, event, portion.past.first[event], self.size)
        scores = np.zeros((len(portion), self.size), dtype=np.float32)
        scores[:, self.items] = portion.along(rows[:, self.items] @ self.weights)
        return scores


def ease_weights(interactions: sparse.csr_array, ridge: float) -> np.ndarray:
    """Return B (m, m) float32 of the interactions (users, m)."""
    gram = (interactions.T @ interactions).toarray()
    gram[np.diag_indices_from(gram)] += ridge
    if not len(gram):
        return gram
    # The ridge keeps the matrix far from singular, so single precision will do.
    factor, _ = lapack.spotrf(gram.T, lower=False, overwrite_a=True, clean=True)
    inverse, _ = lapack.spotri(factor, lower=False, overwrite_c=True)
    weights = np.ascontiguousarray(inverse.T)  # the lower triangle is filled
    weights += np.tril(weights, -1).T
    weights /= -np.diag(weights)
    np.fill_diagonal(weights, 0.0)
    return weights


def ease(settings: MethodSettings) -> Method:
    """Return EASE."""
    return Ease(settings.over(EaseSettings()))
