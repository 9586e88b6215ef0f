"""The offline store beside Feast's own over generated rows and questions, and beside the obvious answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.feast_worlds import hours
from tests.support.memory import resident
from tidegate.postgres import Database

feast = pytest.importorskip("feast")

from feast import FeatureView, Field  # noqa: E402
from feast.types import Int64, String  # noqa: E402

from tests.support.offline import (  # noqa: E402
    World,
    frame,
    offline_world,
    same,
    shop,
    source,
    user,
)

UNHURRIED = list(HealthCheck)


@pytest.fixture(scope="module")
def world(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with offline_world(server, tmp_path_factory.mktemp("worlds"), "feast_offline_generated") as made:
        yield made


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_memory_of_batches_does_not_grow_with_their_number(world: World) -> None:
    world.connection.execute(
        """create table much as
           select n as user_id, timestamptz '2026-01-01Z' as at, n as visits, repeat(n::text, 20) as name
             from generate_series(1, 500000) n;
        create index on much (user_id, at);
        analyze much"""
    )
    view = FeatureView(
        name="much", entities=[user], ttl=timedelta(0), source=source("much", created=""),
        schema=[Field(name=name, dtype=kind) for name, kind in (("visits", Int64), ("name", String))],
    )  # fmt: skip
    world.ours.apply([view])
    asked = "select user_id, now() as event_timestamp from much"
    batches = world.ours.get_historical_features(asked, ["much:visits", "much:name"]).to_batches()
    rows, held = 0, []
    for batch in batches:
        rows += batch.num_rows
        held.append(resident())
    assert (rows, len(held) > 8) == (500_000, True)
    assert max(held[2:]) - min(held[2:]) < 60 << 20


moments = st.integers(0, 12).map(lambda quarter: quarter / 4)
shop_rows = st.lists(
    st.builds(
        lambda who, at, written, visits, name, scores: shop(
            who, at, written, visits=visits, name=name, scores=scores, spend=None if visits is None else visits / 3
        ),
        st.integers(0, 3), moments, moments, st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=6),
        st.none() | st.lists(st.floats(width=64, allow_nan=False), max_size=3),
    ),
    min_size=1, max_size=25, unique_by=lambda row: row[:3],
)  # fmt: skip
questions = st.lists(st.tuples(st.integers(0, 4), moments), min_size=1, max_size=12)


anything = {"rows": shop_rows, "asked": questions, "known": st.booleans(), "full": st.booleans()}


def compare(world: World, rows: Any, asked: Any, known: bool, full: bool) -> None:
    world.rows("shops", rows)
    features = ["shops:visits", "shops:name", "shops:scores", "shops:spend", "fresh:recent_visits"]
    same(*world.both(frame(*asked), features, full_feature_names=full, filter_by_created_timestamp=known))


@settings(max_examples=8, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=UNHURRIED)
@given(**anything)
def test_some_rows_and_questions(world: World, rows: Any, asked: Any, known: bool, full: bool) -> None:
    compare(world, rows, asked, known, full)


@pytest.mark.long
@pytest.mark.timeout(600)
@settings(max_examples=120, deadline=None, suppress_health_check=UNHURRIED)
@given(**anything)
def test_any_rows_and_questions(world: World, rows: Any, asked: Any, known: bool, full: bool) -> None:
    compare(world, rows, asked, known, full)


pair_rows = st.lists(
    st.tuples(st.integers(1, 23), st.integers(1, 23), moments, moments, st.integers(0, 999)),
    min_size=1, max_size=40, unique_by=lambda row: row[:4],
)  # fmt: skip


@pytest.mark.long
@pytest.mark.timeout(600)
@settings(max_examples=80, deadline=None, suppress_health_check=UNHURRIED)
@given(rows=pair_rows, more=st.lists(st.tuples(st.integers(1, 23), st.integers(1, 23), moments), max_size=5))
def test_any_pairs_against_the_obvious_answer(world: World, rows: Any, more: Any) -> None:
    """Keys of two columns, where the plain store is no measure: asked at each row's own time, and elsewhere."""
    world.rows("pairs", [(*row[:2], hours(row[2]), hours(row[3]), row[4]) for row in rows])
    asked = [(user, item, at) for user, item, at, _, _ in rows] + more

    def obvious(user: int, item: int, at: float) -> int | None:
        seen = [row for row in rows if row[:2] == (user, item) and row[2] <= at]
        return max(seen, key=lambda row: row[2:4])[4] if seen else None

    found = world.asked(world.ours, frame(*asked, keys=("user_id", "item_id")), ["pairs:rank"])
    assert found["rank"].to_pylist() == [obvious(*row) for row in asked]
