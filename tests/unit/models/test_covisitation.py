import numpy as np
import pytest
from scipy import sparse

from models.batches import Batches
from models.covisitation import HALF_LIFE, KEPT, LATEST, Covisitation, Following, pairs, strongest
from models.histories import Histories, Queries, lay_out, queries_at, target_queries
from models.recommender import Recommender
from models.timelines import Catalogue, timeline_from
from models.training import FitSettings, fit

ITEMS = 6
DAY = 86_400.0


def counted(*lines: list[int], size: int = ITEMS) -> tuple[Covisitation, Histories]:
    histories = lay_out(
        [timeline_from(f"u{n}", items, [DAY * i for i in range(len(items))]) for n, items in enumerate(lines)]
    )
    found = Covisitation.empty(size)
    found.fold(histories, np.arange(len(histories.items)))
    return found, histories


def asked(items: list[int]) -> Queries:
    return queries_at([timeline_from("asked", items, [DAY * i for i in range(len(items))])])


def by_hand(line: list[int], at: float, size: int = ITEMS) -> np.ndarray:
    found = np.zeros((size, size))
    for later in range(len(line)):
        for earlier in range(later):
            found[line[earlier], line[later]] += (later - earlier) ** -0.5 * 2.0 ** ((later * DAY - at) / HALF_LIFE)
    return found


def test_a_pair_counts_the_less_the_further_apart_and_the_older_it_is() -> None:
    found, _ = counted([0, 1, 2, 0, 3])
    np.testing.assert_allclose(found.counts.toarray(), by_hand([0, 1, 2, 0, 3], at=4 * DAY), rtol=1e-6)


def test_counting_in_two_parts_is_counting_at_once() -> None:
    whole, histories = counted([0, 1, 2, 0, 3, 5], [4, 2, 1])
    halves = Covisitation.empty(ITEMS)
    order = np.argsort(histories.times, kind="stable")
    halves.fold(histories, order[:4])
    halves.fold(histories, order[4:])
    np.testing.assert_allclose(halves.counts.toarray(), whole.counts.toarray(), rtol=1e-5)


def test_what_shares_a_moment_counts_both_ways() -> None:
    histories = lay_out([timeline_from("u", [0, 1], [5.0, 5.0])])
    earlier, later, apart = pairs(histories, np.array([0, 1]), reach=3)
    assert sorted(zip(earlier.tolist(), later.tolist(), apart.tolist(), strict=True)) == [(0, 1, 1), (1, 0, 1)]


def test_pairs_never_join_two_users() -> None:
    found, _ = counted([0, 1], [2, 3])
    assert found.counts.nnz == 2


def test_an_item_keeps_its_strongest_followers() -> None:
    counts = sparse.csr_array(np.array([[3.0, 1.0, 2.0, 2.0], [0.0, 0.0, 4.0, 0.0]], dtype=np.float32))
    np.testing.assert_array_equal(strongest(counts, 2).toarray(), [[3, 0, 2, 0], [0, 0, 4, 0]])
    assert KEPT < 1_000  # memory is the catalogue's size times this


def test_the_answer_is_the_share_of_what_followed_the_latest_events() -> None:
    found, _ = counted([0, 1], [0, 1], [0, 2], [3, 4])
    weights = found.followers().weights.toarray()
    latest = (LATEST - 1) / LATEST * weights[0] + weights[3]  # the last event is 3, the one before it 0
    np.testing.assert_allclose(
        found.followers().after(asked([0, 3]))[0], np.log1p(ITEMS * latest / latest.sum()), rtol=1e-5
    )


def test_nothing_follows_what_nobody_took() -> None:
    found, _ = counted([0, 1])
    assert not found.followers().after(asked([5])).any()
    assert not found.followers().after(asked([])).any()


def test_a_first_version_learns_from_what_was_known_at_each_moment() -> None:
    lines = [
        timeline_from(f"u{n}", [n % ITEMS, (n + 1) % ITEMS, (n + 2) % ITEMS], [n, n + 0.3, n + 0.6]) for n in range(40)
    ]
    queries = target_queries(lines)
    found = Covisitation.empty(ITEMS)
    found.advance(queries.histories, np.arange(len(queries.histories.items)), queries.time)
    following = Following(found, queries)
    assert not following.early.any()
    first = int(np.argmin(queries.time))
    assert not following.of(np.array([first])).any(), "nothing had happened yet"
    # Without the later events the same moments find the same.
    until = queries.time <= found.snapshot_times[-2]
    earlier = Covisitation.empty(ITEMS)
    for edge in found.snapshot_times[:-1]:
        new = np.flatnonzero((queries.histories.times < edge) & (queries.histories.times > earlier.at))
        earlier.fold(queries.histories, new)
    last = np.flatnonzero(until)[np.argmax(queries.time[until])]
    np.testing.assert_allclose(
        earlier.followers().after(queries[np.array([last])]), following.of(np.array([last])), rtol=1e-4
    )


def test_replayed_moments_are_known_to_be_early() -> None:
    found, histories = counted([0, 1, 2])
    queries = target_queries(
        [timeline_from("old", [0, 1], [0.0, DAY]), timeline_from("new", [0, 1], [9 * DAY, 10 * DAY])]
    )
    found.advance(queries.histories, np.array([2, 3]), queries.time[2:])
    assert Following(found, queries).early.tolist() == [True, True, False, False]
    assert histories.owner.max() == 0


@pytest.mark.parametrize("whole", [True, False])
def test_a_chain_that_popularity_cannot_see_is_followed(whole: bool) -> None:
    chance = np.random.default_rng(0)
    starts = chance.integers(ITEMS, size=60)
    lines = [
        timeline_from(f"u{n}", [(s + k) % ITEMS for k in range(5)], [n + k / 10 for k in range(5)])
        for n, s in enumerate(starts)
    ]
    model = Recommender(Catalogue(tuple("abcdef"), np.zeros((ITEMS, 4), dtype=np.float32)))
    fit(
        model,
        lines,
        settings=FitSettings(first_steps=5, first_epochs=1, whole_softmax_items=100 if whole else 2, negatives=4),
    )
    assert model.following[0] > 0.5
    queries = asked([2, 3])
    batch = next(Batches(queries, model.architecture, model.clock, model.counted).in_order(1))
    assert int(batch.following.argmax()) == 4
