from __future__ import annotations

import numpy as np
import pytest

from benchmarks.learning import gated
from benchmarks.learning.bars import bars, figures
from benchmarks.learning.gated import Gated, Popularity
from benchmarks.learning.poison import BOT, BOT_SHARE, POISONS, poisoned, scenario
from models.backtest.log import EventLog
from models.backtest.prequential import cut, replay
from tests.unit.models.logs import Counting, log_of


def town(days: int = 60, users: int = 30) -> EventLog:
    """Everybody takes one of a few items, the same ones more often than others."""
    random = np.random.default_rng(0)
    items = np.minimum(random.geometric(0.25, size=days * users) - 1, 39)
    return log_of([(f"u{n % users:02}", int(item), n / users) for n, item in enumerate(items)], size=40)


def test_a_shuffled_window_has_the_same_items_and_other_owners():
    log = town()
    bad, windows, places = poisoned(log, cut(log))
    first = windows[places[0]]
    part = slice(first.start, first.stop)
    assert sorted(bad.item[part]) == sorted(log.item[part])
    assert not np.array_equal(bad.item[part], log.item[part])


def test_a_bot_does_its_share_of_a_window_and_nothing_elsewhere():
    log = town()
    bad, windows, places = poisoned(log, cut(log))
    bot = bad.user == bad.users.index(BOT)
    window = windows[places[1]]
    inside = bot[window.start : window.stop]
    assert inside.mean() == pytest.approx(BOT_SHARE, abs=0.01)
    assert bot.sum() == inside.sum()


def test_a_flip_turns_the_order_of_items_round():
    log = town()
    bad, windows, places = poisoned(log, cut(log))
    window = windows[places[2]]
    counts = np.bincount(bad.item[window.start : window.stop], minlength=40)
    assert counts[20:].sum() > 0.95 * counts.sum()
    assert len(places) == len(POISONS)


def test_windows_without_poison_are_what_they_were():
    log = town()
    windows = cut(log)
    bad, bad_windows, places = poisoned(log, windows)
    for number, (window, other) in enumerate(zip(windows, bad_windows, strict=True)):
        if number not in places:
            assert np.array_equal(log.item[window.start : window.stop], bad.item[other.start : other.stop])


def test_a_bot_and_a_flip_are_noticed_and_ordinary_windows_are_not():
    log = town()
    bad, windows, places = poisoned(log, cut(log))
    watching = Gated(Popularity())
    for _ in replay(watching, bad, windows, look_back=False):
        pass
    unusual = [judgement.unusual for judgement in watching.judgements]
    assert "largest_user" in unusual[places[1]]
    assert "new_items" in unusual[places[2]]  # a flip brings what nobody had taken before
    assert [number for number, found in enumerate(unusual) if found] == places[1:]


def test_a_refused_window_is_learned_with_the_next_one():
    class Remembering(Counting):
        def __init__(self) -> None:
            super().__init__()
            self.learned: list[tuple[int, int]] = []

        def learn(self, past, start):
            super().learn(past, start)
            self.learned.append((start, len(past)))

    log = town()
    windows = cut(log)
    method = Gated(Remembering())
    for _ in replay(method, log, windows, look_back=False):
        pass
    stretches = method.live.learned
    assert stretches[0] == (0, windows[0].start)
    assert [start for start, _ in stretches[1:]] == [stop for _, stop in stretches[:-1]]
    promoted = sum(judgement.verdict.promoted for judgement in method.judgements)
    assert len(stretches) == 1 + promoted


def test_the_candidate_never_learns_what_it_is_judged_on():
    log = town()
    border = gated.holdout(log, 1_500)
    assert border == pytest.approx(1_500 + 0.8 * 300, abs=2)
    assert log.time[border] > log.time[border - 1]


def test_no_bad_version_goes_live_and_the_stream_recovers():
    found = scenario(Counting, town(), cut(town()))
    assert [one.poison for one in found] == list(POISONS)
    assert not any(one.bad for one in found)
    assert min(one.recovered for one in found) > 0.9


def document(**means: float) -> dict:
    return {
        "data": {"repeats": False, "sessions": False},
        "methods": {
            name.replace("_", "-"): {
                "kind": "continual" if name in ("ours", "full_retrain") else "baseline",
                "figures": {
                    "ndcg@10": {"mean": mean},
                    "recall@10": {"mean": mean},
                    "learning_cpu_seconds": {"mean": 20.0 if name == "full_retrain" else 1.0},
                },
            }
            for name, mean in means.items()
        },
    }


def test_bars_are_ratios_against_the_best_of_the_same_run():
    said = document(ours=0.12, ease=0.1, item_knn=0.08, popularity=0.11, full_retrain=0.125)
    found = figures(said, "ours")
    assert found["ndcg_over_classic"] == 1.2
    assert found["ndcg_of_full_retrain"] == 0.96
    assert found["seconds_of_full_retrain"] == 0.05
    assert "ndcg_over_sasrec" not in found  # it did not run
    assert set(bars(said, found)) == {
        "ndcg_over_classic", "recall_over_classic", "ndcg_of_full_retrain", "seconds_of_full_retrain",
    }  # fmt: skip
