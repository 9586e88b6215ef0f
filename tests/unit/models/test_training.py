"""Facts about fitting: the same twice, bounded, and by sampled softmax nearly the same as by the whole one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models import checkpoint, export
from models.answers import Answer
from models.batches import Batches
from models.errors import UnknownItem
from models.evaluation import metrics, rank
from models.histories import target_queries
from models.losses import sampled_softmax_loss, softmax_loss
from models.scorers import ModelScorer
from models.timelines import PROFILE, Timeline
from models.training import FitReport, Progress, fit
from tests.unit.models.worlds import (
    HOUR,
    QUICK,
    explorers,
    habits,
    random_timelines,
    recommender,
    timeline,
)

ITEMS = 30


def fitted(seed: int = 0, **changes: object) -> str:
    model = recommender(ITEMS)
    fit(model, random_timelines(20, ITEMS, 30), random_timelines(5, ITEMS, 20, seed=9), replace(QUICK, **changes), seed)
    return checkpoint.weights_hash(checkpoint.dump(model))


def test_another_seed_gives_other_bytes():
    assert fitted(seed=1) == fitted(seed=1) != fitted(seed=2)


def test_averaged_weights_are_deterministic_and_different():
    assert fitted(ema=0.9) == fitted(ema=0.9) != fitted()


def test_a_fit_leaves_the_random_state_and_the_threads_of_the_caller_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    fitted()
    assert torch.rand(1) == expected
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_progress_is_told_step_by_step():
    told: list[Progress] = []
    model = recommender(ITEMS)
    report = fit(model, random_timelines(20, ITEMS, 30), settings=QUICK, on_progress=told.append)
    assert [p.step for p in told] == list(range(1, report.steps + 1))
    assert {p.steps for p in told} == {report.steps}


def test_a_very_large_window_trains_on_its_latest_part():
    lines = random_timelines(20, ITEMS, 30)
    model = recommender(ITEMS)
    report = fit(model, lines, settings=replace(QUICK, max_targets=100))
    assert 90 <= report.targets <= 100
    assert model.clock.counts.sum() > 0
    everything = recommender(ITEMS)
    fit(everything, lines, settings=QUICK)
    np.testing.assert_allclose(model.clock.counts, everything.clock.counts)


def test_a_small_first_window_takes_more_epochs():
    def epochs(**changes: int) -> int:
        settings = replace(QUICK, **changes)
        return fit(recommender(ITEMS), random_timelines(20, ITEMS, 30), settings=settings).epochs

    assert epochs() == 1
    assert epochs(first_steps=8) == 3  # three batches an epoch
    assert epochs(first_steps=10_000, most_epochs=3) == 3


def test_a_batch_is_full_after_so_many_events_to_be_found():
    def steps(**changes: int) -> int:
        return fit(recommender(ITEMS), random_timelines(20, ITEMS, 30), settings=replace(QUICK, **changes)).steps

    assert steps(chunks=20) == 1
    assert steps(chunks=20, batch_targets=1) == 20
    assert steps(chunks=20, batch_targets=100) == 5  # thirty events each: three of them have less than a hundred


def test_an_increment_with_nothing_to_learn_changes_no_weight():
    model = recommender(ITEMS)
    fit(model, random_timelines(20, ITEMS, 30), settings=QUICK)
    before = export.item_vectors(model)
    report = fit(model, [timeline([1], [0.0], learn_from=9.0)], settings=QUICK)
    assert report == FitReport(0, 0, 0, 0, (), report.seconds)
    np.testing.assert_array_equal(export.item_vectors(model), before)


def test_a_replay_that_no_step_needs_changes_no_weight_where_nothing_is_new():
    model = recommender(ITEMS)
    fit(model, random_timelines(20, ITEMS, 30), settings=QUICK)
    before = export.item_vectors(model)
    report = fit(model, [], random_timelines(5, ITEMS, 9), replace(QUICK, history_weight=0.0, ewc=1.0))
    assert (report.epochs, report.steps) == (0, 0)
    np.testing.assert_array_equal(export.item_vectors(model), before)


def test_replayed_events_are_not_counted_again():
    model = recommender(ITEMS)
    fit(model, [timeline([1, 2], [0, HOUR])], replay=[timeline([3, 3], [0, HOUR])], settings=QUICK)
    assert model.clock.counts[:, 0].nonzero()[0].tolist() == [1, 2]


def test_an_item_beyond_the_catalogue_is_refused():
    with pytest.raises(UnknownItem):
        fit(recommender(3), [timeline([3], [0.0])], settings=QUICK)


def test_profiles_are_standardised_by_the_first_window_that_has_any():
    def profiled(scale: float) -> list[Timeline]:
        rows = np.random.default_rng(0).uniform(0, scale, (3, len(PROFILE))).astype(np.float32)
        return [timeline([1, 2, 3], [0, 1, 2], profiles=rows)]

    model = recommender(ITEMS)
    fit(model, random_timelines(3, ITEMS, 9), settings=QUICK)
    assert not model.profile_scale.any()
    fit(model, profiled(10.0), settings=QUICK)
    scale = model.profile_scale.clone()
    fit(model, profiled(1000.0), settings=QUICK)
    assert scale.all()
    assert torch.equal(model.profile_scale, scale)


@pytest.mark.parametrize("timelines", [habits(12, ITEMS, 8), explorers(12, ITEMS, 12)])
def test_a_sampled_softmax_estimates_the_whole_one(timelines: list[Timeline]):
    model = recommender(ITEMS).eval()
    with torch.no_grad():
        model.projection.weight.mul_(3)
        model.encoder.norm.weight.mul_(3)
    batches = Batches(target_queries(timelines), model.architecture, model.clock, model.counted)
    (batch,) = batches.in_order(chunks=1000)
    snapshots = torch.from_numpy(model.clock.snapshots)
    answer = Answer.of(model, batch, snapshots)
    chance = np.random.default_rng(1).dirichlet(np.full(ITEMS, 20.0))
    drawn = np.random.default_rng(2).choice(ITEMS, 4000, p=chance)
    expected = torch.from_numpy(np.log(4000 * chance[drawn]).astype(np.float32))
    with torch.no_grad():
        whole = softmax_loss(answer)
        sampled = sampled_softmax_loss(answer, torch.from_numpy(drawn), expected)
    assert float(sampled.mean()) == pytest.approx(float(whole.mean()), rel=0.01)


def test_a_large_catalogue_is_learned_by_samples():
    lines = habits(60, ITEMS, 12)
    since = 10 * 24 * HOUR
    model = recommender(ITEMS)
    settings = replace(QUICK, first_epochs=3, whole_softmax_items=10, negatives=16)
    fit(model, [replace(t, learn_until=since) for t in lines], settings=settings)
    found = metrics(rank(ModelScorer(model), [replace(t, learn_from=since) for t in lines]))
    assert found["recall@10"] > 0.75  # three of a basket's four items


def test_repeat_weights_go_negative_where_nobody_repeats():
    model = recommender(ITEMS)
    fit(model, explorers(60, ITEMS, 20), settings=QUICK)
    once = np.array([1.0, np.log1p(1), *np.log1p([0.9, 0.95, 1.0]), 0.0, 1.0])
    assert model.repeat.detach().numpy() @ once < -1.0


def test_the_correction_is_the_least_squares_step():
    model = recommender(ITEMS)
    lines = random_timelines(10, ITEMS, 40)
    beta = export.estimate_correction(model, lines)
    queries = target_queries(lines)
    items = export.item_vectors(model)
    steps, means = [], []
    for user, start, stop in zip(queries.user, queries.start, queries.stop, strict=True):
        line, first = lines[user], queries.histories.bounds[user]
        cuts = [timeline(line.items[: end - first], line.times[: end - first]) for end in (start, stop)]
        before, after = export.user_vectors(model, cuts)
        steps.append(after - before)
        means.append(items[queries.histories.items[start:stop]].mean(axis=0))
    flat, target = np.ravel(means), np.ravel(steps)
    assert beta == pytest.approx(float(flat @ target / (flat @ flat)), rel=1e-3)
    assert export.estimate_correction(model, []) == 0.0
