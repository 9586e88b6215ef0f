"""Facts about the plain transformer: what it sees, what it finds, and what its softmax is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.backtest.log import EventLog
from models.baselines import sasrec
from models.baselines.ader import Ader, adaptive
from models.baselines.attention import Network, Shape
from models.baselines.baseline import Past
from models.baselines.sasrec import SasrecSettings
from models.baselines.stretches import Reader, stretches
from models.evaluation import metrics, rank
from models.histories import target_queries
from tests.contracts.method import fresh
from tests.unit.models.circles import circle
from tests.unit.models.logs import random_log
from tests.unit.models.visits import half, visits_log

LENGTH = 8
EAGER = (("dimensions", 16), ("base_epochs", 20), ("epochs", 6), ("rate", 1e-2), ("queries", 100))


def test_every_moment_is_answered_by_a_stretch_that_holds_its_recent_history():
    queries = target_queries(random_log(users=3, a_day=10).timelines())
    cut = stretches(queries, LENGTH)
    assert np.concatenate([np.arange(f, last) for f, last in zip(cut.first, cut.last, strict=True)]).tolist() == list(
        range(len(queries))
    )
    assert (cut.high - cut.low).max() <= LENGTH
    for low, first, last in zip(cut.low, cut.first, cut.last, strict=True):
        known = queries.start[first:last] - queries.first[first:last]
        assert (queries.start[first:last] - low >= np.minimum(known, LENGTH // 2)).all()


def test_a_state_is_that_of_its_stretch_alone():
    queries = target_queries(random_log(users=3, a_day=10).timelines())
    torch.manual_seed(0)
    network = Network(Shape(dimensions=8, length=LENGTH)).eval()
    network.grow(15)
    reader = Reader(queries, Past(queries.histories), LENGTH)
    together = reader.rows(np.arange(len(reader.stretches)))
    states = sasrec.states(network, together)
    for number in (0, 1, len(queries) // 2, len(queries) - 1):
        stretch = int(np.searchsorted(reader.stretches.last, number, side="right"))
        items = queries.histories.items[reader.stretches.low[stretch] : queries.start[number]].astype(np.int64)
        gaps = Past(queries.histories).gaps[reader.stretches.low[stretch] : queries.start[number]].astype(np.int64)
        if not len(items):
            expected = network.start
        else:
            expected = network(torch.from_numpy(items)[None], torch.from_numpy(gaps)[None])[0, -1]
        torch.testing.assert_close(states[number], expected, atol=1e-5, rtol=1e-4)


def test_the_sampled_softmax_is_the_whole_one_when_everything_is_drawn_once():
    queries = target_queries(random_log(users=5).timelines())
    torch.manual_seed(0)
    network = Network(Shape(dimensions=8, length=LENGTH)).eval()
    network.grow(15)
    reader = Reader(queries, Past(queries.histories), LENGTH)
    rows = reader.rows(np.arange(len(reader.stretches)))
    whole, sampled = (sasrec.loss(network, rows, queries, drawn) for drawn in (None, torch.arange(15)))
    torch.testing.assert_close(whole, sampled)


def test_the_next_item_of_a_circle_is_found():
    log = circle(length=20)
    start = int(np.searchsorted(log.time, log.time[-1] * 0.7))
    made = fresh("sasrec-static", EAGER)
    made.learn(log.before(start), 0)
    assert metrics(rank(made.scorer(log.catalogue), log.timelines(start)))["recall@1"] > 0.9


@pytest.mark.parametrize("whole", [20_000, 10], ids=["whole", "sampled"])
def test_in_sessions_the_ring_is_found_with_either_softmax(whole: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sasrec, "MOST_SOFTMAX", whole)
    log = visits_log(200, late_ring=False)
    made = fresh("sasrec-static", (*EAGER, ("candidates", 15)))
    made.learn(log.before(half(log)), 0)
    assert metrics(rank(made.scorer(log.catalogue), log.timelines(half(log))))["recall@10"] > 0.7


def test_only_the_methods_that_learn_windows_find_what_is_new():
    log = visits_log(200)
    born, stop = half(log), int(0.8 * len(log))
    late = log.timelines(stop)
    found = {}
    for name in ("sasrec-static", "sasrec-fine-tune", "sasrec-slide"):
        made = fresh(name, EAGER)
        made.learn(log.before(born), 0)
        made.learn(log.before(stop), born)
        queries = target_queries(late)
        ranked = rank(made.scorer(log.catalogue), late)
        assert len(queries) >= len(np.unique(ranked.time))
        new = (ranked.item >= 24) & np.isin(ranked.time, queries.time[queries.start > queries.first])
        found[name] = float((ranked.rank[new] <= 10).mean())
    assert found["sasrec-fine-tune"] > found["sasrec-static"] + 0.3
    assert found["sasrec-slide"] > found["sasrec-static"] + 0.3


def test_long_bases_take_fewer_epochs(monkeypatch: pytest.MonkeyPatch):
    epochs = []
    monkeypatch.setattr(sasrec, "train", lambda *said: epochs.append(said[3]))
    log = random_log()
    for most in (10**6, 3 * len(log), 1):
        fresh("sasrec-static", (("most_targets", most), ("base_epochs", 5))).learn(log, 0)
    assert epochs == [5, 3, 1]
    assert SasrecSettings().shape == Shape()


def test_a_base_is_shared_by_those_that_learn_the_same_from_it():
    keys = [fresh(f"sasrec-{name}").base_key() for name in ("static", "fine-tune", "retrain", "slide")]  # type: ignore[attr-defined]
    assert len(set(keys)) == 1
    others = [fresh("sasrec-static", seed=1), fresh("sasrec-static", (("rate", 0.1),))]
    assert all(other.base_key() not in keys for other in others)  # type: ignore[attr-defined]


def old_and_new_rings() -> tuple[EventLog, int]:
    """Return a log whose base has the first rings only and whose second half has the last one only; and the border."""
    log = visits_log(200)
    border = half(log)
    kept = (np.arange(len(log)) < border) | (log.item >= 24)
    border = int(kept[:border].sum())
    return replace(
        log, **{name: getattr(log, name)[kept] for name in ("user", "item", "type", "time", "value")}
    ), border


def test_rehearsal_forgets_less_and_learns_the_new():
    log, border = old_and_new_rings()
    found = {}
    for name in ("sasrec-fine-tune", "sasrec-ader"):
        made = fresh(name, tuple(dict([*EAGER, ("epochs", 30)]).items()))
        made.learn(log.before(border), 0)
        made.learn(log, border)
        scorer = made.scorer(log.catalogue)
        old, new = (rank(scorer, timelines) for timelines in (log.before(border).timelines(), log.timelines(border)))
        found[name] = [metrics(ranked)["recall@10"] for ranked in (old, new)]
    assert found["sasrec-ader"][0] > found["sasrec-fine-tune"][0] + 0.1
    assert found["sasrec-ader"][1] > 0.8


def test_exemplars_are_few_and_of_every_frequent_item():
    log = visits_log(200)
    border = half(log)
    made = fresh("sasrec-ader", (*EAGER, ("exemplars", 60)))
    made.learn(log.before(border), 0)
    first = set(made.kept.tolist())  # type: ignore[attr-defined]
    made.learn(log, border)
    assert isinstance(made, Ader)
    assert len(first) == len(made.kept) == 60
    assert made.kept.max() < len(log)
    assert len(np.unique(log.item[made.kept])) > 20
    assert first & set(made.kept.tolist()), "some old ones are kept"


def test_the_weight_of_rehearsal_falls_with_what_is_new():
    assert adaptive(100, 100, 50, 50) == 1.0
    assert adaptive(100, 400, 50, 50) == 0.5
    assert adaptive(100, 100, 50, 200) == 0.5
