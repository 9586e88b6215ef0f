"""Requests to the shop of served_features: those that make sense, and those that do not."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

REFS = [
    *(f"profile:{name}" for name in ("visits", "spend", "mean", "name", "known", "age")),
    *(f"taste:{name}" for name in ("vector", "words", "counts", "weights")),
    *(f"card:{name}" for name in ("title", "price", "seen_at", "picture")),
    *(f"cross:{name}" for name in ("clicks", "share")),
]
KEYS = {"profile": ["user_id"], "taste": ["user_id"], "card": ["item_id"], "cross": ["user_id", "item_id"]}
USERS, ITEMS = st.sampled_from([1, 2, 3, 12, 99, -7]), st.sampled_from(["tea", "milk", "sugar", ""])


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """Return a request that makes sense: references or a service, and the keys they need."""
    service = draw(st.sampled_from(["", "ranking", "pairs"]))
    refs = draw(st.lists(st.sampled_from(REFS), min_size=1, max_size=8, unique=True))
    views = {"": {ref.partition(":")[0] for ref in refs}, "ranking": {"profile"}, "pairs": {"cross"}}[service]
    size = draw(st.integers(1, 6))
    values = {"user_id": st.lists(USERS, min_size=size, max_size=size)}
    values["item_id"] = st.lists(ITEMS, min_size=size, max_size=size)
    keys = sorted({key for view in views for key in KEYS[view]}, reverse=draw(st.booleans()))
    asked: dict[str, Any] = {"entities": {key: draw(values[key]) for key in keys}}
    return asked | ({"feature_service": service} if service else {"features": refs}) | full_names(draw)


def full_names(draw: st.DrawFn) -> dict[str, Any]:
    return draw(st.sampled_from([{}, {"full_feature_names": True}, {"full_feature_names": False}]))


USER = {"user_id": [1, 99, 2]}
ODD: list[Any] = [
    b"{",
    b"",
    b"[]",
    b"null",
    {},
    {"entities": {}},
    {"entities": {}, "features": ["profile:spend"]},
    {"entities": {"user_id": []}, "features": ["profile:spend"]},
    {"entities": {"user_id": 1}, "features": ["profile:spend"]},
    {"entities": USER},
    {"entities": USER, "features": []},
    {"entities": USER, "features": "profile:spend"},
    {"entities": USER, "features": [1]},
    {"entities": USER, "features": ["profile"]},
    {"entities": USER, "features": ["profile:nothing"]},
    {"entities": USER, "features": ["nothing:spend"]},
    {"entities": USER, "feature_service": "nothing"},
    {"entities": USER, "feature_service": 7},
    {"entities": USER, "features": ["profile:spend"], "full_feature_names": "maybe"},
    {"entities": USER, "features": ["profile:spend"], "full_feature_names": "true"},
    {"entities": USER, "features": ["profile:spend"], "include_feature_view_version_metadata": True},
    {"entities": USER, "features": ["profile:visits", "taste:visits"]},
    {"entities": USER, "features": ["profile:visits", "taste:visits"], "full_feature_names": True},
    {"entities": USER, "features": ["profile:spend", "profile:spend"]},
    {"entities": USER, "features": ["card:price"]},
    {"entities": USER | {"item_id": ["tea"]}, "features": ["profile:spend"]},
    {"entities": USER | {"item_id": ["tea"] * 3}, "features": ["profile:spend"]},
    {"entities": USER | {"colour": ["red"] * 3}, "features": ["profile:spend"]},
    {"entities": {"user_id": ["1", "2"]}, "features": ["profile:spend"]},
    {"entities": {"user_id": [1.0, 2.5]}, "features": ["profile:spend"]},
    {"entities": {"user_id": [1, "2"]}, "features": ["profile:spend"]},
    {"entities": {"user_id": [True]}, "features": ["profile:spend"]},
    {"entities": {"user_id": [2**70]}, "features": ["profile:spend"]},
    {"entities": {"user_id": [[1]]}, "features": ["profile:spend"]},
    {"entities": {"user": [1, 2]}, "features": ["profile:spend"]},
    {"entities": USER | {"amount": [1.0, 2.0, 3.0]}, "features": ["basket_total:total", "profile:spend"]},
    {"entities": USER, "features": ["basket_total:total"]},
    {"entities": USER, "features": ["profile:spend"], "feature_service": "ranking", "more": 1},
]
