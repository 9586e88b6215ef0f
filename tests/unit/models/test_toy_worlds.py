"""Toy worlds with an obvious answer, and the promises that an increment makes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models import checkpoint, export
from models.errors import CatalogueShrank, WrongHash
from models.evaluation import metrics, rank, ranks_of
from models.histories import target_queries
from models.popularity import DAY, HALF_LIVES, PopularityClock
from models.recommender import Recommender
from models.repeat import pair_states, repeat_rows
from models.scorers import FrequencyScorer, ModelScorer, PopularityScorer
from models.timelines import Catalogue, Timeline, timeline_from
from models.training import FitSettings, fit
from models.whitening import fit_whitening

ITEMS = 12
QUICK = FitSettings(first_epochs=12, epochs=4, chunks=8)


def catalogue(size: int = ITEMS, seed: int = 0) -> Catalogue:
    """Return items with random text, each its own."""
    text = np.random.default_rng(seed).normal(size=(size, 16)).astype(np.float32)
    return Catalogue(tuple(f"item-{n}" for n in range(size)), text)


def cycle(users: int = 40, length: int = 24) -> list[Timeline]:
    """Each user walks around the catalogue, item n after item n - 1, from a start of their own, once an hour."""
    return [
        timeline_from(
            f"user-{u}", [(u * 5 + n) % ITEMS for n in range(length)], [3600.0 * n + u for n in range(length)]
        )
        for u in range(users)
    ]


def loyal(users: int = 30, days: int = 20) -> list[Timeline]:
    """Each user takes one item of their own every day."""
    return [timeline_from(f"user-{u}", [u % ITEMS] * days, [DAY * d + u for d in range(days)]) for u in range(users)]


def later(timelines: list[Timeline], since: float) -> list[Timeline]:
    """Ask for what happened from a time on."""
    return [replace(t, learn_from=since) for t in timelines]


def test_the_tower_learns_what_follows_what() -> None:
    model, split = Recommender(catalogue()), 3600.0 * 18
    world = cycle()
    fit(model, [replace(t, learn_until=split) for t in world], settings=replace(QUICK, first_epochs=60))
    asked = later(world, split)
    assert metrics(rank(ModelScorer(model), asked))["recall@1"] > 0.8
    assert metrics(rank(PopularityScorer(model.clock), asked))["recall@1"] < 0.4


def test_where_people_repeat_the_model_repeats() -> None:
    model, split = Recommender(catalogue()), DAY * 15
    world = loyal()
    fit(model, [replace(t, learn_until=split) for t in world], settings=QUICK)
    asked = later(world, split)
    assert metrics(rank(ModelScorer(model), asked))["recall@1"] > 0.95
    assert metrics(rank(FrequencyScorer(model.clock), asked))["recall@1"] > 0.95


def test_where_nobody_repeats_what_was_taken_sinks() -> None:
    random = np.random.default_rng(1)
    world = [
        timeline_from(f"user-{u}", random.permutation(ITEMS)[:10].tolist(), [DAY * n + u for n in range(10)])
        for u in range(60)
    ]
    model = Recommender(catalogue())
    fit(model, world, settings=replace(QUICK, first_epochs=20))
    asked = later([timeline_from("new", [0, 1, 2, 3, 4, 5], [DAY * n for n in range(6)])], DAY * 5)
    queries = target_queries(asked)
    ((_, scores),) = ModelScorer(model).scores(queries)
    assert scores[0, :5].max() < scores[0, 5:].min()


def test_the_same_increment_gives_the_same_bytes() -> None:
    hashes = set()
    for _ in range(2):
        model = Recommender(catalogue(), seed=3)
        fit(model, cycle(10), settings=QUICK, seed=7)
        hashes.add(checkpoint.weights_hash(checkpoint.dump(model)))
    assert len(hashes) == 1
    fit(model, [replace(t, learn_from=3600.0 * 20) for t in cycle(10)], settings=QUICK, seed=8)
    assert checkpoint.weights_hash(checkpoint.dump(model)) not in hashes


def test_what_shares_a_moment_with_the_target_never_counts() -> None:
    one = timeline_from("u", [0, 1, 2], [0.0, DAY, DAY])
    other = timeline_from("u", [0, 1, 5], [0.0, DAY, DAY])
    model = Recommender(catalogue())
    scores = [next(iter(ModelScorer(model).scores(target_queries(later([t], DAY)))))[1] for t in (one, other)]
    np.testing.assert_array_equal(*scores)


def test_a_later_event_never_changes_an_earlier_score() -> None:
    short = timeline_from("u", [0, 1, 2], [0.0, DAY, 2 * DAY])
    long = timeline_from("u", [0, 1, 2, 7, 8], [0.0, DAY, 2 * DAY, 3 * DAY, 4 * DAY])
    model = Recommender(catalogue())
    before = next(iter(ModelScorer(model).scores(target_queries([short]))))[1]
    after = next(iter(ModelScorer(model).scores(target_queries([long]))))[1]
    np.testing.assert_allclose(before, after[: len(before)], atol=1e-5)


def test_a_checkpoint_gives_the_same_scores_back_and_refuses_other_bytes() -> None:
    model = Recommender(catalogue())
    fit(model, cycle(10), settings=QUICK)
    data = checkpoint.dump(model)
    loaded = checkpoint.load(data, checkpoint.weights_hash(data))
    assert loaded.item_ids == model.item_ids
    np.testing.assert_array_equal(export.item_vectors(loaded), export.item_vectors(model))
    with pytest.raises(WrongHash):
        checkpoint.load(data, "0" * 64)


def test_new_items_go_to_the_end_and_old_vectors_do_not_move() -> None:
    model = Recommender(catalogue())
    fit(model, cycle(10), settings=QUICK)
    before = export.item_vectors(model)
    more = catalogue()
    model.grow(Catalogue((*more.item_ids, "new"), np.vstack([more.text, np.ones((1, 16), np.float32)])))
    np.testing.assert_array_equal(export.item_vectors(model)[:ITEMS], before)
    with pytest.raises(CatalogueShrank):
        model.grow(Catalogue(("other",), np.zeros((1, 16), np.float32)))


def test_decayed_counts_are_those_of_a_plain_loop() -> None:
    random = np.random.default_rng(0)
    items, times = random.integers(3, size=50), np.sort(random.uniform(0, 90 * DAY, 50))
    clock = PopularityClock.empty(3)
    for part in np.array_split(np.arange(50), 7):
        clock.fold(items[part], times[part])
    naive = np.zeros((3, 3))
    for item, at in zip(items, times, strict=True):
        naive[item] += 2.0 ** (-(times[-1] - at) / HALF_LIVES)
    np.testing.assert_allclose(clock.counts, naive, rtol=1e-9)


def test_repeat_features_are_those_of_a_plain_loop() -> None:
    line = timeline_from("u", [0, 1, 0, 0, 2, 1], [0.0, DAY, 3 * DAY, 8 * DAY, 8 * DAY, 20 * DAY])
    queries = target_queries([replace(line, learn_from=20 * DAY)])
    rows = repeat_rows(pair_states(queries.histories), queries)
    assert rows.item.tolist() == [0, 1, 2]
    now = 20 * DAY
    decayed = [sum(2.0 ** (-(now - t) / h) for t in (0.0, 3 * DAY, 8 * DAY)) for h in HALF_LIVES]
    due = min((now - 8 * DAY) / (8 * DAY / 2), 3.0)
    np.testing.assert_allclose(rows.values[0], [1.0, np.log1p(3), *np.log1p(decayed), due], rtol=1e-5)
    assert rows.values[2][5] == 0.0  # once is no rhythm


def test_ties_count_against_the_scorer() -> None:
    scores = np.array([[1.0, 1.0, 0.0]], np.float32)
    assert ranks_of(scores, np.array([0]), np.array([0])).tolist() == [2]


def test_whitening_makes_directions_alike() -> None:
    random = np.random.default_rng(0)
    text = (random.normal(size=(500, 8)) * np.array([100, 10, 5, 3, 2, 1, 1, 1]) + 50).astype(np.float32)
    fitted = fit_whitening(text, 4)
    round_text = (text - fitted.centre) @ fitted.basis
    np.testing.assert_allclose(np.cov(round_text.T), np.eye(4), atol=0.02)


def test_a_catalogue_without_any_text_still_learns_by_ids() -> None:
    bare = Catalogue(tuple(f"item-{n}" for n in range(ITEMS)), np.zeros((ITEMS, 16), np.float32))
    model, split = Recommender(bare), DAY * 15
    fit(model, [replace(t, learn_until=split) for t in loyal()], settings=QUICK)
    assert metrics(rank(ModelScorer(model), later(loyal(), split)))["recall@1"] > 0.9


def test_stored_vectors_and_scoring_weights_give_the_models_own_scores() -> None:
    model = Recommender(catalogue())
    world = loyal()
    fit(model, world, settings=QUICK)
    users = export.user_vectors(model, world)
    assert users.shape == (len(world), model.architecture.dimensions)
    weights = export.scoring(model, 0.25)
    assert weights["correction"] == 0.25
    assert len(weights["popularity"]) == 3
    assert len(weights["repeat"]) == 7
