"""Facts about repeat consumption: the vectorised features are the definition."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.histories import Queries, queries_at, target_queries
from models.popularity import HALF_LIVES
from models.repeat import MOST_DUE, pair_states, repeat_rows
from tests.unit.models.worlds import HOUR, random_timelines, timeline

EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 200)), max_size=25)


def expected(queries: Queries) -> dict[tuple[int, int], list[float]]:
    """Return the features of every touched item by a plain loop."""
    histories, found = queries.histories, {}
    for q in range(len(queries)):
        begin, end, now = queries.first[q], queries.start[q], queries.time[q]
        for item in set(histories.items[begin:end].tolist()):
            times = [histories.times[e] for e in range(begin, end) if histories.items[e] == item]
            gap = (times[-1] - times[0]) / max(len(times) - 1, 1)
            decayed = [sum(2.0 ** (-(now - t) / h) for t in times) for h in HALF_LIVES]
            due = min((now - times[-1]) / gap, MOST_DUE) if len(times) >= 2 and gap > 0 else 0.0
            found[q, item] = [1.0, np.log1p(len(times)), *np.log1p(decayed), due]
    return found


def check(queries: Queries) -> None:
    rows = repeat_rows(pair_states(queries.histories), queries)
    truth = expected(queries)
    pairs = list(zip(rows.query.tolist(), rows.item.tolist(), strict=True))
    assert pairs == sorted(truth)
    for pair, values in zip(pairs, rows.values, strict=True):
        np.testing.assert_allclose(values, truth[pair], rtol=1e-5, atol=1e-6)


@settings(max_examples=60)
@given(st.lists(EVENTS, min_size=1, max_size=4))
def test_features_follow_their_definition(users):
    lines = []
    for n, events in enumerate(users):
        events.sort(key=lambda e: e[1])
        lines.append(timeline([i for i, _ in events], [HOUR * t for _, t in events], f"u{n}"))
    check(target_queries(lines))
    check(queries_at(lines))
    check(queries_at(lines, at=100 * HOUR))


def test_a_choice_of_queries_gives_the_rows_of_that_choice():
    queries = target_queries(random_timelines(6, 10, 40))
    check(queries[np.arange(3, len(queries), 7)])


def test_the_same_basket_never_counts():
    rows = repeat_rows(*_states(target_queries([timeline([1, 1, 2], [0, 5, 5], learn_from=1)])))
    assert rows.item.tolist() == [1]
    assert rows.values[0, 1] == np.float32(np.log1p(1))


def test_a_user_without_history_has_no_rows():
    assert len(repeat_rows(*_states(target_queries([timeline([1, 2], [0, 0])]))).query) == 0


def _states(queries: Queries):
    return pair_states(queries.histories), queries
