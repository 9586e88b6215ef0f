"""The recommender as a method of a backtest, under each way of learning on.

Every method is the same class with other settings; each option of an increment and of the replay can be chosen by
name, so an ablation is a row of settings and no code.
"""

from collections.abc import Hashable, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields

import numpy as np

from models.backtest.contract import SharesBase
from models.backtest.log import EventLog
from models.backtest.registry import MethodSettings
from models.evaluation import Scorer
from models.methods.replay import Herding, Inactive, Memory, Nothing, Random, Recent, replayed
from models.recommender import Recommender
from models.scorers import ModelScorer
from models.settings import FitSettings
from models.timelines import Catalogue, Timeline
from models.training import FitReport, fit

# Fields of the settings that a first version does not depend on: it has no parent, no replay and no span yet.
AFTER_BASE = frozenset(
    {
        "epochs", "rate", "history_weight", "distil_new", "distil_replay", "distil_adaptive", "temperature",
        "ewc", "fisher_chunks", "anchor", "interpolate", "dropout", "patience",
        "head_ridge", "head_lasso", "head_gap", "head_epochs",
    }
)  # fmt: skip


@dataclass(frozen=True)
class ContinualSettings(FitSettings):
    """Say how a window is learned: from which weights, and with which earlier events."""

    begin: str = "parent"  # from the weights of the window before; "nothing": anew; "never": the base is all
    span: float = 0.0  # learn the latest events, so many times the base's; 0: the window, or all where it begins anew
    replay: str = "nothing"  # "random", "recent", "inactive" or "herding"
    replay_share: float = 1 / 3  # replayed events, as a share of the window's
    exemplars: int = 10_000  # events that herding keeps
    half_life: float = 0.1  # of recent replay, as a share of the time that was learned

    def fit(self) -> FitSettings:
        """Return what an increment needs of it."""
        return FitSettings(**{f.name: getattr(self, f.name) for f in fields(FitSettings)})

    def memory(self) -> Memory:
        """Return the memory that `replay` names."""
        memories = {
            "nothing": Nothing,
            "random": Random,
            "recent": lambda: Recent(self.half_life),
            "inactive": Inactive,
            "herding": lambda: Herding(self.exemplars),
        }
        return memories[self.replay]()


class Continual:
    """Learn window after window with one recommender."""

    def __init__(self, settings: ContinualSettings, seed: int = 0, device: str = "cpu") -> None:
        self.settings, self.seed, self.device = settings, seed, device
        self.memory = settings.memory()
        self.model: Recommender | None = None
        self.base = 0  # events of the first call
        self.calls = 0
        self.reports: list[FitReport] = []

    def learn(self, past: EventLog, start: int) -> None:
        """Learn the events of `past` from position `start` on."""
        self.base = self.base or len(past)
        if self.model is None or self.settings.begin == "nothing":
            self._learn_anew(past)
        elif self.settings.begin == "never":
            self.model.grow(past.catalogue)
            self.model.clock.fold(past.item[start:], past.time[start:])
        else:
            self._learn_on(self.model, past, start)
        self.calls += 1

    def scorer(self, catalogue: Catalogue) -> Scorer:
        """Return the model as it is, grown to the catalogue."""
        assert self.model is not None, "learn the base first"
        model = deepcopy(self.model)
        model.grow(catalogue)
        return ModelScorer(model)

    def base_key(self) -> Hashable:
        """Return what the first version depends on: seed, device, how it is fitted, and on how much of the base."""
        fitted = [(f.name, getattr(self.settings, f.name)) for f in fields(FitSettings) if f.name not in AFTER_BASE]
        span = self.settings.span if self.settings.span < 1.0 else 0.0
        return ("continual", self.seed, self.device, span, *fitted)

    def begin_like(self, other: SharesBase, base: EventLog) -> None:
        """Take the weights of another one's first version, and remember the base in a way of its own."""
        assert isinstance(other, Continual)
        self.model, self.base, self.calls = deepcopy(other.model), len(base), 1
        assert self.model is not None
        self.reports = list(other.reports)
        start = max(0, len(base) - round(self.settings.span * self.base)) if self.settings.span else 0
        self.memory.remember(self.model, base, start)

    def _learn_anew(self, past: EventLog) -> None:
        """Learn from nothing: all events, or the latest ones, before which only popularity is counted."""
        start = max(0, len(past) - round(self.settings.span * self.base)) if self.settings.span else 0
        self.model = Recommender(past.catalogue, seed=self.seed)
        self.model.clock.fold(past.item[:start], past.time[:start])
        self._fit(self.model, past.timelines(start))
        self.memory.remember(self.model, past, start)

    def _learn_on(self, model: Recommender, past: EventLog, start: int) -> None:
        model.grow(past.catalogue)
        events = round(self.settings.replay_share * (len(past) - start))
        random = np.random.default_rng([self.seed, self.calls])
        again = self.memory.recall(past.before(start), events, random)
        self._fit(model, past.timelines(start), replayed(past.before(start), again))
        self.memory.remember(model, past, start)

    def _fit(self, model: Recommender, new: Sequence[Timeline], replay: Sequence[Timeline] = ()) -> None:
        seed = self.seed * 1_000 + self.calls
        self.reports.append(fit(model, new, replay, self.settings.fit(), seed, self.device))


