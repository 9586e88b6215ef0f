"""A map after which probabilities are frequencies.

Each map is of a density f to a density, fitted on rows that were not learned from, so it holds for any odds. Platt
(1999) moves and stretches; a temperature (Guo et al. 2017) only stretches; isotonic regression (Zadrozny and Elkan
2002) is any rising curve, here linear between the middles of its steps.
"""

from dataclasses import dataclass, field

import numpy as np

from models.errors import UnknownChoice

KINDS = ("platt", "isotonic", "temperature", "none")
LEAST_ROWS = 20  # of each kind; fewer say nothing that is worth a map
NEWTON = 30  # steps; five are usual
SETTLED = 1e-9
PULL = 1e-3  # towards no change, in nats a row: where all rows agree, a slope would otherwise run to infinity
BINS = 15
CERTAIN = 12.0  # no density is further from one, in nats: e^12 is one in 160,000


@dataclass(frozen=True)
class Calibration:
    """Map f to slope f + shift, or along a curve."""

    slope: float = 1.0
    shift: float = 0.0
    knots: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (k,) increasing f
    values: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (k,) never decreasing

    def __call__(self, f: np.ndarray) -> np.ndarray:
        """Return the calibrated f (P,)."""
        if len(self.knots):
            return np.interp(f, self.knots, self.values)
        return self.slope * f + self.shift


@dataclass(frozen=True)
class Quality:
    """Say how good probabilities are; in a question of two items, of which one was taken."""

    log_loss: float  # nats
    error: float  # expected calibration error
    rows: int


def calibrated(kind: str, f: np.ndarray, taken: np.ndarray, draws: int) -> Calibration:
    """Return the map that `kind` names, from f (n,) of taken items and of `draws` uniform ones for each of them.

    No map is made of few rows. Raises UnknownChoice.
    """
    if kind not in KINDS:
        raise UnknownChoice.of("calibration", kind, KINDS)
    if kind == "none" or min(taken.sum(), (~taken).sum()) < LEAST_ROWS:
        return Calibration()
    weight = np.where(taken, 1.0, 1.0 / draws)
    return isotonic(f, taken, weight) if kind == "isotonic" else platt(f, taken, weight, shifts=kind == "platt")


def platt(f: np.ndarray, taken: np.ndarray, weight: np.ndarray, shifts: bool = True) -> Calibration:
    """Return the slope and, where it `shifts`, the shift of the logistic regression on f (n,), by Newton's method."""
    x = np.column_stack([f, np.ones_like(f) * shifts]).astype(np.float64)
    sign, weight, start = np.where(taken, 1.0, -1.0), weight / weight.sum(), np.array([1.0, 0.0])

    def cost(w: np.ndarray) -> float:
        return float(weight @ np.logaddexp(0.0, -sign * (x @ w)) + PULL / 2 * np.square(w - start).sum())

    w = start
    for _ in range(NEWTON):
        p = 1.0 / (1.0 + np.exp(-np.clip(x @ w, -30, 30)))
        slope = x.T @ (weight * (p - taken)) + PULL * (w - start)
        curvature = (x * (weight * p * (1 - p))[:, None]).T @ x + PULL * np.eye(2)
        step = np.linalg.solve(curvature, slope)
        while cost(w - step) > cost(w) and np.abs(step).max() > SETTLED:
            step = step / 2
        w = w - step
        if np.abs(step).max() <= SETTLED:
            break
    return Calibration(float(max(w[0], 0.0)), float(w[1]))


def isotonic(f: np.ndarray, taken: np.ndarray, weight: np.ndarray) -> Calibration:
    """Return the rising curve nearest to what happened: pools of adjacent violators (Ayer et al. 1955)."""
    order = np.argsort(f, kind="stable")
    pools: list[list[float]] = []  # weight, weight that was taken, weighted f
    for x, y, w in zip(f[order].tolist(), taken[order].tolist(), weight[order].tolist(), strict=True):
        pools.append([w, w * y, w * x])
        while len(pools) > 1 and pools[-2][1] * pools[-1][0] >= pools[-1][1] * pools[-2][0]:
            last = pools.pop()
            pools[-1] = [a + b for a, b in zip(pools[-1], last, strict=True)]
    mass, hits, middle = (np.array(column) for column in zip(*pools, strict=True))
    # Half a row of each kind more, so that no pool is certain.
    half = 0.5 * weight.min()
    values = np.log(hits + half) - np.log(mass - hits + half)
    return Calibration(knots=middle / mass, values=np.maximum.accumulate(np.clip(values, -CERTAIN, CERTAIN)))


def quality(f: np.ndarray, taken: np.ndarray, draws: int) -> Quality:
    """Judge the probabilities of densities f (n,) on taken items and `draws` uniform ones for each of them.

    Each drawn item counts as the share of one, so that half of the questions are taken ones.
    """
    weight = np.where(taken, 1.0, 1.0 / draws)
    if not weight.sum():
        return Quality(float("nan"), float("nan"), 0)
    loss = np.logaddexp(0.0, np.where(taken, -f, f))
    return Quality(float(weight @ loss / weight.sum()), calibration_error(f, taken, weight), len(f))


def calibration_error(f: np.ndarray, taken: np.ndarray, weight: np.ndarray) -> float:
    """Return the mean distance of what was said from what was, over BINS equally heavy bins (Naeini et al. 2015)."""
    order = np.argsort(f, kind="stable")
    p, y, w = 1.0 / (1.0 + np.exp(-f[order])), taken[order], weight[order]
    heavy = np.cumsum(w)
    number = np.minimum((heavy - w / 2) / heavy[-1] * BINS, BINS - 1).astype(np.int64)
    return float(np.abs(np.bincount(number, w * (p - y))).sum() / heavy[-1])
