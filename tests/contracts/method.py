"""What every learning method promises, whatever it learns.

The suite runs on three small logs: users who repeat, users who never do, and sessions. What is learned is cached, so
that a dozen facts about a method cost little more than one.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from models.backtest.contract import Method, SharesBase
from models.backtest.log import EventLog
from models.backtest.registry import MethodSettings, make
from models.histories import Queries, queries_at, target_queries
from models.timelines import Catalogue, timeline_from
from tests.unit.models.logs import random_log
from tests.unit.models.visits import visits_log

Options = tuple[tuple[str, Any], ...]  # hashable, for the cache
WORLDS = ("repeats", "explorers", "sessions")


@cache
def world(name: str) -> tuple[EventLog, int, int]:
    """Return a log, the end of its base and the end of its first window."""
    if name == "sessions":
        log = visits_log(60)
    else:
        log = random_log(users=10, size=18, days=12, a_day=10, repeats=name == "repeats")
    return log, int(0.6 * len(log)), int(0.8 * len(log))


def fresh(method: str, options: Options = (), seed: int = 0) -> Method:
    """Return a method that has learned nothing."""
    return make(method, MethodSettings(seed=seed, options=dict(options)))


@cache
def learned(method: str, name: str, options: Options = (), seed: int = 0, copy: int = 0) -> Method:
    """Return a method that has learned the base; another `copy` is another object that has learned the same."""
    log, base, _ = world(name)
    made = fresh(method, options, seed)
    made.learn(log.before(base), 0)
    return made


def scores(method: Method, catalogue: Catalogue, queries: Queries) -> np.ndarray:
    """Return the scores (Q, N) of all queries, and see to it that each had its turn once."""
    scorer = method.scorer(catalogue)
    assert len(scorer) == len(catalogue)
    rows = np.full((len(queries), len(catalogue)), np.nan, dtype=np.float32)
    turns = np.zeros(len(queries), dtype=np.int64)
    for chosen, part in scorer.scores(queries):
        assert part.shape == (len(chosen), len(catalogue))
        rows[chosen] = part
        turns[chosen] += 1
    assert turns.tolist() == [1] * len(queries)
    return rows


def window_queries(name: str) -> tuple[Catalogue, Queries]:
    """Return the moments of the first window and the items alive at its end."""
    log, base, stop = world(name)
    past = log.before(stop)
    return past.catalogue, target_queries(past.timelines(base))


def moments(queries: Queries) -> list[tuple[str, float]]:
    """Return whose moment each query is, and when."""
    users = [queries.histories.users[user] for user in queries.user]
    return list(zip(users, queries.time.tolist(), strict=True))


class MethodContract:
    """The suite; a subclass has the fixtures `method` (a name), `options` and `name` (of a world)."""

    def test_each_moment_gets_one_finite_score_an_item(self, method: str, options: Options, name: str):
        rows = scores(learned(method, name, options), *window_queries(name))
        assert np.isfinite(rows).all()

    def test_the_same_seed_gives_the_same_scores(self, method: str, options: Options, name: str):
        one, other = (learned(method, name, options, copy=copy) for copy in (0, 1))
        assert one is not other
        np.testing.assert_array_equal(*(scores(m, *window_queries(name)) for m in (one, other)))

    def test_scoring_twice_changes_nothing(self, method: str, options: Options, name: str):
        once = scores(learned(method, name, options), *window_queries(name))
        np.testing.assert_array_equal(once, scores(learned(method, name, options), *window_queries(name)))

    def test_items_that_were_never_learned_are_scored(self, method: str, options: Options, name: str):
        catalogue, queries = window_queries(name)
        more = len(catalogue) + 3
        text = np.zeros((3, catalogue.text.shape[1]), dtype=np.float32)
        grown = Catalogue((*catalogue.item_ids, "n1", "n2", "n3"), np.concatenate([catalogue.text, text]))
        queries.histories.items.flags.writeable = False  # a method that renumbers items would fail here
        taken = timeline_from("new", [0, more - 1, more - 1, 1], [float(queries.time.max() + n) for n in range(4)])
        for asked in (queries, target_queries([taken])):
            assert np.isfinite(scores(learned(method, name, options), grown, asked)).all()

    def test_a_user_without_history_gets_an_answer(self, method: str, options: Options, name: str):
        log, base, _ = world(name)
        nobody = queries_at([timeline_from("nobody", [], [])], at=float(log.time[base]))
        rows = scores(learned(method, name, options), log.before(base).catalogue, nobody)
        assert np.isfinite(rows).all()
        assert len(np.unique(rows)) > 1, "all items are equal to it"

    def test_no_queries_give_no_scores(self, method: str, options: Options, name: str):
        catalogue, queries = window_queries(name)
        nothing = queries[np.zeros(0, dtype=np.int64)]
        assert scores(learned(method, name, options), catalogue, nothing).shape == (0, len(catalogue))

    def test_what_happens_later_changes_no_earlier_score(self, method: str, options: Options, name: str):
        catalogue, queries = window_queries(name)
        log, base, stop = world(name)
        middle = (base + stop) // 2
        middle = int(np.searchsorted(log.time, log.time[middle]))  # a moment is never parted
        short = target_queries(log.before(middle).timelines(base))
        now, then = (scores(learned(method, name, options), catalogue, q) for q in (queries, short))
        where = {moment: number for number, moment in enumerate(moments(queries))}
        same = [where[moment] for moment in moments(short)]
        assert same, "the window has a first half"
        np.testing.assert_allclose(now[same], then, rtol=1e-4, atol=1e-5)

    def test_what_is_to_be_found_is_not_looked_at(self, method: str, options: Options, name: str):
        catalogue, queries = window_queries(name)
        last = queries[np.unique(queries.user, return_index=True)[1]]  # one moment a user
        last = last[last.time == last.time.max()]
        _, event = last.target_events()
        items = last.histories.items.copy()
        items[event] = (items[event] + 1) % len(catalogue)
        other = replace(last, histories=replace(last.histories, items=items))
        np.testing.assert_array_equal(*(scores(learned(method, name, options), catalogue, q) for q in (last, other)))

    def test_a_window_changes_what_is_scored_afterwards(self, method: str, options: Options, name: str):
        log, base, stop = world(name)
        asked = queries_at(log.before(stop).timelines(base), at=float(log.time[stop - 1]) + 1.0)
        made = fresh(method, options)
        made.learn(log.before(base), 0)
        before = scores(made, log.before(stop).catalogue, asked)
        made.learn(log.before(stop), base)
        assert not np.array_equal(before, scores(made, log.before(stop).catalogue, asked))

    def test_a_window_without_events_is_learned(self, method: str, options: Options, name: str):
        log, base, _ = world(name)
        made = fresh(method, options)
        made.learn(log.before(base), 0)
        made.learn(log.before(base), base)
        assert np.isfinite(scores(made, *window_queries(name))).all()


class SharedBaseContract:
    """What a method promises besides if it can begin with what another one has learned."""

    def test_one_that_begins_like_another_goes_on_like_it(self, method: str, options: Options, name: str):
        log, base, stop = world(name)
        made, other = fresh(method, options), fresh(method, options)
        assert isinstance(made, SharesBase)
        assert isinstance(other, SharesBase)
        assert made.base_key() == other.base_key()
        made.begin_like(learned(method, name, options), log.before(base))
        other.learn(log.before(base), 0)
        for one in (made, other):
            one.learn(log.before(stop), base)
        np.testing.assert_array_equal(*(scores(one, *window_queries(name)) for one in (made, other)))
        again = scores(learned(method, name, options), *window_queries(name))
        np.testing.assert_array_equal(again, scores(learned(method, name, options, copy=1), *window_queries(name)))
