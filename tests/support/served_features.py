"""A small shop as a feature repository: one of each kind of type, key and view that a server meets."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from tidegate.postgres import Database

ONLINE = "tidegate.stores.online.TidegateOnlineStore"
DEFINITIONS = """
from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import (
    Array, Bool, Bytes, Float32, Float64, Int32, Int64, Json, Map, String, UnixTimestamp,
)

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
item = Entity(name="item", join_keys=["item_id"], value_type=ValueType.STRING)
source = FileSource(name="nothing", path="nothing.parquet", timestamp_field="event_timestamp")
pushed = PushSource(name="pushed", batch_source=source)

profile = FeatureView(
    name="profile", entities=[user], ttl=timedelta(0), source=source,
    schema=[Field(name="visits", dtype=Int64), Field(name="spend", dtype=Float64), Field(name="mean", dtype=Float32),
            Field(name="name", dtype=String), Field(name="known", dtype=Bool), Field(name="age", dtype=Int32)],
)
taste = FeatureView(
    name="taste", entities=[user], ttl=timedelta(0), source=pushed,
    schema=[Field(name="visits", dtype=Int64), Field(name="vector", dtype=Array(Float32)),
            Field(name="words", dtype=Array(String)), Field(name="counts", dtype=Array(Int64)),
            Field(name="weights", dtype=Array(Float64))],
)
card = FeatureView(
    name="card", entities=[item], ttl=timedelta(0), source=source,
    schema=[Field(name="title", dtype=String), Field(name="price", dtype=Float64),
            Field(name="seen_at", dtype=UnixTimestamp), Field(name="picture", dtype=Bytes)],
)
cross = FeatureView(
    name="cross", entities=[user, item], ttl=timedelta(0), source=source,
    schema=[Field(name="clicks", dtype=Int64), Field(name="share", dtype=Float64)],
)

visited = FeatureView(
    name="visited", entities=[user], ttl=timedelta(0),
    source=FileSource(name="visits", path="visits.parquet", timestamp_field="event_timestamp"),
    schema=[Field(name="pages", dtype=Int64), Field(name="place", dtype=String)],
)


@on_demand_feature_view(
    sources=[profile, RequestSource(name="basket", schema=[Field(name="amount", dtype=Float64)])],
    schema=[Field(name="total", dtype=Float64)], mode="python",
)
def basket_total(inputs):
    return {"total": [(a or 0.0) + (b or 0.0) for a, b in zip(inputs["spend"], inputs["amount"])]}


ranking = FeatureService(name="ranking", features=[profile, taste[["vector", "words"]]])
pairs = FeatureService(name="pairs", features=[profile[["spend"]], cross, card[["title", "price"]]])
"""


def write_repository(folder: Path, database: Database, online: str = ONLINE, schema: str = "shop") -> Path:
    """Write the repository for a database; return its folder. The registry is a file in it."""
    import pandas as pd

    found = database.parameters
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "definitions.py").write_text(DEFINITIONS)
    visits = {"user_id": [1, 2, 2], "pages": [3, 1, 8], "place": ["Oslo", None, "Bergen"]}
    times = pd.to_datetime(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"])
    pd.DataFrame(visits | {"event_timestamp": times}).to_parquet(folder / "visits.parquet")
    (folder / "feature_store.yaml").write_text(
        textwrap.dedent(f"""
            project: shop
            provider: local
            entity_key_serialization_version: 3
            registry: {{path: registry.db, cache_ttl_seconds: 60}}
            online_store:
              type: {online}
              host: {found["host"]}
              port: {found["port"]}
              database: {found["dbname"]}
              user: {found["user"]}
              password: "{found.get("password", "")}"
              sslmode: disable
              db_schema: {schema}
        """)
    )
    return folder


def open_repository(folder: Path) -> Any:
    """Return the store of a repository with its definitions applied."""
    import importlib.util

    from feast import FeatureStore

    spec = importlib.util.spec_from_file_location("shop_definitions", folder / "definitions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    store = FeatureStore(repo_path=str(folder))
    names = (
        "user",
        "item",
        "profile",
        "taste",
        "card",
        "cross",
        "visited",
        "basket_total",
        "ranking",
        "pairs",
        "pushed",
    )
    store.apply([getattr(module, name) for name in names])
    return store


def fill(store: Any) -> None:
    """Write what the shop knows of a few users and items: NULLs, odd numbers and odd times among it."""
    for view, frame in frames().items():
        store.write_to_online_store(view, frame)


def frames() -> dict[str, Any]:
    """Return the rows of each view."""
    import pandas as pd

    times = pd.to_datetime(
        ["2026-01-01T00:00:00Z", "2026-01-02T03:04:05.678Z", "2026-01-03T03:04:05.678901Z"], format="ISO8601"
    )
    empty = None
    return {
        "profile": pd.DataFrame(
            {
                "user_id": [1, 2, 3],
                "visits": [2**60, 0, -1],
                "spend": [0.1, float("inf"), 1e22],
                "mean": [0.1, 2.5, -0.0],
                "name": ["Ada", "", 'Zoë \\ "quoted" \u2028'],
                "known": [True, False, True],
                "age": [36, 0, -5],
                "event_timestamp": times,
            }
        ),
        "taste": pd.DataFrame(
            {
                "user_id": [1, 3],
                "visits": [5, 6],
                "vector": [[0.1, 0.2, 0.3], [1.0, float("-inf"), 0.0]],
                "words": [["tea", "ä"], []],
                "counts": [[1, 2**40], [0]],
                "weights": [[0.1], [1e300, 1e-300]],
                "event_timestamp": times[[1, 2]],
            }
        ),
        "card": pd.DataFrame(
            {
                "item_id": ["tea", "milk"],
                "title": ["Tea", empty],
                "price": [4.5, None],
                "seen_at": times[[0, 1]],
                "picture": [b"\x00\xff", b""],
                "event_timestamp": times[[0, 1]],
            }
        ),
        "cross": pd.DataFrame(
            {
                "user_id": [1, 1, 12],
                "item_id": ["tea", "milk", "tea"],
                "clicks": [3, 1, 9],
                "share": [0.75, 0.25, 1.0],
                "event_timestamp": times,
            }
        ),
    }