def _method(settings: MethodSettings, defaults: ContinualSettings) -> Continual:
    return Continual(settings.over(defaults), settings.seed, settings.device)


def static(settings: MethodSettings) -> Continual:
    """Learn the base and nothing after it; popularity and histories stay live."""
    return _method(settings, ContinualSettings(begin="never"))


def full_retrain(settings: MethodSettings) -> Continual:
    """Learn everything anew at each window."""
    return _method(settings, ContinualSettings(begin="nothing"))


def sliding_window(settings: MethodSettings) -> Continual:
    """Learn the latest events anew, half as many as the base had."""
    return _method(settings, ContinualSettings(begin="nothing", span=0.5))


def fine_tune(settings: MethodSettings) -> Continual:
    """Go on with the window alone, nothing dropped out."""
    return _method(settings, ContinualSettings(dropout=0.0))


def dropout(settings: MethodSettings) -> Continual:
    """Go on with the window alone, with dropout: most of what ADER gains over fine-tuning."""
    return _method(settings, ContinualSettings())


def ewc(settings: MethodSettings) -> Continual:
    """Go on with the window, weights that mattered before moving less; the replay is for the Fisher alone."""
    return _method(settings, ContinualSettings(ewc=100.0, replay="random", history_weight=0.0))


def lwf(settings: MethodSettings) -> Continual:
    """Go on with the window, the parent's answers on it as a second teacher."""
    return _method(settings, ContinualSettings(distil_new=0.5))


def anchor(settings: MethodSettings) -> Continual:
    """Go on with the window, held to the parent's weights by a squared distance."""
    return _method(settings, ContinualSettings(anchor=0.1))


def interpolation(settings: MethodSettings) -> Continual:
    """Go on with the window; the mean of parent and child comes out."""
    return _method(settings, ContinualSettings(interpolate=0.5))


def ema(settings: MethodSettings) -> Continual:
    """Go on with the window; an average of the steps comes out."""
    return _method(settings, ContinualSettings(ema=0.98))


def replay_random(settings: MethodSettings) -> Continual:
    """Go on with the window and a sample of earlier moments."""
    return _method(settings, ContinualSettings(replay="random"))


def replay_recent(settings: MethodSettings) -> Continual:
    """Go on with the window and a sample of earlier moments, recent ones more often."""
    return _method(settings, ContinualSettings(replay="recent"))


def replay_inactive(settings: MethodSettings) -> Continual:
    """Go on with the window and a sample of earlier moments, each user as often as another: the workers' replay."""
    return _method(settings, ContinualSettings(replay="inactive"))


def replay_herding(settings: MethodSettings) -> Continual:
    """Go on with the window and exemplars."""
    return _method(settings, ContinualSettings(replay="herding"))


def ader(settings: MethodSettings) -> Continual:
    """Go on with the window; exemplars are there for the parent's answers on them, weighed adaptively."""
    return _method(
        settings,
        ContinualSettings(
            replay="herding", replay_share=1.0, history_weight=0.0, distil_replay=0.8, distil_adaptive=True
        ),
    )
