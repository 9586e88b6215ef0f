"""Facts about the popularity clock."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.popularity import DAY, HALF_LIVES, PopularityClock

EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60 * 24)), min_size=1, max_size=40)


def counted(events: list[tuple[int, float]], now: float, size: int = 4) -> np.ndarray:
    """Return the decayed counts by their definition."""
    counts = np.zeros((size, 3))
    for item, time in events:
        counts[item] += 2.0 ** (-(now - time) / HALF_LIVES)
    return counts


def arrays(events: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([i for i, _ in events]), np.array([3600.0 * t for _, t in events])


@given(EVENTS, EVENTS)
def test_counts_follow_their_definition_in_any_order(earlier, later):
    clock = PopularityClock.empty(4)
    clock.fold(*arrays(earlier))
    clock.fold(*arrays(later))
    both = [(i, 3600.0 * t) for i, t in earlier + later]
    np.testing.assert_allclose(clock.counts, counted(both, max(t for _, t in both)), rtol=1e-9)


@given(EVENTS)
def test_a_snapshot_holds_only_what_is_strictly_earlier(events):
    items, times = arrays(events)
    clock = PopularityClock.empty(4)
    clock.advance(items, times, asked=times)
    for moment, features in zip(clock.snapshot_times[1:], clock.snapshots[1:], strict=True):
        before = [(i, t) for i, t in zip(items, times, strict=True) if t < moment]
        np.testing.assert_allclose(features, np.log1p(counted(before, moment)), rtol=1e-5, atol=1e-6)


def test_a_window_leaves_no_more_snapshots_than_allowed():
    clock = PopularityClock.empty(1)
    times = np.arange(1000.0)
    clock.advance(np.zeros(1000, dtype=int), times, asked=times, limit=10)
    assert len(clock.snapshot_times) == 11


def test_a_query_reads_the_latest_snapshot_that_is_not_later():
    clock = PopularityClock.empty(1)
    clock.advance(np.zeros(3, dtype=int), np.array([0.0, 10.0, 20.0]), asked=np.array([10.0, 20.0]))
    assert clock.snapshot_times[clock.latest(np.array([9.0, 10.0, 15.0, 99.0]))].tolist() == [-np.inf, 10, 10, 20]


def test_no_snapshot_is_taken_of_the_past():
    clock = PopularityClock.empty(1)
    clock.fold(np.array([0]), np.array([100.0]))
    clock.advance(np.array([0, 0]), np.array([50.0, 150.0]), asked=np.array([50.0, 150.0]))
    assert clock.snapshot_times.tolist() == [-np.inf, 150.0]


def test_thinning_keeps_the_newest_and_spreads_the_rest():
    clock = PopularityClock.empty(1)
    times = np.array([0.0, 1.0, 2.0, 100.0, 200.0, 201.0])
    clock.advance(np.zeros(6, dtype=int), times, asked=times)
    clock.thin(3)
    assert clock.snapshot_times.tolist() == [2.0, 100.0, 201.0]
    assert clock.snapshots.shape == (3, 1, 3)


def test_an_empty_clock_survives_thinning_and_time():
    clock = PopularityClock.empty(2)
    clock.thin()
    clock.move_to(1e9)
    assert clock.latest(np.array([5.0])).tolist() == [0]
    assert not clock.counts.any()


def test_growth_keeps_the_counts_of_old_items():
    clock = PopularityClock.empty(1)
    clock.fold(np.array([0]), np.array([DAY]))
    clock.grow(3)
    assert clock.counts[:, 0].tolist() == [1, 0, 0]
    assert clock.snapshots.shape == (1, 3, 3)


def test_centuries_do_not_overflow():
    clock = PopularityClock.empty(1)
    clock.fold(np.array([0, 0]), np.array([0.0, 3e10]))
    assert clock.counts[0, 0] == 1.0
