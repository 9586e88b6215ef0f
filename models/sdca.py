"""A convex head, solved with a certificate.

Proximal stochastic dual coordinate ascent (Shalev-Shwartz and Zhang 2012, "Proximal stochastic dual coordinate
ascent"; 2014, "Accelerated proximal stochastic dual coordinate ascent for regularized loss minimization") for

    P(w) = 1/n sum_i c_i ln(1 + exp(-y_i (x_i . w + o_i)))  +  ridge / 2 |w|^2  +  lasso |w|_1

with weights c_i (new rows and history: L(D) + history_weight * L'(D')) and offsets o_i (what is frozen says already).
There is no step size. Each row has a dual variable b_i in [0, 1]; the dual value D(b) is a lower bound of the minimum,
so P(w) - D(b) says how far from it w is at most, whoever computed it.
"""

from dataclasses import dataclass
from math import exp

import numpy as np

NEWTON = 50  # steps of a coordinate at most; three are usual
SETTLED = 1e-10


@dataclass(frozen=True)
class Rows:
    """Hold a problem of logistic regression."""

    features: np.ndarray  # (n, k) float64
    label: np.ndarray  # (n,) float64, +1 or -1
    weight: np.ndarray  # (n,) float64, c
    offset: np.ndarray  # (n,) float64, o

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True)
class Solution:
    """Hold the weights and their certificate."""

    w: np.ndarray  # (k,) float64
    gap: float  # P(w) - min P is at most this, in nats a row
    epochs: int


def solve(rows: Rows, ridge: float, lasso: float = 0.0, gap: float = 1e-4, epochs: int = 50, seed: int = 0) -> Solution:
    """Go over the rows in random orders until the duality gap is at most `gap`, or `epochs` times.

    `ridge` must be positive: it is what makes the dual a bound.
    """
    random = np.random.default_rng(seed)
    dual, v = np.zeros(len(rows)), np.zeros(rows.features.shape[1])
    found = Solution(soft(v, lasso / ridge), duality_gap(rows, dual, ridge, lasso), 0)
    while found.gap > gap and found.epochs < epochs:
        _pass(rows, random.permutation(len(rows)), dual, v, ridge, lasso)
        found = Solution(soft(v, lasso / ridge), duality_gap(rows, dual, ridge, lasso), found.epochs + 1)
    return found


def primal(rows: Rows, w: np.ndarray, ridge: float, lasso: float = 0.0) -> float:
    """Return P(w)."""
    margin = rows.label * (rows.features @ w + rows.offset)
    loss = float(rows.weight @ np.logaddexp(0.0, -margin)) / max(1, len(rows))
    return loss + ridge / 2 * float(w @ w) + lasso * float(np.abs(w).sum())


def duality_gap(rows: Rows, dual: np.ndarray, ridge: float, lasso: float = 0.0) -> float:
    """Return P(w) - D(dual) of the weights w that the dual variables (n,) in [0, 1] stand for."""
    signed = rows.label * rows.weight * dual
    w = soft(rows.features.T @ signed / (ridge * max(1, len(rows))), lasso / ridge)
    conjugates = rows.weight @ _negative_entropy(dual) + rows.offset @ signed
    return primal(rows, w, ridge, lasso) + float(conjugates) / max(1, len(rows)) + ridge / 2 * float(w @ w)


def soft(v: np.ndarray, threshold: float) -> np.ndarray:
    """Return v (k,) moved towards zero by `threshold`: the gradient of the regulariser's conjugate."""
    return np.sign(v) * np.maximum(np.abs(v) - threshold, 0.0)


def _pass(rows: Rows, order: np.ndarray, dual: np.ndarray, v: np.ndarray, ridge: float, lasso: float) -> None:
    """Ascend once along each row's dual variable; `dual` (n,) and `v` (k,) change in place."""
    share = 1.0 / (ridge * len(rows))
    steps = rows.weight * np.square(rows.features).sum(axis=1) * share
    w = soft(v, lasso / ridge)
    for i in order.tolist():
        x, y = rows.features[i], rows.label[i]
        better = _coordinate(dual[i], y * (x @ w + rows.offset[i]), steps[i])
        v += x * (y * rows.weight[i] * (better - dual[i]) * share)
        dual[i] = better
        w = soft(v, lasso / ridge) if lasso else v


def _coordinate(b: float, margin: float, q: float) -> float:
    """Return the b' in (0, 1) at which the dual is highest along a coordinate: logit(b') + margin + q (b' - b) = 0.

    The left side rises with logit(b'), so its zero is bracketed; a step of Newton that leaves the bracket halves it.
    """
    low, high = -margin - q * (1 - b), -margin + q * b
    z = min(max(-margin, low), high)
    for _ in range(NEWTON):
        p = _sigmoid(z)
        value = z + margin + q * (p - b)
        low, high = (low, z) if value > 0 else (z, high)
        following = z - value / (1 + q * p * (1 - p))
        following = following if low <= following <= high else (low + high) / 2
        if abs(following - z) < SETTLED:
            break
        z = following
    return _sigmoid(z)


def _sigmoid(z: float) -> float:
    return 1 / (1 + exp(-z)) if z >= 0 else exp(z) / (1 + exp(z))


def _negative_entropy(b: np.ndarray) -> np.ndarray:
    """Return b ln b + (1 - b) ln(1 - b) (n,), zero at both ends."""
    inside = np.clip(b, 1e-300, 1.0), np.clip(1 - b, 1e-300, 1.0)
    return b * np.log(inside[0]) + (1 - b) * np.log(inside[1])
