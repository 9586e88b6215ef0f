"""The methods that can take part in a backtest, by name.

One table says what a method is, where it comes from, where its code lives and among which values its hyper-parameters
are chosen. A method's code is imported when the method is asked for and not before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib import import_module
from itertools import product
from typing import Any, TypeVar

from models.backtest.contract import Method
from models.errors import UnknownMethod

Options = Mapping[str, Any]
Values = TypeVar("Values")


@dataclass(frozen=True)
class MethodSettings:
    """Say how one run of a method is made."""

    seed: int = 0
    options: Options = field(default_factory=dict)  # hyper-parameters by name; what is not named keeps its default
    device: str = "cpu"
    threads: int = 1

    def over(self, defaults: Values) -> Values:
        """Return the dataclass `defaults` with the options written over it; raise UnknownMethod for a strange one."""
        known = {f.name: getattr(defaults, f.name) for f in fields(defaults)}  # type: ignore[arg-type]
        if strange := set(self.options) - set(known):
            raise UnknownMethod(f"no option {', '.join(sorted(strange))}; there are {', '.join(sorted(known))}")
        return type(defaults)(**(known | dict(self.options)))


Factory = Callable[[MethodSettings], Method]


@dataclass(frozen=True)
class Entry:
    """Describe a method."""

    factory: str  # "package.module:name" of a Factory
    about: str  # one line: what it does, and who described it
    kind: str  # "baseline", "sequential", "continual", "ranking" or "language"
    seeded: bool = True  # False: another seed gives the same ranks, so one run says it all
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # values that are tried for each option
    repeats_only: bool = False  # it knows nothing but what a user took before
    slow: bool = False  # takes part when it or its kind is named, not among all: a pair of texts is read for each rank

    def combinations(self) -> list[dict[str, Any]]:
        """Return every combination of the choices; one empty one where there is nothing to choose."""
        return [dict(zip(self.choices, values, strict=True)) for values in product(*self.choices.values())]


def _continual(name: str, about: str, **choices: tuple[Any, ...]) -> Entry:
    return Entry(f"models.methods.continual:{name}", about, "continual", choices=choices)


# The recommender, under each way of learning on.
CONTINUAL = {
    "static": _continual("static", "the base and nothing after it; popularity and histories stay live"),
    "full-retrain": _continual("full_retrain", "everything anew at each window"),
    "sliding-window": _continual("sliding_window", "the latest events anew", span=(0.25, 0.5, 1.0)),
    "fine-tune": _continual("fine_tune", "go on with the window alone, no dropout", rate=(1e-4, 3e-4, 1e-3)),
    "dropout": _continual("dropout", "fine-tune with dropout (Mi et al. 2020)", rate=(1e-4, 3e-4, 1e-3)),
    "ewc": _continual("ewc", "elastic weight consolidation (Kirkpatrick et al. 2017)", ewc=(10.0, 100.0, 1000.0)),
    "lwf": _continual("lwf", "distillation on new rows (Li and Hoiem 2016)", distil_new=(0.2, 0.5, 1.0)),
    "anchor": _continual("anchor", "L2 to the parent (Li et al. 2018, L2-SP)", anchor=(0.01, 0.1, 1.0)),
    "interpolation": _continual(
        "interpolation", "mean of parent and child (Wortsman et al. 2022)", interpolate=(0.25, 0.5)
    ),
    "ema": _continual("ema", "average of the steps (Polyak and Juditsky 1992)", ema=(0.95, 0.99)),
    "replay-random": _continual("replay_random", "experience replay (Chaudhry et al. 2019)", replay_share=(0.33, 1.0)),
    "replay-recent": _continual("replay_recent", "replay of recent moments", half_life=(0.05, 0.1, 0.3)),
    "replay-inactive": _continual(
        "replay_inactive", "replay, every user as often as another (after EvoRec)", replay_share=(0.33, 1.0)
    ),
    "replay-herding": _continual(
        "replay_herding", "replay of exemplars (Rebuffi et al. 2017, iCaRL)", replay_share=(0.33, 1.0)
    ),
    "ader": _continual("ader", "distilled exemplar replay (Mi et al. 2020, ADER)", distil_replay=(0.4, 0.8, 1.6)),
}

# Cheap answers that say nothing of text. Where nothing is to be drawn, a seed changes nothing.
BASELINES = {
    "popularity": Entry(
        "models.baselines.popularity:recent", "what everybody took lately, live, half-life a week", "baseline", False
    ),
    "popularity-all-time": Entry(
        "models.baselines.popularity:all_time", "what everybody took ever, live", "baseline", False
    ),
    "covisitation": Entry(
        "models.baselines.covisitation:covisitation",
        "what followed the last items, and shared their baskets (Ludewig and Jannach 2018, sequential rules)",
        "baseline",
        False,
        {"latest": (1, 5), "reach": (10, 30)},
    ),
    "item-knn": Entry(
        "models.baselines.neighbours:item_knn", "cosine of items, K = 50 (Sarwar et al. 2001)", "baseline", False
    ),
    "ials": Entry(
        "models.baselines.factors:ials",
        "matrix factorisation of implicit feedback (Hu et al. 2008)",
        "baseline",
        choices={"alpha": (1.0, 10.0), "regularisation": (0.01, 10.0)},
    ),
    "ease": Entry(
        "models.baselines.ease:ease",
        "linear autoencoder in closed form (Steck 2019)",
        "baseline",
        False,
        {"ridge": (50.0, 200.0, 800.0)},
    ),
    "v-sknn": Entry(
        "models.baselines.sessions:vsknn", "votes of similar sessions (Ludewig and Jannach 2018)", "baseline", False
    ),
    "own-frequency": Entry(
        "models.baselines.own:frequency", "what the user took most often", "baseline", False, repeats_only=True
    ),
    "own-recency": Entry(
        "models.baselines.own:recency", "what the user took last", "baseline", False, repeats_only=True
    ),
    "tifu-knn": Entry(
        "models.baselines.baskets:tifu_knn",
        "decayed baskets, own and of similar users (Hu et al. 2020)",
        "baseline",
        False,
        {"groups": (7, 20), "between": (0.7, 0.9)},
    ),
}


def _sasrec(name: str, about: str, module: str = "sasrec", **choices: tuple[Any, ...]) -> Entry:
    return Entry(f"models.baselines.{module}:{name}", about, "sequential", choices=choices)


# A plain transformer over item ids (Kang and McAuley 2018), under each way of learning on.
SEQUENTIAL = {
    "sasrec-static": _sasrec("static", "SASRec: the base and nothing after it"),
    "sasrec-fine-tune": _sasrec("fine_tune", "SASRec: three epochs over each window"),
    "sasrec-retrain": _sasrec("retrain", "SASRec: everything anew in each window"),
    "sasrec-slide": _sasrec("slide", "SASRec: the latest events anew, as many as the base had"),
    "sasrec-ader": _sasrec("ader", "SASRec with distilled exemplars (Mi et al. 2020, ADER)", "ader", distil=(0.8, 1.6)),
}

# The recommender's best items, once more and closer.
RANKING = {
    "ranking-head": Entry(
        "models.ranking.method:ranking_head",
        "calibrated multi-task head on the recommender with replay (Cheng et al. 2016, wide and deep)",
        "ranking",
        choices={"hidden": (0, 32)},
    ),
}

# A language model that reads history and item together.
LANGUAGE = {
    "cross-encoder": Entry(
        "models.language.method:cross_encoder",
        "history [SEP] item through the language model, reranking the most popular (Nogueira and Cho 2019)",
        "language",
        choices={"blend": (0.0, 1.0)},
        slow=True,
    ),
}

METHODS: dict[str, Entry] = {**BASELINES, **SEQUENTIAL, **CONTINUAL, **RANKING, **LANGUAGE}


# What may be said instead of names.
GROUPS = {
    "all": "",
    "baselines": "baseline",
    "sequential": "sequential",
    "continual": "continual",
    "ranking": "ranking",
    "language": "language",
}


def named(wanted: Sequence[str], repeats: bool = True) -> list[str]:
    """Return the methods that are meant by names and groups.

    A group leaves out what knows nothing but repetition where nothing repeats.
    """
    found: list[str] = []
    for name in wanted:
        kind = GROUPS.get(name)
        members = [
            other
            for other, said in METHODS.items()
            if (kind == said.kind or (kind == "" and not said.slow)) and (repeats or not said.repeats_only)
        ]
        found += [name] if kind is None else members
    return list(dict.fromkeys(found))


def entry(name: str) -> Entry:
    """Return what the table says of a method; raise UnknownMethod."""
    if name not in METHODS:
        raise UnknownMethod(f"no method {name!r}; there are {', '.join(sorted(METHODS))}")
    return METHODS[name]


def make(name: str, settings: MethodSettings) -> Method:
    """Return a method that has learned nothing yet; raise UnknownMethod."""
    module, _, attribute = entry(name).factory.partition(":")
    factory: Factory = getattr(import_module(module), attribute)
    return factory(settings)
