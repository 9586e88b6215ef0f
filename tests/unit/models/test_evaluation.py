"""Facts about ranks and metrics, against numbers worked out by hand."""

from collections.abc import Iterator

import numpy as np
import pytest

from models.errors import UnknownItem
from models.evaluation import RankedEvents, metrics, rank, user_means
from models.histories import Queries
from models.popularity import PopularityClock
from models.scorers import FrequencyScorer, ModelScorer, PopularityScorer
from tests.unit.models.worlds import DAY, random_timelines, recommender, timeline


class Fixed:
    """Score the items by their index, the last one best, two queries at a time and the last queries first."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def scores(self, queries: Queries) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for begin in reversed(range(0, len(queries), 2)):
            chosen = np.arange(begin, min(begin + 2, len(queries)))
            yield chosen, np.tile(np.arange(self.size, dtype=np.float32), (len(chosen), 1))


def ranked(*ranks: int) -> RankedEvents:
    count = len(ranks)
    return RankedEvents(("a", "b"), np.arange(count) % 2, np.zeros(count, int), np.zeros(count), np.array(ranks))


def test_an_event_is_ranked_against_every_item():
    found = rank(Fixed(10), [timeline([9, 0, 5], [0, 1, 1]), timeline([8], [0]), timeline([7], [0])])
    assert found.rank.tolist() == [1, 10, 5, 2, 3]
    assert found.user.tolist() == [0, 0, 0, 1, 2]


def test_items_that_are_not_available_leave_the_race():
    available = np.arange(10) < 8
    assert rank(Fixed(10), [timeline([5, 9], [0, 1])], available).rank.tolist() == [3, 10]


def test_metrics_are_those_worked_out_by_hand():
    found = metrics(ranked(1, 3, 11, 30))
    assert found["recall@1"] == 0.25
    assert found["recall@10"] == 0.5
    assert found["recall@20"] == 0.75
    assert found["ndcg@10"] == pytest.approx((1 + 1 / 2) / 4)
    assert found["mrr@20"] == pytest.approx((1 + 1 / 3 + 1 / 11) / 4)
    assert (found["events"], found["users"]) == (4, 2)


def test_nothing_that_happened_gives_zeros():
    assert set(metrics(rank(Fixed(10), [timeline([1], [0], learn_from=5)])).values()) == {0}


def test_users_weighted_by_their_events_give_the_mean():
    found = ranked(1, 3, 11, 30, 2)
    means = user_means(found)
    assert means.users == ("a", "b")
    assert means.events.tolist() == [3, 2]
    for name, values in means.metrics.items():
        assert np.average(values, weights=means.events) == pytest.approx(metrics(found)[name])


def test_an_item_beyond_the_catalogue_is_refused():
    with pytest.raises(UnknownItem, match="grow the model"):
        rank(Fixed(3), [timeline([3], [0])])


def test_popularity_ranks_by_what_everybody_took_before():
    crowd = [timeline([2, 2, 1, 2], [0, DAY, 2 * DAY, 3 * DAY])]
    assert rank(PopularityScorer(PopularityClock.empty(4)), crowd).rank.tolist() == [4, 1, 4, 1]


def test_frequency_ranks_by_what_the_user_took_and_breaks_ties_by_popularity():
    clock = PopularityClock.empty(4)
    clock.fold(np.array([3, 3, 3, 1]), np.zeros(4))
    own = timeline([0, 0, 1, 1, 0, 3], [DAY, 2 * DAY, 3 * DAY, 4 * DAY, 5 * DAY, 6 * DAY], learn_from=4.5 * DAY)
    # Twice item 0 and twice item 1, of which 0 was taken by nobody else; then item 3, never taken but popular.
    assert rank(FrequencyScorer(clock), [own]).rank.tolist() == [2, 3]


def test_a_scorer_does_not_move_the_clock_it_was_given():
    model = recommender(10)
    before = model.clock.at
    rank(ModelScorer(model), random_timelines(3, 10, 20))
    assert model.clock.at == before


def test_two_scorers_rank_the_same_events_in_the_same_order():
    lines = random_timelines(8, 10, 30)
    one, other = rank(ModelScorer(recommender(10)), lines), rank(PopularityScorer(PopularityClock.empty(10)), lines)
    assert (one.user == other.user).all()
    assert (one.item == other.item).all()
    assert (one.time == other.time).all()
