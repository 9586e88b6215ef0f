"""SASRec over item ids, learned once, anew in each window, or on and on (Kang and McAuley 2018).

The recipe is plain and fixed: whole softmax (sampled over MOST_SOFTMAX items), Adam, thirty epochs over the base and
three over each window. Base epochs are fewer where the log is long, because one thread has to get through.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from models.backtest.contract import Method, SharesBase
from models.backtest.log import EventLog
from models.backtest.registry import MethodSettings
from models.baselines.attention import Network, Shape
from models.baselines.baseline import Baseline, Past, Portion
from models.baselines.stretches import Reader, Rows
from models.batches import MOST_SCORES
from models.histories import Queries, target_queries
from models.training import repeatable

MOST_SOFTMAX = 20_000  # items; beyond, the softmax is over the targets and shared candidates


@dataclass(frozen=True)
class SasrecSettings(Shape):
    """Say how it learns."""

    windows: str = "fine-tune"  # what a window does: "fine-tune", "retrain", "slide" (retrain on the latest) or "none"
    base_epochs: int = 30
    epochs: int = 3
    most_targets: int = 3_000_000  # events that all base epochs together may ask for
    rate: float = 1e-3  # Adam step
    queries: int = 1_600  # moments of a batch: 32 stretches of 50
    candidates: int = 512  # of a sampled softmax, drawn uniformly

    @property
    def shape(self) -> Shape:
        """Return what the network needs of it."""
        return Shape(self.dimensions, self.blocks, self.heads, self.length, self.dropout)


class Sasrec(Baseline):
    """Rank by the state after the latest events."""

    def __init__(self, settings: SasrecSettings, run: MethodSettings) -> None:
        super().__init__()
        self.settings, self.run = settings, run
        self.network: Network | None = None
        self.base = 0  # events of the first call
        self.calls = 0

    def learn_events(self, past: EventLog, start: int) -> None:
        """Learn the window, or everything that is to be learned anew."""
        self.base = self.base or len(past)
        windows = "base" if self.network is None else self.settings.windows
        if windows == "fine-tune":
            self._fit(past, start, self.settings.epochs)
        elif windows != "none":
            self.network = None
            # A sliding window is as long as the base was.
            self._fit(past, len(past) - self.base if windows == "slide" else 0, self.settings.base_epochs)
        self.calls += 1

    def base_key(self) -> Hashable:
        """Return what the first version depends on: everything but what becomes of the windows."""
        return ("sasrec", self.run.seed, self.run.threads, replace(self.settings, windows="none", epochs=0))

    def begin_like(self, other: SharesBase, base: EventLog) -> None:
        """Take over the network and the counts of another one that has learned the base."""
        assert isinstance(other, Sasrec)
        self.network, self.popularity = deepcopy(other.network), deepcopy(other.popularity)
        self.base, self.calls = len(base), 1

    def score(self, portion: Portion) -> np.ndarray:
        """Return the scores (q, N); items that were never learned are as good as the worst of the others."""
        assert self.network is not None, "learn the base first"
        scores = np.empty((len(portion), portion.size), dtype=np.float32)
        reader = Reader(portion.queries, portion.past, self.settings.length)
        with torch.inference_mode():
            for chosen in reader.in_order(self.settings.queries):
                rows = reader.rows(chosen)
                known = states(self.network.eval(), rows) @ self.network.items.T
                scores[rows.number, : known.shape[1]] = known.numpy()
        learned = len(self.network.items)
        scores[:, learned:] = scores[:, :learned].min(axis=1, keepdims=True)
        return scores

    def _fit(self, past: EventLog, start: int, epochs: int) -> None:
        queries = target_queries(past.timelines(start))
        targets = int((queries.stop - queries.start).sum())
        epochs = max(1, min(epochs, self.settings.most_targets // max(1, targets)))
        with self.repeatable():
            self.network = self.network or Network(self.settings.shape)
            self.network.grow(len(past.catalogue))
            train(self.network, queries, self.settings, epochs, self.random())

    def repeatable(self) -> AbstractContextManager[None]:
        """Make what is drawn inside depend on the seed and the number of the window."""
        return repeatable(self.run.seed * 1_000 + self.calls, torch.device("cpu"), self.run.threads)

    def random(self) -> np.random.Generator:
        """Return a generator of the seed and the number of the window."""
        return np.random.default_rng([self.run.seed, self.calls])


def train(
    network: Network,
    queries: Queries,
    settings: SasrecSettings,
    epochs: int,
    random: np.random.Generator,
    besides: Callable[[Network], Tensor] | None = None,
) -> None:
    """Fit the network in place to the events that the queries ask for; `besides` adds to the loss of each step."""
    reader, size = Reader(queries, Past(queries.histories), settings.length), len(network.items)
    width = size if size <= MOST_SOFTMAX else settings.candidates
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.rate, foreach=True)
    network.train()
    for _ in range(epochs):
        for chosen in reader.shuffled(min(settings.queries, max(1, MOST_SCORES // width)), random):
            total = loss(network, reader.rows(chosen), queries, candidates(size, settings, random))
            if besides is not None:
                total = total + besides(network)
            optimiser.zero_grad(set_to_none=True)
            total.backward()
            optimiser.step()


def states(network: Network, rows: Rows) -> Tensor:
    """Return the states (Q, d) of the queries."""
    after = network(rows.items, rows.gaps).flatten(0, 1)
    return torch.nn.functional.embedding(rows.place, torch.cat([after, network.start[None]]))


def candidates(size: int, settings: SasrecSettings, random: np.random.Generator) -> Tensor | None:
    """Return items (S,) that stand for all of them, drawn uniformly; None where the softmax is whole."""
    if size <= MOST_SOFTMAX:
        return None
    return torch.from_numpy(random.integers(size, size=settings.candidates))


def loss(network: Network, rows: Rows, queries: Queries, drawn: Tensor | None) -> Tensor:
    """Return the mean cross-entropy () of the events to be found, each against all items or the `drawn` (S,) ones."""
    target_query, target_item = (torch.from_numpy(part.astype(np.int64)) for part in queries[rows.number].targets())
    state = states(network, rows)
    if drawn is None:
        scores = state @ network.items.T  # (Q, N)
        return (scores.logsumexp(dim=1)[target_query] - scores[target_query, target_item]).mean()
    found = (state[target_query] * torch.nn.functional.embedding(target_item, network.items)).sum(dim=1)  # (M,)
    # A drawn item stands for N / S of them.
    others = state @ torch.nn.functional.embedding(drawn, network.items).T + math.log(len(network.items) / len(drawn))
    others = others[target_query].masked_fill(drawn == target_item[:, None], -math.inf)  # (M, S)
    return (torch.cat([found[:, None], others], dim=1).logsumexp(dim=1) - found).mean()


def fine_tune(settings: MethodSettings) -> Method:
    """Go on with each window alone."""
    return Sasrec(settings.over(SasrecSettings()), settings)


def static(settings: MethodSettings) -> Method:
    """Learn the base and nothing after it."""
    return Sasrec(settings.over(SasrecSettings(windows="none")), settings)


def retrain(settings: MethodSettings) -> Method:
    """Learn everything anew in each window."""
    return Sasrec(settings.over(SasrecSettings(windows="retrain")), settings)


def slide(settings: MethodSettings) -> Method:
    """Learn the latest events anew in each window, as many as the base had."""
    return Sasrec(settings.over(SasrecSettings(windows="slide")), settings)
