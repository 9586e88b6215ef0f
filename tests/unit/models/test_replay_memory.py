"""Facts about what is learned again."""

import numpy as np
import pytest

from models.histories import target_queries
from models.methods.exemplars import herd, herded, shares
from models.methods.replay import Herding, Inactive, Memory, Nothing, Random, Recent, drawn, moments, replayed
from models.timelines import target_moments
from models.training import fit
from tests.unit.models.circles import circle, event_log
from tests.unit.models.worlds import HOUR, QUICK, recommender

RANDOM = np.random.default_rng


def baskets(users: int = 10, days: int = 6, size: int = 4):
    """Return users who take a basket a day; the first of them also takes one thing every hour."""
    user = [u for u in range(users) for _ in range(days * size)] + [0] * 200
    time = [24 * HOUR * (n // size) for _ in range(users) for n in range(days * size)] + [HOUR * n for n in range(200)]
    item = RANDOM(3).integers(12, size=len(user)).tolist()
    return event_log(user, item, time, 12)


def test_moments_are_those_of_the_timelines():
    log = baskets()
    found = moments(log)
    queries = target_queries(log.timelines())
    np.testing.assert_array_equal(found.time, queries.time)
    np.testing.assert_array_equal(found.size, queries.stop - queries.start)
    np.testing.assert_array_equal(log.time, found.time[found.of])
    np.testing.assert_array_equal(log.user, found.user[found.of])


@pytest.mark.parametrize("memory", [Random(), Recent(), Inactive()])
def test_a_memory_gives_whole_moments_and_not_more_than_it_was_asked_for(memory: Memory):
    log = baskets()
    of = moments(log)
    for events in (0, 1, 30, 100):
        again = memory.recall(log, events, RANDOM(0))
        assert events - 4 <= len(again) <= events or events < 4
        whole = np.bincount(of.of[again], minlength=len(of))
        assert set(np.unique(whole / of.size)) <= {0.0, 1.0}
    np.testing.assert_array_equal(memory.recall(log, 30, RANDOM(1)), memory.recall(log, 30, RANDOM(1)))
    assert len(memory.recall(log, 10_000, RANDOM(1))) == len(log)


def test_nothing_is_nothing():
    assert len(Nothing().recall(baskets(), 100, RANDOM(0))) == 0


def test_random_moments_come_as_often_as_they_are():
    of = moments(baskets())
    often = np.zeros(len(of))
    for seed in range(400):
        often[drawn(np.ones(len(of)), of.size, 60, RANDOM(seed))] += 1
    busy = often[of.user == 0].mean()
    assert busy == pytest.approx(often[of.user != 0].mean(), rel=0.1)


def test_an_inactive_user_is_replayed_as_often_as_a_busy_one():
    log = baskets()
    often = np.zeros(10)
    for seed in range(100):
        of_user = moments(log).user[
            drawn(Inactive().weights(moments(log)), np.ones(len(moments(log))), 5, RANDOM(seed))
        ]
        np.add.at(often, of_user, 1)
    assert often[0] == pytest.approx(often[1:].mean(), rel=0.25)


def test_recent_moments_come_more_often():
    log = baskets()
    again = Recent(half_life=0.1).recall(log, 60, RANDOM(0))
    assert np.mean(log.time[again]) > np.mean(log.time) + 0.5 * np.std(log.time)


def test_a_replayed_timeline_has_its_history_and_no_target_but_the_wanted():
    log = circle()
    wanted = np.array([30, 31, 100])
    lines = replayed(log, wanted)
    targets = [(t.user, t.times[m]) for t in lines for m in target_moments(t)]
    assert sorted(targets) == sorted((log.users[log.user[p]], log.time[p]) for p in wanted)
    whole = {t.user: t for t in log.timelines()}
    for line in lines:
        np.testing.assert_array_equal(line.items, whole[line.user].items[: len(line)])
        assert line.learned is not None
        assert not line.learned[-1]
    assert replayed(log, np.zeros(0, dtype=np.int64)) == []


def test_herding_is_greedy_towards_the_mean():
    vectors = RANDOM(0).normal(size=(12, 3))
    expected: list[int] = []
    for k in range(1, 6):
        ways = [n for n in range(12) if n not in expected]
        means = [vectors[[*expected, n]].mean(0) for n in ways]
        expected.append(ways[int(np.argmin([np.square(m - vectors.mean(0)).sum() for m in means]))])
        assert len(expected) == k
    assert herd(vectors, 5).tolist() == expected
    assert sorted(herd(vectors, 99).tolist()) == list(range(12))


def test_a_few_exemplars_have_nearly_the_mean_of_all():
    vectors = RANDOM(0).normal(size=(500, 8))
    mean = vectors.mean(0)
    others = [np.linalg.norm(vectors[RANDOM(s).choice(500, 20, replace=False)].mean(0) - mean) for s in range(20)]
    assert np.linalg.norm(vectors[herd(vectors, 20)].mean(0) - mean) < 0.2 * min(others)


def test_frequent_items_have_more_exemplars():
    np.testing.assert_array_equal(shares(np.array([60, 30, 10]), 10), [6, 3, 1])
    np.testing.assert_array_equal(shares(np.array([1, 1, 1]), 10), [1, 1, 1])
    uneven = shares(np.array([5, 5, 5]), 4)
    assert uneven.sum() == 4
    assert uneven.max() - uneven.min() == 1
    items = np.repeat([7, 3], [60, 40])
    chosen = herded(items, RANDOM(0).normal(size=(100, 4)), 10)
    assert np.bincount(items[chosen]).tolist() == [0, 0, 0, 4, 0, 0, 0, 6]


def test_herding_keeps_exemplars_of_old_windows():
    log, model = circle(), recommender(10)
    fit(model, log.timelines(), settings=QUICK)
    memory = Herding(capacity=40)
    memory.remember(model, log.before(120), 0)
    assert len(memory.kept) == 40
    memory.remember(model, log, 120)
    assert len(memory.kept) == 40
    assert 0 < np.count_nonzero(memory.kept < 120) < 40
    again = memory.recall(log, 1_000, RANDOM(0))
    assert set(again) == set(memory.kept)  # no baskets here
    assert len(memory.recall(log, 10, RANDOM(0))) == 10
