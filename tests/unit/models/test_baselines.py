"""Each baseline against a plain loop, a formula or a world with an obvious answer."""

from __future__ import annotations

import numpy as np
import pytest

from models.backtest.log import EventLog
from models.backtest.registry import MethodSettings
from models.baselines.baskets import BasketSettings, basket_weights
from models.baselines.covisitation import new_pairs
from models.baselines.ease import ease_weights
from models.baselines.factors import Factors, FactorSettings
from models.baselines.live import LiveCounts
from models.baselines.matrices import taken, times_taken
from models.baselines.sessions import SessionNeighbours, SessionSettings, session_rows
from models.evaluation import metrics, rank
from models.histories import Queries, queries_at, target_queries
from models.timelines import timeline_from
from tests.contracts.method import fresh, scores
from tests.unit.models.logs import DAY, log_of, random_log
from tests.unit.models.visits import half, visits_log

SEQUENTIAL = ("covisitation", "item-knn", "v-sknn")


def ranked(method: str, log: EventLog, history: list[int], options: tuple = ()) -> list[int]:
    """Return the items as a method ranks them after a history of daily moments, the log being learned."""
    made = fresh(method, options)
    made.learn(log, 0)
    end = float(log.time[-1])
    line = timeline_from("somebody", history, [end + DAY * (n + 1) for n in range(len(history))])
    return np.argsort(-scores(made, log.catalogue, queries_at([line]))[0], kind="stable").tolist()


