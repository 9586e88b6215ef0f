"""The contract, run for every registered method."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.backtest.registry import METHODS
from models.histories import queries_at
from models.methods.continual import ContinualSettings
from tests.contracts.method import WORLDS, MethodContract, Options, SharedBaseContract, fresh, scores, world
from tests.support.language import checkpoint

# Training that is enough for a promise to be kept or broken, by kind of method.
SMALL: dict[str, Options] = {
    "continual": (("first_epochs", 1), ("first_steps", 0), ("epochs", 1)),
    "sequential": (("dimensions", 8), ("base_epochs", 1), ("epochs", 1)),
    "ranking": (("first_epochs", 1), ("recommender", ContinualSettings(first_epochs=1, first_steps=0, epochs=1))),
    "language": (("most_examples", 24), ("candidates", 4), ("rank", 2), ("rate", 1e-2)),
}


# What trains does so on one small log in the fast suite, and on all of them in the long one.
CASES = [
    pytest.param(
        (method, name),
        id=f"{method}-{name}",
        marks=[pytest.mark.long] if METHODS[method].kind != "baseline" and name != "sessions" else [],
    )
    for method in sorted(METHODS)
    for name in WORLDS
]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture
def method(case: tuple[str, str]) -> str:
    return case[0]


@pytest.fixture
def name(case: tuple[str, str]) -> str:
    return case[1]


@pytest.fixture(scope="session")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(checkpoint(tmp_path_factory.mktemp("language") / "bert"))


@pytest.fixture
def options(method: str, request: pytest.FixtureRequest) -> Options:
    kind = METHODS[method].kind
    more = (("checkpoint", request.getfixturevalue("language_model")),) if kind == "language" else ()
    return (*SMALL.get(kind, ()), *more)


class TestEveryMethod(MethodContract):
    """All of them keep the contract."""


@pytest.mark.parametrize("name", ["sessions"])
@pytest.mark.parametrize("method", sorted(name for name, entry in METHODS.items() if entry.kind != "baseline"))
class TestEveryMethodThatTrains(SharedBaseContract):
    """They learn a base once for all that differ in what they do afterwards."""


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("method", sorted(name for name, entry in METHODS.items() if entry.kind == "baseline"))
def test_a_baseline_learns_the_same_in_two_windows_as_in_one(method: str, name: str):
    log, base, stop = world(name)
    asked = queries_at(log.before(stop).timelines(), at=float(log.time[stop - 1]) + 1.0)
    parts, whole = fresh(method), fresh(method)
    parts.learn(log.before(base), 0)
    parts.learn(log.before(stop), base)
    whole.learn(log.before(stop), 0)
    np.testing.assert_allclose(*(scores(m, log.before(stop).catalogue, asked) for m in (parts, whole)), rtol=1e-4)


def test_every_method_is_in_the_reference():
    rows = (Path(__file__).parents[3] / "docs/reference/learning-methods.md").read_text().splitlines()
    named = {row.split("`")[1] for row in rows if row.startswith("| `")}
    assert named >= set(METHODS)
    assert all(name in METHODS for name in named)
