"""Our feature server beside a real `feast serve`: the same exchange over HTTP, each on a store of its own.

What one exchange writes the next ones read, so their order is part of the test.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.databases import clone, drop
from tests.support.feature_servers import ours, serving, stock
from tests.support.served_features import ONLINE, fill, open_repository, write_repository
from tests.support.served_requests import ODD, REFS, USER, requests
from tidegate.postgres import Database

pytest.importorskip("feast")
GENERATED = settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
READ = "/get-online-features"
TASTE = {"visits": [1], "vector": [[0.5]], "words": [["a"]], "counts": [[1]], "weights": [[2.0]]}
ROW = {"user_id": [50]} | TASTE | {"event_timestamp": ["2026-02-01T00:00:00"]}
CROSS = {"user_id": [7], "item_id": ["tea"], "clicks": [4], "share": [0.5], "event_timestamp": ["2026-02-01T00:00:00"]}
JANUARY = {"start_ts": "2026-01-01T00:00:00", "end_ts": "2026-01-02T12:00:00", "feature_views": ["visited"]}


def of_users(view: str, *features: str) -> dict[str, Any]:
    """Return a request for features of some users, one of them unknown."""
    return {"entities": {"user_id": [1, 2, 50, 99]}, "features": [f"{view}:{feature}" for feature in features]}


EXCHANGES: list[tuple[str, str, Any]] = [
    ("GET", "/health", None),
    ("GET", "/chat", None),
    ("GET", "/docs", None),
    ("GET", "/nothing", None),
    ("GET", READ, None),
    ("POST", "/chat", {"messages": [{"role": "user", "content": "hello"}]}),
    ("POST", "/chat", {}),
    # every type, found, missing and NULL
    ("POST", READ, {"entities": {"user_id": [1, 2, 3, 99]}, "features": [ref for ref in REFS if ref < "card"]}),
    ("POST", READ, {"entities": {"item_id": ["tea", "milk", "none"]}, "features": REFS[10:14]}),
    ("POST", READ, {"entities": {"user_id": [1, 12], "item_id": ["tea", "tea"]}, "feature_service": "pairs"}),
    ("POST", READ, {"entities": USER, "feature_service": "ranking", "full_feature_names": True}),
    *[("POST", READ, odd) for odd in ODD],
    # writing
    ("POST", "/push", {"push_source_name": "pushed", "df": ROW}),
    ("POST", READ, of_users("taste", *TASTE)),
    ("POST", "/push", {"push_source_name": "pushed", "df": ROW, "to": "nowhere"}),
    ("POST", "/push", {"push_source_name": "pushed", "df": {"user_id": [1]}}),
    ("POST", "/push", {"push_source_name": "nothing", "df": ROW}),
    ("POST", "/push", {"df": ROW}),
    ("POST", "/write-to-online-store", {"feature_view_name": "cross", "df": CROSS}),
    ("POST", READ, {"entities": {"user_id": [7], "item_id": ["tea"]}, "features": ["cross:clicks", "cross:share"]}),
    ("POST", "/write-to-online-store", {"feature_view_name": "nothing", "df": CROSS}),
    ("POST", "/write-to-online-store", {"feature_view_name": "cross"}),
    # materialising
    ("POST", "/materialize", JANUARY),
    ("POST", READ, of_users("visited", "pages", "place")),
    ("POST", "/materialize-incremental", {"end_ts": "2026-01-04T00:00:00", "feature_views": ["visited"]}),
    ("POST", READ, of_users("visited", "pages", "place")),
    ("POST", "/materialize", JANUARY | {"end_ts": "2025-01-01T00:00:00"}),
    ("POST", "/materialize", JANUARY | {"end_ts": "soon"}),
    ("POST", "/materialize", JANUARY | {"feature_views": ["nothing"]}),
    ("POST", "/materialize", {"feature_views": ["visited"]}),
    ("POST", "/materialize-incremental", {"feature_views": ["visited"]}),
    # documents
    ("GET", "/v1/vector_stores", None),
    ("GET", "/v1/vector_stores/nothing", None),
    ("POST", "/v1/vector_stores/nothing/search", {"query": "tea"}),
    ("POST", "/search", {"features": ["nothing:spend"], "query": [0.5], "top_k": 1}),
    ("POST", "/retrieve-online-documents", {"top_k": 1}),
]


class Both(NamedTuple):
    """Clients of the two servers."""

    stock: httpx.Client
    ours: httpx.Client


@pytest.fixture(scope="module")
def shop(server: Database) -> Iterator[Database]:
    """A database for the whole module."""
    made = clone(server, "beside_feast_serve", "template0")
    yield made
    drop(server, made)


@pytest.fixture(scope="module")
def both(shop: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """The two servers, each on a repository of its own with the same definitions and rows."""
    folders = [
        filled(shop, tmp_path_factory.mktemp(name), store) for name, store in (("stock", "postgres"), ("ours", ONLINE))
    ]
    with serving(stock(folders[0]), folders[0]) as feast, serving(ours(folders[1]), folders[1]) as tidegate:
        yield Both(feast.client, tidegate.client)


def filled(shop: Database, folder: Path, online: str) -> Path:
    """Return a repository whose rows are written."""
    write_repository(folder, shop, online, schema=folder.name)
    store = open_repository(folder)
    fill(store)
    return folder


def asked(client: httpx.Client, method: str, path: str, body: Any) -> tuple[int, str, Any]:
    """Return what a server answers: status, type and content.

    On a connection of its own, because uvicorn closes one after a 500.
    """
    content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", "connection": "close"}
    answer = client.request(method, path, content=content, headers=headers)
    return answer.status_code, answer.headers.get("content-type", ""), told(answer)


def told(answer: httpx.Response) -> Any:
    """Return what can be compared of an answer's content.

    Features by name: the order of a service's features is that of a set, another one in each process. A 500 only by
    its type: Feast's own text has sets in it, and in `feast serve` the keys of earlier requests too.
    """
    if not answer.content or "json" not in answer.headers["content-type"]:
        return answer.text
    content = answer.json()
    if answer.status_code == 500:
        return type(content)
    if isinstance(content, dict) and "results" in content:
        names = content["metadata"].pop("feature_names")
        content["results"] = sorted(zip(names, content["results"], strict=True), key=lambda named: named[0])
    return content


def test_each_exchange_ends_as_with_feast_serve(both: Both) -> None:
    different = []
    for exchange in EXCHANGES:
        stock, ours = asked(both.stock, *exchange), asked(both.ours, *exchange)
        if stock != ours:
            different.append((exchange, stock, ours))
    assert different == []


def test_every_route_of_feast_serve_is_described_alike(both: Both) -> None:
    stock, ours = (client.get("/openapi.json").json()["paths"] for client in both)
    assert {path: ours.get(path) for path in stock} == stock
    assert ours.keys() - stock.keys() == {"/metrics", "/ready"}


def test_what_is_being_materialised_is_accepted_once(both: Both) -> None:
    answers = [asked(client, "POST", "/materialize?async=true", JANUARY) for client in both]
    assert answers[0] == answers[1]
    assert answers[0][0] == 202


@pytest.mark.long
@GENERATED
@given(wanted=requests())
def test_any_request_is_answered_as_by_feast_serve(both: Both, wanted: dict[str, Any]) -> None:
    assert asked(both.ours, "POST", READ, wanted) == asked(both.stock, "POST", READ, wanted)
