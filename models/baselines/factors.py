"""iALS: matrix factorisation of implicit feedback (Hu, Koren and Volinsky 2008), by the `implicit` package.

Item factors are fitted anew in each window. A user is no row of a table but the solution of the same least squares for
the history that a query knows, so a user's latest events count. Both sides of those equations are sums over events, and
the sums of neighbouring queries differ by a few events only.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse

from models.backtest.contract import Method
from models.backtest.log import EventLog
from models.backtest.registry import MethodSettings
from models.baselines.baseline import Baseline, Portion
from models.baselines.matrices import times_taken

EQUATIONS = 1_024  # solved at a time: 32 MB of float64 with 64 factors


@dataclass(frozen=True)
class FactorSettings:
    """Say what is factorised: confidence is 1 + alpha * count."""

    factors: int = 64
    regularisation: float = 0.01
    alpha: float = 10.0
    iterations: int = 15


class Factors(Baseline):
    """Rank by the user factors of the history times the item factors."""

    def __init__(self, settings: FactorSettings, seed: int, threads: int) -> None:
        super().__init__()
        self.settings, self.seed, self.threads = settings, seed, threads
        self.items = np.zeros((0, settings.factors))  # (n, f) float64

    def learn_events(self, past: EventLog, start: int) -> None:
        """Fit the item factors to all events."""
        settings = self.settings
        als = AlternatingLeastSquares(
            factors=settings.factors,
            regularization=settings.regularisation,
            alpha=1.0,  # the confidences are written out below
            iterations=settings.iterations,
            num_threads=self.threads,
            random_state=self.seed,
        )
        confidence = sparse.csr_matrix(times_taken(past))
        confidence.data = 1.0 + settings.alpha * confidence.data
        als.fit(confidence, show_progress=False)
        self.items = als.item_factors.astype(np.float64)

    def score(self, portion: Portion) -> np.ndarray:
        """Return the scores (q, n)."""
        parts = [self.users(part) for part in portion.parts(EQUATIONS)]
        return (np.concatenate(parts) @ self.items.T).astype(np.float32)

    def users(self, portion: Portion) -> np.ndarray:
        """Return the user factors (q, f): (Y'Y + reg I + sum alpha y y')^-1 (sum (first + alpha) y) over the events."""
        f, alpha = self.settings.factors, self.settings.alpha
        row, event = portion.added()
        item = portion.queries.histories.items[event]
        known = item < len(self.items)
        row, event, vectors = row[known], event[known], self.items[item[known]]
        weighted = vectors * (portion.past.first[event] + alpha)[:, None]
        left, right = np.zeros((len(portion), f, f)), np.zeros((len(portion), f))
        begins = np.searchsorted(row, np.arange(len(portion) + 1))
        for number, (low, high) in enumerate(pairwise(begins)):
            left[number] = alpha * (vectors[low:high].T @ vectors[low:high])
            right[number] = weighted[low:high].sum(axis=0)
        left, right = portion.along(left), portion.along(right)
        left += self.items.T @ self.items + self.settings.regularisation * np.eye(f)
        return np.linalg.solve(left, right[..., None])[..., 0]


def ials(settings: MethodSettings) -> Method:
    """Return iALS."""
    return Factors(settings.over(FactorSettings()), settings.seed, settings.threads)
