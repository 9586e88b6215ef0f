"""Facts about the causal tower: what it reads, and that every way of asking gives the same vector."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models import export
from models.batches import Batches, cut_chunks
from models.encoder import NO_GAP, gap_buckets
from models.histories import queries_at, target_queries
from models.recommender import FURTHEST, ID_BOUND, Recommender
from models.timelines import PROFILE, Timeline
from tests.unit.models.worlds import SMALL, catalogue, random_timelines, recommender, timeline

ITEMS = 30


@pytest.fixture
def model() -> Recommender:
    return stirred(recommender(ITEMS))


def stirred(model: Recommender) -> Recommender:
    """Give every weight something to do."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


@torch.inference_mode()
def vectors(model: Recommender, timelines: list[Timeline]) -> np.ndarray:
    """Return the user vectors of every target moment, asked all at once."""
    queries = target_queries(timelines)
    found = np.zeros((len(queries), model.architecture.dimensions), dtype=np.float32)
    for batch in Batches(queries, model.architecture, model.clock, model.counted).in_order(chunks=7):
        found[batch.number] = model.user_vectors(batch, model.item_vectors()).numpy()
    return found


@pytest.mark.parametrize("blocks", [1, 2])
def test_a_long_timeline_gives_the_vectors_that_serving_computes_from_its_end(blocks: int):
    model = stirred(Recommender(catalogue(ITEMS), replace(SMALL, blocks=blocks, length=12)))
    line = random_timelines(1, ITEMS, 90)[0]
    together = vectors(model, [line])
    starts = target_queries([line]).start
    for moment, start in zip(together, starts, strict=True):
        low = max(0, start - model.architecture.length)
        tail = timeline(line.items[low:start], line.times[low:start])
        np.testing.assert_allclose(export.user_vectors(model, [tail])[0], moment, atol=1e-5)


def test_other_users_in_the_batch_change_nothing(model: Recommender):
    lines = random_timelines(9, ITEMS, 40)
    alone = np.concatenate([vectors(model, [line]) for line in lines])
    np.testing.assert_allclose(vectors(model, lines), alone, atol=1e-5)


def test_a_later_event_never_changes_an_earlier_vector(model: Recommender):
    line = random_timelines(1, ITEMS, 40)[0]
    moments = target_queries([line])
    changed = timeline(np.where(np.arange(40) < 25, line.items, (line.items + 1) % ITEMS), line.times)
    before = moments.start <= 25
    np.testing.assert_array_equal(vectors(model, [changed])[before], vectors(model, [line])[before])
    assert not np.allclose(vectors(model, [changed])[~before], vectors(model, [line])[~before])


def test_a_user_without_history_starts_at_the_learned_state(model: Recommender):
    found = export.user_vectors(model, [timeline([], []), timeline([3], [5.0])], at=5.0)
    np.testing.assert_array_equal(found, np.tile(model.start.detach().numpy(), (2, 1)))


def test_serving_reads_what_is_strictly_before_the_moment(model: Recommender):
    line = timeline([1, 2, 3], [0, 10, 20])
    np.testing.assert_array_equal(
        export.user_vectors(model, [line], at=20), export.user_vectors(model, [timeline([1, 2], [0, 10])])
    )


def test_an_unknown_profile_is_an_average_one(model: Recommender):
    random = np.random.default_rng(0)
    rows = random.uniform(1, 50, size=(200, len(PROFILE))).astype(np.float32)
    model.fit_profile(rows)
    line = timeline([1, 2], [0, 10])
    known = export.user_vectors(model, [line], profiles=rows[:1])
    unknown = export.user_vectors(model, [line], profiles=np.full((1, len(PROFILE)), np.nan))
    average = np.expm1(np.log1p(rows.astype(float)).mean(axis=0, keepdims=True))
    assert not np.allclose(known, unknown)
    np.testing.assert_allclose(export.user_vectors(model, [line], profiles=average), unknown, atol=1e-4)


def test_an_id_never_moves_an_item_further_than_its_bound(model: Recommender):
    with torch.no_grad():
        model.residual.mul_(100)
        moved = (model.item_vectors() - model.projection(model.text)).norm(dim=1)
    np.testing.assert_allclose(moved, ID_BOUND, rtol=1e-4)


def test_gaps_are_doubling_buckets_within_a_user():
    times = np.array([0.0, 0.0, 1.0, 3.0, 3e12, 5.0])
    assert gap_buckets(times, np.array([0, 5, 5, 6])).tolist() == [NO_GAP, 0, 1, 2, 32, NO_GAP]


def test_every_query_is_answered_once_and_has_its_context():
    queries = target_queries(random_timelines(5, ITEMS, 300))
    chunks = cut_chunks(queries, context=20, width=50)
    assert (chunks.last[:-1] == chunks.first[1:]).all()
    assert chunks.last[-1] == len(queries)
    assert (chunks.high - chunks.low).max() <= 50
    for chunk in range(len(chunks)):
        asked = np.arange(chunks.first[chunk], chunks.last[chunk])
        assert (chunks.low[chunk] <= np.maximum(queries.first[asked], queries.start[asked] - 20)).all()


def test_a_vector_for_every_timeline_in_its_order(model: Recommender):
    lines = random_timelines(5, ITEMS, 30)
    found = export.user_vectors(model, lines)
    np.testing.assert_allclose(export.user_vectors(model, lines[::-1]), found[::-1], atol=1e-5)
    assert len(queries_at(lines)) == len(found)


def test_a_feature_that_never_varied_says_nothing_and_an_extreme_one_not_too_much():
    model = recommender(ITEMS)
    rows = np.random.default_rng(0).uniform(1, 9, size=(50, len(PROFILE))).astype(np.float32)
    rows[:, 0] = np.where(np.arange(50) % 2, 3.0, np.nextafter(np.float32(3.0), np.float32(4.0)))  # a rounding error
    model.fit_profile(rows)
    rows[0, 1] = 1e12
    standardised = model.standardised(torch.from_numpy(rows))
    assert not standardised[:, 0].any()
    assert standardised.abs().max() == FURTHEST
