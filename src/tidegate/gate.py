"""The gate: a candidate goes live because it did better on events later than all it has learned, or not at all.

Judged on the window's last part by time, which the candidate has not seen, against the live version and
against recent popularity. The verdict and its figures become rows, whichever it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

# Fewer events than this say nothing.
LEAST_EVENTS = 50
RESAMPLES = 500
DEPTH = 10


@dataclass(frozen=True)
class Verdict:
    """What the gate says, and why."""

    verdict: Literal["promote", "refuse"]
    reason: str

    @property
    def promoted(self) -> bool:
        """Tell whether the candidate goes live."""
        return self.verdict == "promote"


def gains(ranks: np.ndarray) -> np.ndarray:
    """Return NDCG@10 of each event (n,) from its 1-based rank (n,): one relevant item an event, so the ideal is 1."""
    return np.where(ranks <= DEPTH, 1.0 / np.log2(1.0 + ranks), 0.0)


def interval(difference: np.ndarray, users: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the 90 % interval of the mean of `difference` (n,), resampling whole users (n,).

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    _, owner = np.unique(users, return_inverse=True)
    sums, sizes = np.bincount(owner, weights=difference), np.bincount(owner)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.05, 0.95])
    return float(low), float(high)


def judge(
    users: np.ndarray,
    candidate: np.ndarray,
    popularity: np.ndarray,
    live: np.ndarray | None,
    tightened: bool = False,
) -> Verdict:
    """Judge a candidate by the ranks (n,) that it, popularity and the live version give the same later events (n,).

    Tightened, after a suspicious window, it must be better than the live version beyond doubt and not only on average.
    """
    if len(candidate) < LEAST_EVENTS:
        return Verdict(
            "refuse",
            f"{len(candidate)} later events are too few to judge by; {LEAST_EVENTS} are needed",
        )
    new, popular = gains(candidate), gains(popularity)
    if new.mean() <= popular.mean():
        return Verdict(
            "refuse",
            f"ndcg@10 {new.mean():.4f} is not above recent popularity's {popular.mean():.4f}",
        )
    if live is None:
        return Verdict(
            "promote",
            f"first version: ndcg@10 {new.mean():.4f} against popularity's {popular.mean():.4f}",
        )
    old = gains(live)
    low, high = interval(new - old, users)
    figures = (
        f"ndcg@10 {new.mean():.4f} against {old.mean():.4f} of the live version "
        f"(difference {new.mean() - old.mean():+.4f}, 90 % between {low:+.4f} and {high:+.4f}) "
        f"on {len(new)} later events"
    )
    if tightened:
        figures += "; tightened after a suspicious window: the lower end must lie above zero"
        return Verdict("promote" if low > 0 else "refuse", figures)
    return Verdict("promote" if new.mean() >= old.mean() else "refuse", figures)
