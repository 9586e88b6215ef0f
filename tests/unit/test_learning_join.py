from __future__ import annotations

from typing import Any

import pytest

from benchmarks.learning.findings import Ranks, ranks_of
from benchmarks.learning.join import join
from models.backtest.contest import compete
from models.backtest.prequential import cut
from models.backtest.registry import METHODS, Entry, MethodSettings
from models.backtest.report import document
from tests.unit.models.logs import Counting, Fixed, random_log
from tidegate.errors import BadRequest


def by_number(settings: MethodSettings) -> Fixed:
    return Fixed(1.0 - 2.0 * settings.seed)


def by_count(settings: MethodSettings) -> Counting:
    return Counting()


@pytest.fixture
def methods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "number", Entry(f"{__name__}:by_number", "", "baseline"))
    monkeypatch.setitem(METHODS, "count", Entry(f"{__name__}:by_count", "", "baseline", seeded=False))


def run(*names: str, windows: int = 6, seeds: int = 2) -> tuple[dict[str, Any], Ranks]:
    log = random_log()
    *_, contest = compete(log, cut(log, count=windows), names, seeds)
    return document(contest, "random"), ranks_of(contest)


def test_runs_that_are_joined_say_what_one_run_would_have_said(methods: None):
    whole, ranks = run("number", "count")
    found, joined = join([run("number"), run("count")])
    assert found["comparisons"] == whole["comparisons"]
    assert found["methods"].keys() == whole["methods"].keys()
    assert joined.keys() == ranks.keys()


def test_the_last_run_of_a_method_counts(methods: None):
    found, ranks = join([run("number", "count"), run("number", seeds=1)])
    assert found["methods"]["number"]["seeds"] == 1
    assert {row[1] for row in found["rows"] if row[0] == "number"} == {0}
    assert "number/1" not in ranks


def test_runs_on_other_windows_are_not_joined(methods: None):
    with pytest.raises(BadRequest, match="differ in their windows"):
        join([run("number"), run("count", windows=4)])
