"""Requests as applications make them, to Feast's own online store and to ours: the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from feast import Entity, FeatureService, FeatureView, Field, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Bytes, Float64, Int32, Int64, String, UnixTimestamp

from tests.support.databases import clone, drop
from tests.support.online import ITEM, OURS, STOCK, USER, Both, assert_same, source, store, view
from tidegate.postgres import Database

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORDER = [
    Entity(name="shop", join_keys=["shop_no"], value_type=ValueType.INT32),
    Entity(name="order", join_keys=["order_no"], value_type=ValueType.BYTES),
    Entity(name="day", join_keys=["day"], value_type=ValueType.UNIX_TIMESTAMP),
]
ORDER_KEYS = [("shop_no", Int32), ("order_no", Bytes), ("day", UnixTimestamp)]


@pytest.fixture(scope="module")
def both(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    database = clone(server, "stores_online_requests", "template0")
    folder = tmp_path_factory.mktemp("requests")
    made = Both(store(database, folder / "stock", STOCK, conn_type="pool"), store(database, folder / "ours", OURS))
    fill(made)
    yield made
    made.close()
    drop(server, database)


def fill(both: Both) -> None:
    """Define and write what the requests ask for."""
    profile = view("profile", [USER], {"age": Int64, "score": Float64, 'Odd name: "%s" $1 {x}': String})
    thing = view("thing", [ITEM], {"price": Float64})

    @on_demand_feature_view(
        sources=[profile, RequestSource(name="request", schema=[Field(name="plus", dtype=Int64)])],
        schema=[Field(name="older", dtype=Int64)],
        mode="pandas",
    )
    def pandas_aged(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"older": inputs["age"].fillna(0).astype("int64") + inputs["plus"]})

    @on_demand_feature_view(
        sources=[profile, thing], schema=[Field(name="ratio", dtype=Float64)], mode="python", singleton=True
    )
    def single_ratio(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"ratio": (inputs["score"] or 0.0) * (inputs["price"] or 0.0)}

    friend = profile.with_name("friend").with_join_key_map({"user_id": "friend_id"})
    services = {  # Feast cannot sort two projections of a view of which one has no other name
        "friends": [
            profile.with_name("self")[["age"]],
            friend[["age", "score"]],
        ],
        "renamed": [thing.with_name("ware")[["price"]]],
        "on_demand": [profile[["age"]], pandas_aged, single_ratio],
    }
    keyed = FeatureView(
        name="line",
        entities=ORDER,
        schema=[*(Field(name=name, dtype=kind) for name, kind in ORDER_KEYS), Field(name="n", dtype=Int64)],
        source=source("line"),
        ttl=timedelta(0),
    )
    both.apply(
        USER, ITEM, *ORDER, profile, thing, keyed, pandas_aged, single_ratio,
        *(FeatureService(name=name, features=features) for name, features in services.items()),
    )  # fmt: skip
    odd = 'Odd name: "%s" $1 {x}'
    both.write("profile", [{"user_id": n, "age": 20 + n, "score": n / 4, odd: f"o{n}"} for n in range(5)], NOW)
    both.write("thing", [{"item_id": f"i{n}", "price": n * 1.5} for n in range(5)], NOW)
    lines = product((1, 2), (b"a", b"\x00"), (NOW, NOW + timedelta(days=1)))
    both.write(
        "line",
        [{"shop_no": s, "order_no": o, "day": d, "n": n} for n, (s, o, d) in enumerate(lines)],
        NOW,
    )


USERS = [1, 2, 1, 77, 1]
SERVICES = {
    "friends": {"user_id": USERS, "friend_id": [2, 1, 1, 2, 77]},
    "renamed": {"item_id": ["i1", "none", "i1"]},
    "on_demand": {"user_id": USERS, "item_id": ["i1"] * 5, "plus": [1, 2, 3, 4, 5]},
}


@pytest.mark.parametrize(
    ("name", "full"),
    [("friends", True), ("renamed", False), ("renamed", True), ("on_demand", False), ("on_demand", True)],
)
def test_services_with_other_names_join_keys_and_on_demand_views(both: Both, name: str, full: bool) -> None:
    service = both.ours.get_feature_service(name)
    assert_same(*both.answers(service, SERVICES[name], full_feature_names=full))


@pytest.mark.parametrize(
    "users",
    [
        np.array([1, 2, 77]),
        [np.int64(1), np.int32(2)],
        pd.Series([1, 2]).tolist(),
        [Value(int64_val=1), Value(int64_val=9)],
        (1, 2),
        [True, 2],
        [],
    ],
    ids=["array", "numpy", "series", "protos", "tuple", "bool", "none"],
)
def test_keys_come_in_every_form_that_feast_takes(both: Both, users: Any) -> None:
    asked = [outcome(one, ["profile:age"], {"user_id": users}) for one in (both.stock, both.ours)]
    assert asked[1] == asked[0]


@pytest.mark.parametrize(
    "rows",
    [[{"user_id": "1"}], [{"user_id": 1.0}], [{"user_id": 2**70}], [{"user": 1}], [{}], []],
    ids=["text", "float", "huge", "entity's name", "no key", "no row"],
)
def test_keys_of_other_kinds_end_as_with_stock(both: Both, rows: Any) -> None:
    asked = [outcome(one, ["profile:age"], rows) for one in (both.stock, both.ours)]
    assert asked[1] == asked[0]


def test_a_key_without_a_value_is_a_key_without_a_row(both: Both) -> None:
    """Stock cannot sort it beside others."""
    assert outcome(both.stock, ["profile:age"], {"user_id": [1, None]}) == "an error"
    assert outcome(both.ours, ["profile:age"], {"user_id": [1, None]})["age"] == [21, None]


def outcome(one: Any, features: Any, rows: Any) -> Any:
    """Return an answer, or that there was an error instead: which it is depends on who meets it first."""
    try:
        return one.get_online_features(features, rows).to_dict()
    except Exception:
        return "an error"


def test_keys_of_three_types(both: Both) -> None:
    asked = [
        {"shop_no": shop, "order_no": order, "day": NOW + timedelta(days=day)}
        for shop, order, day in [(1, b"a", 0), (2, b"\x00", 1), (1, b"\x00", 1), (3, b"a", 0), (1, b"a", 0)]
    ]
    assert_same(*both.answers(["line:n"], asked))


def test_a_feature_may_have_any_name(both: Both) -> None:
    assert_same(*both.answers(['profile:Odd name: "%s" $1 {x}'], {"user_id": USERS}))
