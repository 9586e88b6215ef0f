"""Facts about each way of learning on, in a small world that turns around."""

import numpy as np
import pytest

from models import checkpoint
from models.backtest.log import EventLog
from models.backtest.prequential import Bases, cut_at, replay
from models.backtest.registry import CONTINUAL, MethodSettings, make
from models.methods.continual import Continual
from tests.unit.models.circles import circle
from tests.unit.models.worlds import HOUR, catalogue

QUICK = {"first_epochs": 10, "first_steps": 0, "epochs": 3, "chunks": 4, "first_rate": 1e-2, "rate": 1e-2}
LEARNERS = sorted(set(CONTINUAL) - {"static"})
EDGES = HOUR * np.array([12.0, 16, 20])


def made(name: str, **options: object) -> Continual:
    method = make(name, MethodSettings(options=QUICK | options))
    assert isinstance(method, Continual)
    return method


def taken_through(name: str, log: EventLog, **options: object) -> tuple[Continual, list[float]]:
    """Return the method after two windows, and the mean reciprocal rank in each."""
    method = made(name, **options)
    courses = list(replay(method, log, cut_at(log, EDGES), look_back=False))
    return method, [float((1 / judged.ranks.rank).mean()) for judged in courses[-1].judged]


@pytest.fixture(scope="module")
def turning() -> EventLog:
    """The base walks forwards, all windows backwards; only who goes on learning can tell."""
    return circle(length=20, turn=12)


@pytest.fixture(scope="module")
def frozen(turning: EventLog) -> list[float]:
    return taken_through("static", turning)[1]


def name_of(method: Continual) -> str:
    assert method.model is not None
    return checkpoint.weights_hash(checkpoint.dump(method.model))


@pytest.mark.parametrize("name", LEARNERS)
def test_a_method_learns_that_the_world_has_turned(name: str, turning: EventLog, frozen: list[float]):
    # So few steps that an average which is worth having is a short one.
    method, learned = taken_through(name, turning, **({"ema": 0.7} if name == "ema" else {}))
    assert learned[1] > 1.1 * frozen[1]
    model = method.model
    assert model is not None
    age = (model.clock.at - turning.time) / (30 * 24 * HOUR)
    counted = np.bincount(turning.item, np.exp2(-age), minlength=len(model))
    np.testing.assert_allclose(model.clock.counts[:, 2], counted, rtol=1e-6)  # every event once


@pytest.mark.parametrize("name", ["ader", "ewc", "replay-inactive"])
def test_a_method_is_deterministic(name: str, turning: EventLog):
    assert len({name_of(taken_through(name, turning)[0]) for _ in range(2)}) == 1


def test_each_method_is_another():
    assert len({made(name).settings for name in CONTINUAL}) == len(CONTINUAL)


def test_an_item_that_is_born_after_the_base_is_ranked():
    log = circle()
    method = make("static", MethodSettings(options=QUICK))
    method.learn(log.before(100), 0)
    assert len(method.scorer(catalogue(15))) == 15
    assert len(method.scorer(log.catalogue)) == 10


def test_a_sliding_window_learns_the_latest_events_only(turning: EventLog):
    base = int(np.searchsorted(turning.time, EDGES[0]))
    assert taken_through("sliding-window", turning, span=0.5)[0].reports[-1].targets == base // 2
    assert taken_through("full-retrain", turning)[0].reports[-1].targets == len(turning)


@pytest.mark.parametrize("name", ["fine-tune", "ader", "sliding-window"])
def test_a_method_that_begins_like_another_learns_what_it_would_have_learned_alone(name: str, turning: EventLog):
    windows = cut_at(turning, EDGES)
    bases: Bases = {}
    for method in (made("static", span=made(name).settings.span), shared := made(name)):
        *_, _ = replay(method, turning, windows, look_back=False, bases=bases)
    assert len(bases) == 1
    assert name_of(shared) == name_of(taken_through(name, turning)[0])


def test_methods_that_learn_the_base_otherwise_do_not_share_it():
    assert made("fine-tune").base_key() == made("ader").base_key()
    assert made("fine-tune").base_key() != made("ema").base_key()
    assert made("fine-tune").base_key() != made("fine-tune", first_epochs=3).base_key()
    assert made("fine-tune").base_key() != made("sliding-window").base_key()
