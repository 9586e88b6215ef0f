"""ADER as its authors built it: SASRec, dropout, exemplars by herding, and the parent's answers on them.

Mi, Lin and Faltings 2020, "ADER: Adaptively distilled exemplar replay towards continual learning for session-based
recommendation". An item has exemplars in proportion to how often it was taken, chosen so that their mean state is that
of all its events. While a window is learned, the answers on exemplars are held to those of the network before it, the
more so, the more exemplars there are beside the window and the fewer items are new. The learner's own `ader` does the
same with the whole recommender.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.backtest.contract import Method, SharesBase
from models.backtest.log import EventLog
from models.backtest.registry import MethodSettings
from models.baselines.attention import Network
from models.baselines.baseline import Past
from models.baselines.sasrec import Sasrec, SasrecSettings, states, train
from models.baselines.stretches import Reader
from models.batches import MOST_SCORES
from models.histories import Queries, target_queries
from models.methods.exemplars import herded
from models.methods.replay import moments, positions, replayed

CANDIDATES = 10  # exemplars are chosen among the latest events, so many times their number


@dataclass(frozen=True)
class AderSettings(SasrecSettings):
    """Say how much is remembered."""

    exemplars: int = 30_000  # events that are kept
    distil: float = 0.8  # lambda_base


class Ader(Sasrec):
    """Rank as SASRec does; go on with each window, and rehearse."""

    def __init__(self, settings: AderSettings, run: MethodSettings) -> None:
        super().__init__(settings, run)
        self.remembered = settings
        self.kept = np.zeros(0, dtype=np.int64)  # positions in the log

    def learn_events(self, past: EventLog, start: int) -> None:
        """Learn the base like SASRec and a window with rehearsal, then choose the exemplars."""
        if self.network is None:
            super().learn_events(past, start)
        else:
            self._go_on(self.network, past, start)
            self.calls += 1
        self.remember(past, start)

    def base_key(self) -> Hashable:
        """Return what the first version depends on: the same as SASRec's."""
        shared = {name: getattr(self.settings, name) for name in SasrecSettings.__dataclass_fields__}
        return Sasrec(SasrecSettings(**shared), self.run).base_key()

    def begin_like(self, other: SharesBase, base: EventLog) -> None:
        """Take over the network of another one, and choose exemplars of the base."""
        super().begin_like(other, base)
        self.remember(base, 0)

    def remember(self, past: EventLog, start: int) -> None:
        """Choose the exemplars among the latest events from `start` on and those that were kept."""
        assert self.network is not None
        latest = np.arange(max(start, len(past) - CANDIDATES * self.remembered.exemplars), len(past))
        of = moments(past)
        asked = np.unique(of.of[np.concatenate([self.kept, latest])])
        if not len(asked):
            return
        candidates = positions(of, asked)
        with self.repeatable():
            vectors = states_before(self.network, target_queries(replayed(past, candidates)), self.settings)
        of_candidate = vectors[np.searchsorted(asked, of.of[candidates])]
        self.kept = candidates[herded(past.item[candidates], of_candidate, self.remembered.exemplars)]

    def _go_on(self, network: Network, past: EventLog, start: int) -> None:
        queries = target_queries(past.timelines(start))
        random = self.random()
        with self.repeatable():
            parent = deepcopy(network).eval()
            network.grow(len(past.catalogue))
            besides = None
            if len(self.kept) and len(queries):
                share = adaptive(len(parent.items), len(network.items), len(self.kept), len(past) - start)
                old = target_queries(replayed(past.before(start), self.kept))
                besides = Rehearsal(parent, old, self.settings, self.remembered.distil * share, len(queries), random)
            train(network, queries, self.settings, self.settings.epochs, random, besides)


class Rehearsal:
    """Hold a network's answers on exemplars to those of its parent, some exemplars at a time."""

    def __init__(
        self,
        parent: Network,
        queries: Queries,
        settings: SasrecSettings,
        weight: float,
        new: int,
        random: np.random.Generator,
    ) -> None:
        self.parent, self.weight, self.random = parent, weight, random
        self.reader = Reader(queries, Past(queries.histories), settings.length)
        # All exemplars have their turn while the `new` moments have theirs, if their scores fit.
        turn = math.ceil(settings.queries * len(queries) / new)
        self.queries = max(1, min(turn, settings.queries, MOST_SCORES // len(parent.items)))
        self.waiting: list[np.ndarray] = []

    def __call__(self, network: Network) -> Tensor:
        """Return the weighted cross-entropy () of the next exemplars' answers, over the items that the parent knew."""
        self.waiting = self.waiting or self.reader.shuffled(self.queries, self.random)
        rows = self.reader.rows(self.waiting.pop())
        with torch.no_grad():
            wanted = (states(self.parent, rows) @ self.parent.items.T).softmax(dim=1)
        said = (states(network, rows) @ network.items[: len(self.parent.items)].T).log_softmax(dim=1)
        return -self.weight * (wanted * said).sum(dim=1).mean()


def adaptive(items_before: int, items_now: int, exemplars: int, new: int) -> float:
    """Return ADER's sqrt(|I before| / |I now| * |exemplars| / |new events|)."""
    return math.sqrt(items_before / items_now * exemplars / new)


@torch.inference_mode()
def states_before(network: Network, queries: Queries, settings: SasrecSettings) -> np.ndarray:
    """Return the state (Q, d) before each moment."""
    reader = Reader(queries, Past(queries.histories), settings.length)
    vectors = np.zeros((len(queries), settings.dimensions), dtype=np.float32)
    for chosen in reader.in_order(settings.queries):
        rows = reader.rows(chosen)
        vectors[rows.number] = states(network.eval(), rows).numpy()
    return vectors


def ader(settings: MethodSettings) -> Method:
    """Return ADER over item ids."""
    return Ader(settings.over(AderSettings()), settings)
