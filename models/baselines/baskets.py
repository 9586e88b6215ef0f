"""TIFU-KNN: a user is the decayed mean of the baskets, and takes what was taken before or what similar users take.

Hu, He, Gao and Zhang 2020, "Modeling personalized item frequency information for next-basket recommendation". The
baskets of a user are cut into groups of about equal size; baskets decay within their group, and groups decay among each
other. The score is alpha times the own vector plus (1 - alpha) times the mean vector of the nearest users.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from models.backtest.contract import Method
from models.backtest.log import EventLog
from models.backtest.registry import MethodSettings
from models.baselines.baseline import Baseline, Past, Portion
from models.histories import queries_at

MOST_USERS = 10_000  # among whom neighbours are sought: those with the latest events


@dataclass(frozen=True)
class BasketSettings:
    """Say how baskets decay and how much the neighbours count."""

    groups: int = 7  # m
    within: float = 0.9  # r_b, what is left of a basket for each basket after it in its group
    between: float = 0.7  # r_g, what is left of a group for each group after it
    neighbours: int = 300  # k
    own: float = 0.7  # alpha


class Baskets(Baseline):
    """Rank by the own decayed baskets and those of the nearest users."""

    def __init__(self, settings: BasketSettings) -> None:
        super().__init__()
        self.settings = settings
        self.users = sparse.csr_array((0, 0), dtype=np.float32)  # (U, n)
        self.lengths = np.zeros(0, dtype=np.float32)  # (U,) squared

    def learn_events(self, past: EventLog, start: int) -> None:
        """Compute the vectors of the users with the latest events."""
        queries = queries_at(past.timelines(latest_users(past, MOST_USERS)))
        portion = Portion(queries, Past(queries.histories), len(past.catalogue))
        self.users = basket_vectors(portion, self.settings, portion.size)
        self.lengths = np.asarray(self.users.power(2).sum(axis=1), dtype=np.float32).ravel()

    def score(self, portion: Portion) -> np.ndarray:
        """Return the scores (q, n)."""
        own = basket_vectors(portion, self.settings, self.users.shape[1])
        if not len(self.lengths):
            return own.toarray()
        scores = (self.near(own) @ self.users).toarray()
        scores *= 1.0 - self.settings.own
        scores += self.settings.own * own.toarray()
        return scores

    def near(self, own: sparse.csr_array) -> sparse.csr_array:
        """Return the mean over the nearest users as a matrix (q, U); a user without history has no neighbours."""
        k = min(self.settings.neighbours, len(self.lengths))
        # The square of the own length is the same for all neighbours and changes no order.
        distance = self.lengths - 2.0 * (own @ self.users.T).toarray()  # (q, U)
        column = np.argpartition(distance, k - 1, axis=1)[:, :k].ravel()
        row = np.repeat(np.arange(len(distance)), k)
        known = np.diff(own.indptr)[row] > 0
        share = np.full(int(known.sum()), 1.0 / k, dtype=np.float32)
        return sparse.csr_array((share, (row[known], column[known])), shape=distance.shape)


def basket_vectors(portion: Portion, settings: BasketSettings, size: int) -> sparse.csr_array:
    """Return the decayed mean (q, size) of the baskets in each history."""
    row, event = portion.history()
    moment = portion.past.moment
    baskets = moment[portion.queries.start[row] - 1] + 1
    return portion.rows(row, event, basket_weights(moment[event], baskets, settings), size)


def basket_weights(basket: np.ndarray, baskets: np.ndarray, settings: BasketSettings) -> np.ndarray:
    """Return the weight (m,) of basket number `basket` (m,), counted from 0, among `baskets` (m,).

    The first groups have floor(baskets / groups) baskets each and the last ones one more, so that none is empty.
    """
    groups = np.minimum(settings.groups, baskets)
    small = baskets // groups
    longer = baskets - groups * small  # groups with one basket more
    border = (groups - longer) * small  # the first basket of the first longer group
    late = basket >= border
    length = np.where(late, small + 1, small)
    beyond = np.where(late, basket - border, basket)
    group = np.where(late, groups - longer, 0) + beyond // length
    within = settings.within ** (length - 1 - beyond % length) / length
    return within * settings.between ** (groups - 1 - group) / groups


def latest_users(past: EventLog, most: int) -> int:
    """Return the position from which on the log has events of at most `most` users."""
    _, latest = np.unique(past.user[::-1], return_index=True)
    last = np.sort(len(past) - 1 - latest)
    return int(last[-most]) if len(last) > most else 0


def tifu_knn(settings: MethodSettings) -> Method:
    """Return TIFU-KNN."""
    return Baskets(settings.over(BasketSettings()))