@pytest.mark.parametrize("half_life", [DAY, 7 * DAY, np.inf])
def test_live_counts_are_those_of_a_plain_loop(half_life: float):
    log = random_log()
    base, live = len(log) // 2, LiveCounts(half_life)
    base = int(np.searchsorted(log.time, log.time[base]))
    live.learn(log.before(base // 2), 0)
    live.learn(log.before(base), base // 2)
    queries = target_queries(log.timelines(base))
    found = live.through(queries).at(queries.time, len(log.catalogue))
    for row, moment in zip(found, queries.time, strict=True):
        naive = np.zeros(len(log.catalogue))
        for item, time in zip(log.item, log.time, strict=True):
            if time < moment:
                naive[item] += 2.0 ** (-(moment - time) / half_life)
        np.testing.assert_allclose(row / row.sum(), naive / naive.sum(), rtol=1e-4, atol=1e-6)


def test_counts_of_a_past_window_are_not_counted_twice():
    log, live = random_log(), LiveCounts(np.inf)
    live.learn(log, 0)
    again = target_queries(log.timelines(len(log) // 2))
    assert live.through(again).at(again.time, len(log.catalogue)).sum(axis=1).max() == len(log)


def test_recent_popularity_forgets_and_all_time_does_not():
    log = log_of([("a", 0, 0), ("b", 0, 1), ("c", 0, 2), ("d", 1, 60), ("e", 1, 61)])
    assert ranked("popularity", log, []) == [1, 0]
    assert ranked("popularity-all-time", log, []) == [0, 1]


def test_own_frequency_counts_and_own_recency_looks_back():
    log = log_of([("a", n, n) for n in range(4)])
    assert ranked("own-frequency", log, [2, 2, 1, 0, 2, 0])[:3] == [2, 0, 1]
    assert ranked("own-recency", log, [2, 2, 1, 0, 2, 0])[:3] == [0, 2, 1]


def test_ease_is_the_closed_form():
    interactions = taken(random_log(users=40, size=12))
    dense = interactions.toarray().astype(np.float64)
    inverse = np.linalg.inv(dense.T @ dense + 5.0 * np.eye(dense.shape[1]))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(ease_weights(interactions, 5.0), expected, atol=1e-4)


def test_ease_learns_the_items_that_fit(monkeypatch: pytest.MonkeyPatch):
    log = random_log(users=40, size=12)
    monkeypatch.setattr("models.baselines.ease.MOST_ITEMS", 5)
    made = fresh("ease")
    made.learn(log, 0)
    rows = scores(made, log.catalogue, queries_at(log.timelines()))
    common = np.argsort(-taken(log).sum(axis=0), kind="stable")[:5]
    assert np.abs(rows[:, common]).max() > 10 * np.abs(np.delete(rows, common, axis=1)).max()


def test_factors_of_a_user_solve_the_equations_of_the_history():
    log = random_log(users=20, size=15)
    settings = FactorSettings(factors=4, alpha=3.0)
    made = Factors(settings, seed=0, threads=1)
    made.learn(log, 0)
    queries = target_queries(log.timelines(len(log) // 2))
    rows = scores(made, log.catalogue, queries)
    items = made.items
    for number in (0, len(queries) // 2, len(queries) - 1):
        history = queries.histories.items[queries.first[number] : queries.start[number]]
        counts = np.bincount(history, minlength=len(items)).astype(float)
        left = items.T @ ((1.0 + 3.0 * counts)[:, None] * items) + settings.regularisation * np.eye(4)
        user = np.linalg.solve(left, items.T @ np.where(counts > 0, 1.0 + 3.0 * counts, 0.0))
        np.testing.assert_allclose(rows[number], items @ user, atol=2e-3)


def test_pairs_follow_within_reach_and_accompany_both_ways():
    log = log_of([("a", 0, 0), ("a", 1, 1), ("a", 2, 1), ("b", 5, 1), ("a", 3, 2)])
    earlier, later, weight = new_pairs(log, 0, reach=3)
    found = dict(zip(zip(earlier.tolist(), later.tolist(), strict=True), weight.tolist(), strict=True))
    assert found == {(0, 1): 1, (0, 2): 1, (1, 2): 1, (2, 1): 1, (1, 3): 1, (2, 3): 1, (0, 3): 0.5}
    assert len(new_pairs(log, 4, reach=3)[0]) == 3, "only the last event is new"


def test_sessions_end_with_a_pause_and_are_ordered_by_their_ends():
    log = log_of([("a", 0, 0), ("b", 1, 0.1), ("a", 2, 0.5), ("b", 3, 5), ("a", 4, 9)])
    rows = session_rows(log, SessionSettings()).toarray()
    assert [np.flatnonzero(row).tolist() for row in rows] == [[1], [0, 2], [3], [4]]


def test_the_votes_of_sessions_are_those_of_a_plain_loop():
    log, settings = visits_log(80), SessionSettings(neighbours=7, candidates=15)
    made = SessionNeighbours(settings)
    made.learn(log.before(half(log)), 0)
    queries = target_queries(log.timelines(half(log)))
    rows = scores(made, log.catalogue, queries)
    sessions = [set(np.flatnonzero(row).tolist()) for row in made.sessions.toarray()]
    for number in range(0, len(queries), 7):
        expected = plain_votes(queries, number, sessions, settings, len(log.catalogue))
        np.testing.assert_allclose(rows[number], expected, atol=2e-4)


def plain_votes(queries: Queries, number: int, sessions: list[set[int]], settings: SessionSettings, size: int):
    """Return the votes (N,) as the paper describes them, one session after the other."""
    history = queries.histories.items[queries.first[number] : queries.start[number]].tolist()[-settings.latest :]
    step = {item: len(history) - place for place, item in enumerate(history)}
    touching = [n for n, items in enumerate(sessions) if items & set(step)][-settings.candidates :]
    alike = {n: sum(len(history) - step[i] + 1 for i in sessions[n] & set(step)) for n in touching}
    votes = np.zeros(size)
    for n in sorted(touching, key=lambda n: (-alike[n], -n))[: settings.neighbours]:
        for item in sessions[n]:
            votes[item] += alike[n] / min(step[i] for i in sessions[n] & set(step))
    return votes


def test_baskets_decay_within_groups_and_groups_among_each_other():
    settings = BasketSettings(groups=2, within=0.5, between=0.1)
    # Five baskets in two groups: two baskets, then three.
    found = basket_weights(np.arange(5), np.full(5, 5), settings)
    groups = [0.1 * 0.5 / 2, 0.1 / 2, 0.25 / 3, 0.5 / 3, 1 / 3]
    np.testing.assert_allclose(found, np.array(groups) / 2)
    np.testing.assert_allclose(basket_weights(np.zeros(1, int), np.ones(1, int), settings), [1.0])


def test_a_basket_that_similar_users_have_comes_after_the_own_ones():
    users = [("ab"[n % 2] + str(n), 2 * (n % 2) + k, d) for n in range(8) for d in range(3) for k in range(2)]
    log = log_of(sorted(users, key=lambda event: event[2]))
    assert ranked("tifu-knn", log, [2], (("neighbours", 4),))[:2] == [2, 3]


def test_new_items_rise_while_the_window_lasts():
    log = log_of([("a", 0, 0), ("b", 0, 1), ("c", 1, 2), ("d", 2, 3), ("e", 2, 3.1), ("f", 2, 3.2)])
    made = fresh("item-knn")
    made.learn(log.before(3), 0)
    rows = scores(made, log.catalogue, target_queries(log.timelines(3)))
    assert rows[:, 2].argmin() == 0
    assert rows[0].argmax() == 0
    assert rows[2].argmax() == 2


@pytest.mark.parametrize("method", SEQUENTIAL)
def test_in_sessions_the_ring_is_found(method: str):
    log = visits_log(300, late_ring=False)
    start = half(log)
    found = {}
    for name in (method, "popularity"):
        made = fresh(name)
        made.learn(log.before(start), 0)
        found[name] = metrics(rank(made.scorer(log.catalogue), log.timelines(start)))["recall@10"]
    assert found[method] > 0.75
    assert found[method] > 1.7 * found["popularity"]


def test_counts_and_ones_are_told_apart():
    log = log_of([("a", 0, 0), ("a", 0, 1), ("b", 1, 2)])
    assert taken(log).toarray().tolist() == [[1, 0], [0, 1]]
    assert times_taken(log).toarray().tolist() == [[2, 0], [0, 1]]


def test_an_unknown_option_is_refused():
    with pytest.raises(Exception, match="no option rigde"):
        fresh("ease", (("rigde", 1.0),))


def test_settings_reach_the_method():
    assert fresh("ease", (("ridge", 7.0),)).settings.ridge == 7.0  # type: ignore[attr-defined]
    assert MethodSettings().threads == 1
