"""Our feature server beside Feast's own: the same store, the same requests, the same answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.databases import clone, drop
from tests.support.served_features import fill, open_repository, write_repository
from tests.support.served_requests import ODD, USER, requests
from tidegate.postgres import Database

pytest.importorskip("feast")
LOCAL = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Pair:
    """Feast's server and ours on one store, in one loop."""

    def __init__(self, store: Any, loop: asyncio.Runner) -> None:
        from feast import feature_server

        from tidegate.stores.server import create_app

        self.store = store
        self._loop = loop
        loop.run(store.initialize())
        self.ours = self._client(create_app(store))
        self.stock = self._client(feature_server.get_app(store))

    def both(self, path: str, body: Any, **options: Any) -> tuple[httpx.Response, httpx.Response]:
        """Return what both answer to a POST."""
        options |= {"content": body} if isinstance(body, bytes) else {"json": body}
        return self.run(self.stock.post(path, **options)), self.run(self.ours.post(path, **options))

    def get(self, path: str) -> httpx.Response:
        """Return what ours answers to a GET."""
        return self.run(self.ours.get(path))

    def run(self, asking: Awaitable[httpx.Response]) -> httpx.Response:
        """Wait for an answer."""

        async def waited() -> httpx.Response:
            return await asking

        return self._loop.run(waited())

    def close(self) -> None:
        """Close the store in the loop it lived in."""
        self._loop.run(self.store.close())

    def _client(self, app: Any) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://feast")


@pytest.fixture(scope="module")
def shop(server: Database) -> Iterator[Database]:
    """A database for the whole module."""
    made = clone(server, "feature_server", "template0")
    yield made
    drop(server, made)


@pytest.fixture(scope="module")
def repository(shop: Database, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_repository(tmp_path_factory.mktemp("repository"), shop)


@pytest.fixture(scope="module")
def pair(repository: Path) -> Iterator[Pair]:
    with asyncio.Runner() as loop:
        store = open_repository(repository)
        fill(store)
        made = Pair(store, loop)
        yield made
        made.close()


@LOCAL
@given(asked=requests())
def test_ours_answers_as_feast_does(pair: Pair, asked: dict[str, Any]) -> None:
    stock, ours = pair.both("/get-online-features", asked)
    assert (ours.status_code, ours.json()) == (stock.status_code, stock.json())
    assert ours.headers["content-type"] == stock.headers["content-type"]


@pytest.mark.parametrize(
    "asked", ODD, ids=lambda asked: asked.decode() if isinstance(asked, bytes) else json.dumps(asked)
)
def test_an_odd_request_is_answered_as_feast_does(pair: Pair, asked: Any) -> None:
    stock, ours = pair.both("/get-online-features", asked)
    assert (ours.status_code, ours.content and ours.json()) == (stock.status_code, stock.content and stock.json())


def test_a_body_of_another_type_is_refused_as_feast_does(pair: Pair) -> None:
    body = json.dumps({"entities": USER, "features": ["profile:spend"]}).encode()
    stock, ours = pair.both("/get-online-features", body, headers={"content-type": "text/plain"})
    assert (ours.status_code, ours.json()) == (stock.status_code, stock.json())


def test_the_short_way_is_taken(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    from feast import feature_server

    def never(*_: Any) -> None:
        raise AssertionError("Feast's own encoder was asked")

    monkeypatch.setattr(feature_server, "convert_response_to_dict", never)
    answer = pair.run(pair.ours.post("/get-online-features", json={"entities": USER, "feature_service": "ranking"}))
    assert answer.status_code == 200
    assert answer.json()["results"][0]["values"] == USER["user_id"]


@pytest.fixture
def guarded(repository: Path) -> Iterator[Pair]:
    """Both servers on a store whose feature_store.yaml asks who is there."""
    from feast import FeatureStore
    from feast.permissions.auth_model import OidcAuthConfig
    from feast.permissions.security_manager import no_security_manager

    store = FeatureStore(repo_path=str(repository))
    store.config.auth = {"type": "oidc", "client_id": "shop", "auth_discovery_url": "http://127.0.0.1:1/nothing"}
    assert isinstance(store.config.auth_config, OidcAuthConfig)
    with asyncio.Runner() as loop:
        made = Pair(store, loop)
        yield made
        made.close()
    no_security_manager()


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}])
def test_nobody_is_answered_without_the_authentication_that_the_settings_ask_for(
    guarded: Pair, headers: dict[str, str]
) -> None:
    asked = {"entities": USER, "features": ["profile:spend"]}
    stock, ours = guarded.both("/get-online-features", asked, headers=headers)
    assert (ours.status_code, ours.json()) == (stock.status_code, stock.json())
    assert ours.status_code == 401


