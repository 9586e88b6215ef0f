"""A recommender with a head as a method of a backtest: it ranks, and says how probable an interaction is.

The head learns each window before the recommender does. Of the base, the recommender learns the first part, the head
the rest, and then the recommender goes on with that.
"""

from collections.abc import Hashable
from copy import deepcopy
from dataclasses import dataclass, field, fields

import numpy as np

from models.backtest.contract import SharesBase
from models.backtest.log import EventLog
from models.backtest.registry import MethodSettings
from models.evaluation import Scorer
from models.histories import Queries, target_queries
from models.methods.continual import Continual, ContinualSettings
from models.ranking.examples import World, examples
from models.ranking.head import Head, Shape
from models.ranking.learning import RankingReport, fit_head
from models.ranking.reranking import HeadScorer, read_pairs
from models.ranking.settings import RankingSettings
from models.recommender import Recommender
from models.scorers import moved_through
from models.timelines import Catalogue


@dataclass(frozen=True)
class RankedSettings(RankingSettings):
    """Say how head and recommender learn together."""

    base_held: float = 0.2  # share of the base, the latest, from which the head learns first
    rerank: bool = True  # False: the recommender's own order
    recommender: ContinualSettings = field(default_factory=lambda: ContinualSettings(replay="inactive"))

    def head(self) -> RankingSettings:
        """Return what the head needs of it."""
        return RankingSettings(**{f.name: getattr(self, f.name) for f in fields(RankingSettings)})


class Ranked:
    """Learn window after window: the head first, then the recommender below it."""

    def __init__(self, settings: RankedSettings, seed: int = 0, device: str = "cpu") -> None:
        self.settings, self.seed = settings, seed
        self.retrieval = Continual(settings.recommender, seed, device)
        self.head: Head | None = None
        self.repeats = True
        self.catalogue: Catalogue | None = None  # that was ranked last: probabilities are asked about its items
        self.reports: list[RankingReport] = []

    @property
    def model(self) -> Recommender:
        """Return the recommender."""
        assert self.retrieval.model is not None, "learn the base first"
        return self.retrieval.model

    def learn(self, past: EventLog, start: int) -> None:
        """Learn the events of `past` from position `start` on."""
        if self.head is None:
            start = self._first_part(past)
            self.retrieval.learn(past.before(start), 0)
        self._learn_head(past, start)
        self.retrieval.learn(past, start)

    def scorer(self, catalogue: Catalogue) -> Scorer:
        """Return the recommender's ranking, its best items in the head's order."""
        self.catalogue = catalogue
        if not self.settings.rerank or self.head is None:
            return self.retrieval.scorer(catalogue)
        return HeadScorer(self._grown(), self.head, World(self.repeats), self.settings.best)

    def probabilities(self, queries: Queries, item: np.ndarray) -> np.ndarray:
        """Return p(interaction) (Q,) of item (Q,) in a question of two items, one of which was taken."""
        assert self.head is not None, "learn the base first"
        given = read_pairs(self._grown(), queries, item, World(self.repeats))
        return self.head.probabilities(given)[:, 0]

    def base_key(self) -> Hashable:
        """Return what the first version depends on."""
        return ("ranked", repr(self.settings), self.retrieval.base_key())

    def begin_like(self, other: SharesBase, base: EventLog) -> None:
        """Take what another one made of the base."""
        assert isinstance(other, Ranked)
        self.head, self.repeats, self.reports = deepcopy(other.head), other.repeats, list(other.reports)
        self.retrieval = deepcopy(other.retrieval)

    def _first_part(self, past: EventLog) -> int:
        """Return where the part of the base begins that the head learns; a moment is never parted."""
        edge = past.time[min(len(past) - 1, round(len(past) * (1 - self.settings.base_held)))]
        place = int(np.searchsorted(past.time, edge))
        return place or len(past)

    def _learn_head(self, past: EventLog, start: int) -> None:
        self.repeats = past.repeats
        world = World(past.repeats, past.about.born, past.about.category)
        self.model.grow(past.catalogue)
        timelines = past.timelines(start)
        queries = target_queries(timelines)
        if past.sessions:
            queries = queries[queries.start > queries.first]
        values = np.concatenate([np.zeros(0, dtype=np.float32), *(t.values for t in timelines)])
        settings, seed = self.settings.head(), self.seed * 1_000 + self.retrieval.calls
        clock = moved_through(self.model.clock, queries)
        rows = examples(self.model, clock, queries, values, settings, world, seed)
        if self.head is None:
            categories = int(past.about.category.max(initial=-1)) + 1
            self.head = Head(Shape.of(settings, self.model.architecture.dimensions, categories), self.seed)
        if rows is not None:
            self.reports.append(fit_head(self.head, rows, settings, seed))

    def _grown(self) -> Recommender:
        """Return the recommender with the items that were ranked last."""
        if self.catalogue is None or len(self.catalogue) <= len(self.model):
            return self.model
        model = deepcopy(self.model)
        model.grow(self.catalogue)
        return model


def ranking_head(settings: MethodSettings) -> Ranked:
    """Return the recommender with replay under a linear head."""
    return Ranked(settings.over(RankedSettings()), settings.seed, settings.device)
