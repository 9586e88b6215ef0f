from __future__ import annotations

import math

import numpy as np
import pytest

from models.backtest import answers, bootstrap
from models.backtest.answers import auc, calibration_error
from models.backtest.contest import Contest, compete
from models.backtest.figures import Run, gains
from models.backtest.prequential import cut, cut_at, replay, window_queries
from models.backtest.registry import METHODS, Entry, MethodSettings, make
from models.backtest.segments import popular_share, segments
from models.errors import UnknownMethod
from tests.unit.models.logs import DAY, Counting, Fixed, log_of, random_log


def oracle(settings: MethodSettings) -> Fixed:
    return Fixed(settings.options.get("factor", 1.0))


def counting(settings: MethodSettings) -> Counting:
    return Counting()


def broken(settings: MethodSettings) -> Fixed:
    raise ValueError("a wheel came off")


@pytest.fixture
def methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add methods with known answers to the table."""
    here = "tests.unit.models.test_backtest_figures"
    choices = {"factor": (-1.0, 1.0, 0.0)}
    monkeypatch.setitem(METHODS, "number", Entry(f"{here}:oracle", "", "baseline", choices=choices))
    monkeypatch.setitem(METHODS, "counting", Entry(f"{here}:counting", "", "baseline", seeded=False))
    monkeypatch.setitem(METHODS, "broken", Entry(f"{here}:broken", "", "baseline"))


def rising(users: int = 8) -> list[tuple[str, int, float]]:
    """Return events that are always of the item with the highest number, after a base that knows all items."""
    base = [(f"u{n % users}", n % 5, 0.1 * n) for n in range(20)]
    return base + [(f"u{n % users}", 4, 3 + 0.1 * n) for n in range(60)]


def test_segments_are_decided_by_what_was_known_when_the_window_began():
    events = [("a", 0, 0.0), ("b", 1, 0.1), *(("a", 0, 0.2 + n / 10) for n in range(4)), ("a", 0, 9.0), ("c", 1, 9.5)]
    log = log_of([*events, ("c", 0, 9.7), ("b", 1, 9.8)])
    parts = segments(log, cut_at(log, [8 * DAY, 9.4 * DAY, 10 * DAY]))
    shown = {name: np.flatnonzero(mask).tolist() for name, mask in parts.items()}
    assert shown["cold-items"] == [7, 9]  # item 1 was taken once, item 0 five times and more
    assert shown["new-users"] == [7, 8]  # c is new for the whole window in which he appears
    assert shown["inactive-users"] == [6, 9]  # windows are 1.4 and 0.6 days long
    assert shown["head"] == [6, 8]
    assert shown["torso"] == []
    assert shown["tail"] == [7, 9]


def test_sessions_have_no_segments_of_users():
    log = random_log(sessions=True)
    assert set(segments(log, cut(log))) == {"cold-items", "head", "torso", "tail"}


def test_the_share_of_more_popular_items():
    assert popular_share(np.array([1, 6, 0, 3])).tolist() == [0.9, 0.0, 1.0, 0.6]


def test_draws_of_users_agree_with_draws_one_by_one():
    random = np.random.default_rng(0)
    user, earned = random.integers(9, size=200), random.random((3, 200))
    means = bootstrap.drawn_means(earned, user, seed=3, draws=50)
    drawn = np.random.default_rng(3).integers(9, size=(50, 9))
    for row, users in zip(means, drawn, strict=True):
        events = np.concatenate([np.flatnonzero(user == u) for u in users])
        assert np.allclose(row, earned[:, events].mean(axis=1))


def test_a_difference_that_is_there_is_sure_and_one_that_is_not_is_not():
    random = np.random.default_rng(1)
    user = np.repeat(np.arange(100), 5)
    noise = random.random(500)
    earned = np.stack([noise, noise + 0.01, random.random(500)])
    means = bootstrap.drawn_means(earned, user)
    better = bootstrap.difference(earned, means, 1, 0)
    assert better.least < better.ratio < better.most
    assert better.sure
    assert better.low == pytest.approx(0.01)
    assert better.high == pytest.approx(0.01)
    assert not bootstrap.difference(earned, means, 2, 0).sure


def test_the_full_auc_is_the_share_of_the_others_that_rank_below():
    found = gains(np.array([1, 6, 11]), np.array([11, 11, 11]))
    assert found["full_auc"].tolist() == [1.0, 0.5, 0.0]
    assert found["mrr@20"].tolist() == [1.0, 1 / 6, 1 / 11]


def test_auc_counts_pairs_and_ties_half():
    random = np.random.default_rng(2)
    group, taken = random.integers(4, size=60), random.random(60) < 0.4
    score = np.round(random.random(60), 1)
    pairs, weights = [], []
    for g in range(4):
        good, bad = score[(group == g) & taken], score[(group == g) & ~taken]
        pairs.append(np.mean((good[:, None] > bad) + 0.5 * (good[:, None] == bad)))
        weights.append(len(good))
    assert auc(group, taken, score) == pytest.approx(np.average(pairs, weights=weights))
    assert math.isnan(auc(group, np.ones(60, dtype=bool), score))


def test_a_calibrated_head_has_no_error_and_a_bold_one_has():
    taken = np.tile([True, False], 150)
    assert calibration_error(taken, np.full(300, 0.5)) < 0.04  # bins of 20 cannot all be even
    assert calibration_error(taken, np.full(300, 0.9)) == pytest.approx(0.4, abs=0.04)


def test_a_head_that_knows_is_told_from_one_that_guesses():
    class Head(Counting):
        def probabilities(self, queries, item):
            return np.where(item == 4, 0.9, 0.1)

    log = log_of(rising())
    *_, course = replay(Head(), log, cut_at(log, [2.5 * DAY, 9 * DAY]))
    said = answers.judged(course.judged[0].said)
    assert said["auc"] == 1.0
    assert said["gauc"] == 1.0
    assert said["log_loss"] == pytest.approx(-math.log(0.9))
    assert said["calibration_error"] == pytest.approx(0.1, abs=0.02)  # one bin of 15 holds both


@pytest.mark.parametrize("repeats", [True, False])
def test_what_is_drawn_was_not_taken(repeats: bool):
    log = random_log(users=6, size=40, a_day=4, repeats=repeats)
    window = cut(log, count=1)[0]
    queries, _ = window_queries(log, window)
    query, _ = queries.targets()
    drawn = answers.draw(log, queries, query, np.random.default_rng(0))
    for q, item in zip(query.tolist(), drawn.tolist(), strict=True):
        assert log.about.born[item] <= queries.time[q]
        low, high = (queries.start[q], queries.stop[q]) if repeats else queries.histories.bounds[queries.user[q] :][:2]
        assert item not in queries.histories.items[low:high]


def test_forgetting_is_what_was_earned_then_and_is_not_earned_now():
    log = log_of([(f"u{n % 6}", (n // 20) % 3, 0.1 * n) for n in range(200)])
    windows = cut(log, base_share=0.2, count=8)

    class Last(Counting):
        def learn(self, past, start):
            self.counts = np.bincount(past.item[start:], minlength=3).astype(np.float32)

    *_, course = replay(Last(), log, windows)
    rows = {(row.window, row.metric): row.value for row in Run("last", 0, course).rows({})}
    assert all((number, "forgetting_5") not in rows for number in range(1, 6))
    assert max(rows[number, "forgetting_5"] for number in (6, 7, 8)) > 0.3


def test_choices_are_made_on_the_first_half_and_reported_on_the_second(methods: None):
    log = log_of(rising())
    windows = cut(log, count=10)
    *_, contest = compete(log, windows, ["number", "counting", "broken"], seeds=3)
    assert contest.options["number"] == {"factor": 1.0}
    assert [tried.options["factor"] for tried in contest.tried] == [-1.0, 1.0, 0.0]
    assert len(contest.of("number")) == 3
    assert len(contest.of("counting")) == 1  # another seed would say the same
    assert contest.failed == {"broken": "ValueError: a wheel came off"}
    assert contest.reported == [6, 7, 8, 9, 10]
    assert contest.summaries("number")[0]["ndcg@10"] == 1.0


def test_a_second_half_that_says_otherwise_changes_no_choice(methods: None):
    """Items turn round in the second half: who chose on it would take the other factor."""
    events = rising()
    until = int(0.85 * len(events))
    turned = events[:until] + [(user, 0, day) for user, _, day in events[until:]]
    log = log_of(turned)
    *_, contest = compete(log, cut_at(log, [3 * DAY, 5 * DAY, 7 * DAY, 9 * DAY]), ["number"], seeds=1)
    assert contest.options["number"] == {"factor": 1.0}


def test_methods_are_compared_on_the_same_events(methods: None):
    log = random_log(repeats=True)
    *_, contest = compete(log, cut(log), ["number", "counting"], seeds=2)
    differences = contest.differences()
    there, back = differences["number", "counting"], differences["counting", "number"]
    assert there.mean == pytest.approx(-back.mean)
    assert there.low == pytest.approx(-back.high)


def test_unknown_methods_and_options_are_named(methods: None):
    with pytest.raises(UnknownMethod, match="counting"):
        make("nobody", MethodSettings())
    with pytest.raises(UnknownMethod, match="no option speed"):
        MethodSettings(options={"speed": 1}).over(Entry("", "", ""))


def test_a_contest_without_runs_has_no_methods():
    log = random_log()
    assert Contest(log, cut(log)).methods == []
