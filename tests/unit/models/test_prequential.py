from __future__ import annotations

import numpy as np
import pytest

from models.backtest import prequential
from models.backtest.log import EventLog
from models.backtest.prequential import Course, Window, cut, cut_at, rank_window
from models.errors import NoScore, TimelineError
from tests.unit.models.logs import DAY, Counting, Fixed, RowScorer, log_of, random_log, shuffled_after


def course(method: object, log: EventLog, windows: tuple[Window, ...]) -> Course:
    *_, last = prequential.replay(method, log, windows)
    return last


def brute_force(log: EventLog, window: Window, row: np.ndarray) -> dict[int, int]:
    """Return the rank of each event of a window by the words of the protocol, one event at a time."""
    ranks = {}
    for event in range(window.start, window.stop):
        now, user, own = log.time[event], log.user[event], log.item[event]
        history = set(log.item[(log.user == user) & (log.time < now)].tolist())
        if log.sessions and not history:
            continue
        out = {i for i in range(len(row)) if log.about.born[i] > now or (not log.repeats and i in history)}
        scores = {i: -np.inf if i in out else float(row[i]) for i in range(len(row))}
        alive_row = {i: s for i, s in scores.items() if i < log.alive_at(float(log.time[window.stop - 1]))}
        ranks[event] = sum(score >= scores[int(own)] for score in alive_row.values())
    return ranks


@pytest.mark.parametrize("said", [{}, {"repeats": False}, {"sessions": True}], ids=str)
@pytest.mark.parametrize("factor", [1.0, -1.0, 0.0])
def test_ranks_are_those_of_the_protocol_word_by_word(said: dict[str, bool], factor: float):
    log = random_log(**said)
    for window in cut(log, count=4):
        ranks = rank_window(Fixed(factor), log, window)
        row = factor * np.arange(len(log.catalogue))
        assert dict(zip(ranks.event.tolist(), ranks.rank.tolist(), strict=True)) == brute_force(log, window, row)


def test_windows_are_of_equal_length_and_hold_every_later_event_once():
    log = random_log()
    windows = cut(log, base_share=0.5, count=10)
    assert len(windows) == 10
    assert np.allclose(np.diff([w.since for w in windows]), windows[0].until - windows[0].since)
    assert [w.start for w in windows[1:]] == [w.stop for w in windows[:-1]]
    assert windows[-1].stop == len(log)


def test_a_moment_is_never_parted():
    log = log_of([("a", 0, 0), ("a", 1, 2), ("b", 1, 2), ("b", 0, 3)])
    assert [(w.start, w.stop) for w in cut_at(log, [DAY, 2 * DAY, 4 * DAY])] == [(1, 1), (1, 4)]


def test_windows_without_a_base_are_refused():
    with pytest.raises(TimelineError, match="begin later"):
        cut_at(random_log(), [-DAY, 0.0])


def test_a_method_is_handed_each_event_once_and_nothing_of_the_future():
    log, method = random_log(), Fixed()
    windows = cut(log, count=5)
    course(method, log, windows)
    assert method.learned == [(0, windows[0].start), *((w.start, w.stop) for w in windows if w.stop > w.start)]
    for past, (_, stop) in zip(method.handed, method.learned, strict=True):
        assert len(past.item) == stop
        assert past.about.born.max(initial=-np.inf) <= past.time[-1]


def test_another_future_changes_nothing_that_was_ranked_before_it():
    """The leak test: whatever comes after a window, its ranks stay what they are."""
    log = random_log(repeats=True)
    windows = cut(log, count=4)
    other = shuffled_after(log, windows[2].start)
    ours, theirs = course(Counting(), log, windows), course(Counting(), other, windows)
    for ahead, behind in zip(ours.judged[:2], theirs.judged[:2], strict=True):
        assert np.array_equal(ahead.ranks.rank, behind.ranks.rank)
    assert not np.array_equal(ours.judged[3].ranks.rank, theirs.judged[3].ranks.rank)


def test_knowing_what_happens_only_helps_after_it_happened():
    """One item is taken in one window and never before: a method that counts finds it in the next window at last."""
    base = [(f"u{n}", n % 3, 0.1 * n) for n in range(30)]
    new = [(f"u{n}", 3, day + n / 10) for day in (4, 6) for n in range(11)]
    log = log_of(base + new)
    first, second = course(Counting(), log, cut_at(log, [3.5 * DAY, 5.5 * DAY, 8 * DAY])).judged
    assert set(first.ranks.rank.tolist()) == {4}
    assert set(second.ranks.rank.tolist()) == {1}
    assert set(first.after.tolist()) == {1}


def test_the_first_event_of_a_session_is_nobodys_to_guess():
    log = log_of([("s1", 0, 0), ("s1", 1, 1), ("s2", 0, 2), ("s2", 1, 3), ("s2", 0, 4)], sessions=True)
    ranks = rank_window(Fixed(), log, cut_at(log, [1.5 * DAY, 5 * DAY])[0])
    assert ranks.event.tolist() == [3, 4]


def test_only_known_items_are_asked_for_where_the_protocol_says_so():
    events = [("s1", 0, 0), ("s1", 1, 1), ("s2", 0, 2), ("s2", 1, 3), ("s2", 2, 4)]
    log = log_of(events, size=3, sessions=True, known_only=True)
    assert rank_window(Fixed(), log, cut_at(log, [1.5 * DAY, 5 * DAY])[0]).event.tolist() == [3]


def test_what_was_shown_is_counted_and_nothing_outside_the_race_is_shown():
    log = log_of([("a", 0, 0), ("a", 1, 1), ("a", 2, 2)], born=[-np.inf, -np.inf, -np.inf, 9], repeats=False)
    ranks = rank_window(Fixed(), log, cut_at(log, [1.5 * DAY, 3 * DAY])[0])
    assert ranks.shown.tolist() == [0, 0, 1]
    assert ranks.alive.tolist() == [3]


def test_a_score_that_is_no_number_earns_nothing():
    class Broken(Fixed):
        def scorer(self, catalogue):
            return RowScorer(np.full(len(catalogue), np.nan, dtype=np.float32))

    log = random_log()
    with pytest.raises(NoScore):
        rank_window(Broken(), log, cut(log)[0])


def test_what_is_held_is_measured_anew_at_each_step():
    class Hungry(Fixed):
        def learn(self, past, start):
            self.held = np.ones(20_000_000 if start == 0 else 1)

    log = random_log()
    held = course(Hungry(), log, cut(log, count=2))
    assert held.base.peak == 0 or held.base.peak > 100_000_000  # 0 where the system does not tell
    assert held.judged[0].learning.peak < 50_000_000
