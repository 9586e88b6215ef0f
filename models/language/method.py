"""The cross-encoder as a method of a backtest: something cheap finds candidates, the language model orders them."""

from __future__ import annotations

from collections.abc import Hashable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np

from models.backtest.contract import Method, SharesBase
from models.backtest.log import EventLog
from models.backtest.registry import MethodSettings, make
from models.evaluation import Scorer
from models.histories import Queries, target_queries
from models.language import cross
from models.language.cross import CrossEncoder, CrossSettings, Reranker
from models.language.model import LanguageModel, open_model
from models.language.pairs import Pairs, Texts, learnable, pairs_of
from models.text import load_minilm
from models.timelines import Catalogue


@dataclass(frozen=True)
class RerankSettings(CrossSettings):
    """Say what finds candidates, and which language model orders them."""

    checkpoint: str = ""  # a folder or a name; empty: the packaged MiniLM
    first: str = "popularity"  # a method of the registry, with its default options
    candidates: int = 10
    blend: float = 1.0


class CrossMethod:
    """Learn the language model on the latest events of each call, one adapter that evolves; rank by reranking.

    Without texts an item is called by its id. Says how probable an interaction is, too.
    """

    def __init__(self, settings: RerankSettings, run: MethodSettings) -> None:
        self.settings, self.run = settings, run
        self.first: Method = make(settings.first, MethodSettings(run.seed, {}, run.device, run.threads))
        self.adapter: bytes | None = None
        self.names: tuple[str, ...] = ()
        self.repeats = True
        self.windows = 0
        self.ready: tuple[CrossEncoder, Texts] | None = None  # made of the adapter when it is asked for

    def learn(self, past: EventLog, start: int) -> None:
        """Learn the events of `past` from position `start` on."""
        self.first.learn(past, start)
        self.repeats, self.ready = past.repeats, None
        self.names = names(past)
        examples, alive = self._examples(past, start)
        if len(examples):
            done = cross.learn(
                self._model(), self.names, examples, self.settings, self.adapter, alive, self._seed(), self.run.device
            )
            self.adapter = done.adapter
        self.windows += 1

    def _examples(self, past: EventLog, start: int) -> tuple[Pairs, np.ndarray]:
        """Return the latest examples, and how many items were alive at each."""
        queries = target_queries(past.timelines(start)) if len(past) > start else None
        if queries is None:
            return Pairs((), np.zeros(0, dtype=np.int64)), np.zeros(0, dtype=np.int64)
        query, event = learnable(queries, self.settings.most_examples)
        alive = np.searchsorted(past.about.born, queries.time[query], side="right")
        return pairs_of(queries, query, event, self.settings.history), alive

    def _seed(self) -> int:
        return 1_000 * self.run.seed + self.windows

    def _model(self) -> LanguageModel:
        return open_model(self.settings.checkpoint or load_minilm().path)

    def scorer(self, catalogue: Catalogue) -> Scorer:
        """Return what ranks `catalogue`; until something was learned, the first method alone."""
        first = self.first.scorer(catalogue)
        if self.adapter is None:
            return first
        encoder, texts = self._ready(catalogue.item_ids)
        return Reranker(first, encoder, texts, self.settings.candidates, self.settings.blend, self.repeats)

    def probabilities(self, queries: Queries, item: np.ndarray) -> np.ndarray:
        """Return p(interaction) (Q,) of item (Q,) for each query; one half before anything was learned."""
        if self.adapter is None:
            return np.full(len(item), 0.5)
        encoder, texts = self._ready(())
        newest = 1 + max(int(item.max(initial=0)), int(queries.histories.items.max(initial=0)))
        texts = Texts(texts.notation, texts.pieces + [[]] * (newest - len(texts)))
        return cross.probabilities(encoder.logits(texts, cross.asked(queries, item, self.settings)))

    def _ready(self, item_ids: tuple[str, ...]) -> tuple[CrossEncoder, Texts]:
        """Return the cross-encoder and the texts of what was learned; items that came later are called by their ids."""
        if self.ready is None:
            assert self.adapter is not None
            encoder = cross.load(self._model(), self.adapter, self.settings, self.run.device)
            self.ready = encoder, Texts.of(encoder.model.notation, self.names)
        encoder, texts = self.ready
        if len(item_ids) > len(texts):
            more = encoder.model.notation.pieces(item_ids[len(texts) :])
            self.ready = encoder, Texts(texts.notation, [*texts.pieces, *more])
        return self.ready

    def base_key(self) -> Hashable:
        """Return what the first version depends on: everything."""
        return ("cross-encoder", self.run.seed, self.run.device, self.run.threads, self.settings)

    def begin_like(self, other: SharesBase, base: EventLog) -> None:
        """Take over what another one has learned of the base."""
        assert isinstance(other, CrossMethod)
        self.first, self.adapter, self.ready = deepcopy(other.first), other.adapter, None
        self.names, self.repeats, self.windows = other.names, other.repeats, other.windows


def names(log: EventLog) -> tuple[str, ...]:
    """Return what each item is called: its text, or else its id."""
    return tuple(text or name for text, name in zip(log.about.texts, log.catalogue.item_ids, strict=True))


def cross_encoder(run: MethodSettings) -> CrossMethod:
    """Return a cross-encoder that has learned nothing."""
    return CrossMethod(run.over(RerankSettings(threads=run.threads)), run)
