"""The contract, run for every registered method."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.backtest.registry import METHODS
from models.histories import queries_at
from tests.contracts.method import WORLDS, MethodContract, Options, fresh, scores, world

# Training that a small log needs, by method; a kind that is not named needs nothing less than its defaults.
SMALL: dict[str, Options] = {}


@pytest.fixture(params=sorted(METHODS))
def method(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def options(method: str) -> Options:
    return SMALL.get(method, ())


@pytest.fixture(params=WORLDS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


class TestEveryMethod(MethodContract):
    """All of them keep the contract."""


@pytest.mark.parametrize("method", sorted(name for name, entry in METHODS.items() if entry.kind == "baseline"))
def test_a_baseline_learns_the_same_in_two_windows_as_in_one(method: str, name: str):
    log, base, stop = world(name)
    asked = queries_at(log.before(stop).timelines(), at=float(log.time[stop - 1]) + 1.0)
    parts, whole = fresh(method), fresh(method)
    parts.learn(log.before(base), 0)
    parts.learn(log.before(stop), base)
    whole.learn(log.before(stop), 0)
    np.testing.assert_allclose(*(scores(m, log.before(stop).catalogue, asked) for m in (parts, whole)), rtol=1e-4)


def test_every_baseline_is_in_the_reference():
    rows = (Path(__file__).parents[3] / "docs/reference/learning-methods.md").read_text().splitlines()
    named = {row.split("`")[1] for row in rows if row.startswith("| `")}
    assert named >= {name for name, entry in METHODS.items() if entry.kind == "baseline"}
    assert all(name in METHODS for name in named)
