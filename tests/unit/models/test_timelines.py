"""Facts about timelines, and about timelines laid end to end."""

from dataclasses import replace

import numpy as np
import pytest

from models.errors import TimelineError, UnknownItem
from models.histories import check_items, lay_out, queries_at, recent, spans, target_queries
from models.timelines import PROFILE, Catalogue, target_moments, timeline_from
from tests.unit.models.worlds import timeline


def test_a_moment_is_all_events_of_one_time():
    assert target_moments(timeline([1, 2, 3, 4], [0, 0, 5, 5])).tolist() == [0, 2]


def test_moments_outside_the_learned_time_are_history_only():
    assert target_moments(timeline([1, 2, 3, 4], [0, 1, 2, 3], learn_from=1, learn_until=3)).tolist() == [1, 2]


def test_times_that_decrease_are_refused():
    with pytest.raises(TimelineError, match="sort the events"):
        timeline([1, 2], [5, 4])


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(TimelineError, match="one entry an event"):
        timeline([1, 2], [5])


def test_a_catalogue_has_one_text_row_an_item():
    with pytest.raises(TimelineError, match="one row an item"):
        Catalogue(("a", "b"), np.zeros((3, 4), dtype=np.float32))


def test_a_query_sees_only_what_is_strictly_earlier():
    queries = target_queries([timeline([7, 8, 9], [0, 5, 5]), timeline([], []), timeline([6, 5], [0, 0])])
    assert queries.user.tolist() == [0, 0, 2]
    assert queries.start.tolist() == [0, 1, 3]
    assert queries.stop.tolist() == [1, 3, 5]
    assert queries.first.tolist() == [0, 0, 3]


def test_the_events_to_be_found_are_the_whole_moment():
    query, item = target_queries([timeline([7, 8, 9], [0, 5, 5], learn_from=1)]).targets()
    assert query.tolist() == [0, 0]
    assert item.tolist() == [8, 9]


def test_serving_asks_before_a_time_or_after_everything():
    lines = [timeline([1, 2, 3], [0, 1, 2]), timeline([], [])]
    assert queries_at(lines, at=1.0).start.tolist() == [1, 3]
    assert queries_at(lines).start.tolist() == [3, 3]


def test_no_timelines_give_no_queries():
    assert len(target_queries([])) == 0
    assert len(queries_at([])) == 0


def test_profiles_need_a_row_for_each_target_moment():
    with pytest.raises(TimelineError, match="each target moment"):
        target_queries([timeline([1, 2], [0, 1], profiles=np.zeros((1, len(PROFILE)), dtype=np.float32))])


def test_the_latest_queries_are_kept_within_a_limit():
    queries = target_queries([timeline([1, 2, 3], [0, 10, 20]), timeline([4, 5], [5, 15])])
    assert recent(queries, 3).time.tolist() == [10, 20, 15]
    assert len(recent(queries, 0)) == 1


def test_an_item_beyond_the_catalogue_is_named():
    with pytest.raises(UnknownItem, match="item 9 is outside a catalogue of 9"):
        check_items(lay_out([timeline([9], [0])]), 9)


def test_spans_write_out_ranges():
    owner, member = spans(np.array([3, 5, 9]), np.array([5, 5, 10]))
    assert owner.tolist() == [0, 0, 2]
    assert member.tolist() == [3, 4, 9]


def test_a_moment_is_a_target_unless_all_of_its_events_are_learned() -> None:
    found = timeline_from("ada", [1, 2, 3, 4], [10.0, 10.0, 20.0, 30.0])
    learned = replace(found, learned=np.array([True, False, True, False]))
    assert target_moments(learned).tolist() == [0, 3]
    assert target_moments(replace(learned, learn_from=15.0)).tolist() == [3]


def test_what_is_learned_has_an_entry_an_event() -> None:
    with pytest.raises(TimelineError, match="give one an event"):
        replace(timeline_from("ada", [1, 2], [10.0, 20.0]), learned=np.array([True]))