def test_every_route_of_feast_is_there(pair: Pair) -> None:
    paths = pair.get("/openapi.json").json()["paths"]
    stock = pair.run(pair.stock.get("/openapi.json")).json()["paths"]
    assert {path: paths[path] for path in stock} == stock
    assert paths.keys() - stock.keys() == {"/metrics", "/ready"}


def test_what_is_pushed_is_read(pair: Pair) -> None:
    row = {"user_id": [50], "visits": [1], "vector": [[0.5]], "words": [["a"]], "counts": [[1]], "weights": [[2.0]]}
    pushed = {"push_source_name": "pushed", "df": row | {"event_timestamp": ["2026-02-01T00:00:00"]}}
    assert pair.run(pair.ours.post("/push", json=pushed)).status_code == 200
    stock, ours = pair.both("/get-online-features", {"entities": {"user_id": [50]}, "features": ["taste:visits"]})
    assert ours.json() == stock.json()
    assert ours.json()["results"][1] == {
        "values": [1],
        "statuses": ["PRESENT"],
        "event_timestamps": ["2026-02-01T00:00:00Z"],
    }


def test_a_terminated_backend_costs_no_answer(pair: Pair, shop: Database) -> None:
    asked = {"entities": USER, "features": ["profile:spend"]}
    before = pair.run(pair.ours.post("/get-online-features", json=asked))
    with shop.connect(autocommit=True) as connection:
        ended = connection.execute(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        ).fetchone()
    assert ended is not None
    assert ended[0] > 0
    after = pair.run(pair.ours.post("/get-online-features", json=asked))
    assert (after.status_code, after.json()) == (200, before.json())


def figures(pair: Pair) -> dict[str, float]:
    """Return the figures of reading that do not depend on time, each as the sum over its labels but the status."""
    from prometheus_client.parser import text_string_to_metric_families as families

    found: dict[str, float] = {}
    for family in families(pair.get("/metrics").text):
        for sample in family.samples:
            if sample.name in READING:
                name = " ".join(filter(None, [sample.name, sample.labels.get("status")]))
                found[name] = found.get(name, 0) + sample.value
    return found


READING = {
    "feast_feature_server_request_total",
    "feast_feature_server_request_latency_seconds_count",
    "feast_feature_server_online_store_read_duration_seconds_count",
    "feast_online_features_request_total",
    "feast_online_features_entity_count_sum",
    "feast_online_features_status_total",
}


def test_metrics_count_requests_and_what_they_found(pair: Pair) -> None:
    before = figures(pair)
    pair.run(pair.ours.post("/get-online-features", json={"entities": USER, "features": ["profile:spend"]}))
    grown = {name: value - before.get(name, 0) for name, value in figures(pair).items()}
    assert {name: number for name, number in grown.items() if number} == {
        "feast_feature_server_request_total success": 1,
        "feast_feature_server_request_latency_seconds_count": 1,
        "feast_feature_server_online_store_read_duration_seconds_count": 1,
        "feast_online_features_request_total": 1,
        "feast_online_features_entity_count_sum": 3,
        "feast_online_features_status_total present": 2,
        "feast_online_features_status_total not_found": 1,
    }


def test_health_and_readiness(pair: Pair) -> None:
    assert pair.get("/health").status_code == 200
    assert pair.get("/ready").status_code == 200


def test_a_body_above_the_limit_is_refused(pair: Pair) -> None:
    from tidegate.stores.server_limits import LIMIT_BYTES

    async def pieces() -> Any:
        for _ in range(LIMIT_BYTES // 2**20 + 1):
            yield b" " * 2**20

    headers = {"content-type": "application/json"}
    for body in (b" " * (LIMIT_BYTES + 1), pieces()):
        answer = pair.run(pair.ours.post("/push", content=body, headers=headers))
        assert (answer.status_code, "MiB" in answer.json()["detail"]) == (413, True)
