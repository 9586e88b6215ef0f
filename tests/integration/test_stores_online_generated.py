"""Rows and requests that nobody thought of, to Feast's own online store and to ours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, String
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.databases import clone, drop
from tests.support.online import ITEM, OURS, STOCK, USER, Both, assert_same, store, view
from tidegate.postgres import Database

_days = count()
NOW = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)

VALUES: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "count": (Int64, st.integers(-(2**63), 2**63 - 1)),
    "small": (Int32, st.integers(-(2**31), 2**31 - 1)),
    "score": (Float64, st.floats(allow_nan=False)),
    "share": (Float32, st.floats(allow_nan=False, width=32)),
    "name": (String, st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))),
    "raw": (Bytes, st.binary()),
    "flag": (Bool, st.booleans()),
    "vector": (Array(Float32), st.lists(st.floats(allow_nan=False, width=32))),
    "words": (Array(String), st.lists(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])))),
}
PAIR_VALUES = {"n": VALUES["count"], "title": VALUES["name"]}
USER_IDS = st.integers(0, 3)
ITEM_IDS = st.sampled_from(["", "a", "1", "1a", "ü"])


def rows_of(keys: dict[str, Any], values: dict[str, tuple[Any, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Return rows with distinct keys; any value may be missing."""
    row = st.fixed_dictionaries(keys | {name: st.none() | kind for name, (_, kind) in values.items()})
    return st.lists(row, max_size=6, unique_by=lambda one: tuple(one[key] for key in keys))


@pytest.fixture(scope="module")
def generated(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    database = clone(server, "stores_online_generated", "template0")
    folder = tmp_path_factory.mktemp("generated")
    made = Both(store(database, folder / "stock", STOCK, conn_type="pool"), store(database, folder / "ours", OURS))
    made.apply(
        USER,
        ITEM,
        view("profile", [USER], {name: kind for name, (kind, _) in VALUES.items()}),
        view("pair", [USER, ITEM], {name: kind for name, (kind, _) in PAIR_VALUES.items()}),
    )
    yield made
    made.close()
    drop(server, database)


@pytest.mark.long
@pytest.mark.timeout(600)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    users=rows_of({"user_id": USER_IDS}, VALUES),
    pairs=rows_of({"user_id": USER_IDS, "item_id": ITEM_IDS}, PAIR_VALUES),
    asked=st.lists(st.fixed_dictionaries({"user_id": USER_IDS, "item_id": ITEM_IDS}), min_size=1, max_size=8),
    full_feature_names=st.booleans(),
    moment=st.integers(0, 5),
)
def test_generated_rows_and_requests_are_answered_as_by_stock(
    generated: Both,
    users: list[dict[str, Any]],
    pairs: list[dict[str, Any]],
    asked: list[dict[str, Any]],
    full_feature_names: bool,
    moment: int,
) -> None:
    # Each example comes later than the one before: what differs on purpose is not what is compared here.
    at = NOW + timedelta(seconds=moment, days=next(_days))
    generated.write("profile", users, at)
    generated.write("pair", pairs, at)
    features = [*(f"profile:{name}" for name in VALUES), *(f"pair:{name}" for name in PAIR_VALUES)]
    assert_same(*generated.answers(features, asked, full_feature_names=full_feature_names))
