"""How sure a difference is: whole users are drawn again and again, the same ones for every method.

Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13. Events of one user are alike, so users are
what is drawn. One set of draws serves all comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2_000
CONFIDENCE = 0.95
_LEAST = 1e-12  # a mean of nothing has no ratio; this one is too large to be mistaken for one
_MOST = 2**24  # weights that are held at a time: draws times users


@dataclass(frozen=True)
class Difference:
    """Hold how much better one method is than another."""

    ours: float
    theirs: float
    low: float  # ends of the interval of ours - theirs
    high: float
    least: float  # ends of the interval of ours / theirs
    most: float

    @property
    def mean(self) -> float:
        """Return the difference."""
        return self.ours - self.theirs

    @property
    def ratio(self) -> float:
        """Return ours over theirs; infinity where theirs is nothing."""
        return self.ours / self.theirs if self.theirs else float("inf")

    @property
    def sure(self) -> bool:
        """Tell whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def drawn_means(gains: np.ndarray, user: np.ndarray, seed: int = 0, draws: int = DRAWS) -> np.ndarray:
    """Return the event-weighted means (draws, K) of `gains` (K, M) when users are drawn with replacement.

    `user` (M,) says whose event each is. Row r of every method was drawn from the same users.
    """
    _, owner = np.unique(user, return_inverse=True)
    sizes = np.bincount(owner)
    sums = np.stack([np.bincount(owner, weights=gain) for gain in gains], axis=1)  # (U, K)
    random = np.random.default_rng(seed)
    step = max(1, _MOST // len(sizes))
    parts = (_weights(random, min(step, draws - r), len(sizes)) for r in range(0, draws, step))
    return np.concatenate([(weights @ sums) / (weights @ sizes)[:, None] for weights in parts])


def _weights(random: np.random.Generator, draws: int, users: int) -> np.ndarray:
    """Return how often (draws, U) each user was drawn."""
    drawn = random.integers(users, size=(draws, users)) + users * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * users).reshape(draws, users).astype(np.float64)


def difference(gains: np.ndarray, means: np.ndarray, ours: int, theirs: int) -> Difference:
    """Return the difference of two rows of `gains` (K, M), with the interval that `means` (draws, K) gives it."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means[:, ours] - means[:, theirs], [tail, 1 - tail])
    ratios = means[:, ours] / np.maximum(means[:, theirs], _LEAST)
    least, most = np.quantile(ratios, [tail, 1 - tail])
    ends = (float(end) for end in (low, high, least, most))
    return Difference(float(gains[ours].mean()), float(gains[theirs].mean()), *ends)


def differences(names: Sequence[str], gains: np.ndarray, user: np.ndarray) -> dict[tuple[str, str], Difference]:
    """Return the difference of every two rows of `gains` (K, M), by their names; none where there is no event."""
    if not len(user):
        return {}
    means, numbered = drawn_means(gains, user), list(enumerate(names))
    return {(one, other): difference(gains, means, i, j) for i, one in numbered for j, other in numbered if i != j}
