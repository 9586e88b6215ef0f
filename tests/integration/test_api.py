"""The HTTP app, on a real database, and once as a real process."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import httpx
import psycopg
import pytest
from starlette.testclient import TestClient

import tidegate
from tests.support.learning import add_items, deploy_version, one
from tests.support.processes import TIDEGATE
from tests.support.waiting import wait_until
from tidegate.api import create_app
from tidegate.api.bodies import LIMIT_BYTES, LIMIT_ROWS
from tidegate.postgres import Database

TEA = {"user_id": "a", "item_id": "tea", "event_type": "purchase", "value": 4.5}


@contextmanager
def http(conninfo: str, **options: Any) -> Iterator[TestClient]:
    with (
        tidegate.Client(conninfo, source="http", connections=4) as client,
        TestClient(create_app(client), **options) as made,
    ):
        yield made


@pytest.fixture
def api(database: Database) -> Iterator[TestClient]:
    with http(database.conninfo) as made:
        yield made


def test_one_event_is_accepted_and_committed(api: TestClient, connection: psycopg.Connection[Any]) -> None:
    answer = api.post("/events", json=TEA)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "quarantined": [], "repeated": 0})
    assert one(connection, "select sum(n) from ingest.batches") == 1


def test_a_request_with_an_idempotency_key_counts_once(api: TestClient, connection: psycopg.Connection[Any]) -> None:
    for accepted, repeated in ((2, 0), (0, 2)):
        found = api.post("/events", json=[TEA, TEA], headers={"Idempotency-Key": "k"}).json()
        assert (found["accepted"], found["repeated"]) == (accepted, repeated)
    assert one(connection, "select sum(n) from ingest.batches") == 2
    assert api.post("/events", json=TEA, headers={"Idempotency-Key": "k" * 257}).status_code == 400


def test_an_event_with_a_client_key_counts_once(api: TestClient) -> None:
    keyed = [TEA | {"client_key": "1"}, TEA | {"client_key": "1"}, TEA | {"client_key": "2", "event_type": "buy"}]
    found = api.post("/events", json=keyed).json()
    assert (found["accepted"], found["repeated"], len(found["quarantined"])) == (1, 1, 1)


def test_a_list_is_accepted_but_for_what_breaks_a_rule(api: TestClient) -> None:
    answer = api.post("/events", json=[TEA, TEA | {"event_type": "buy"}, TEA | {"value": []}, TEA])
    found = answer.json()
    assert (answer.status_code, found["accepted"]) == (202, 2)
    assert [(event["place"], event["reason"].split()[0]) for event in found["quarantined"]] == [
        (1, "event_type"),
        (2, "value"),
    ]
    assert found["quarantined"][0]["event"] == TEA | {"event_type": "buy"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"7", "no object"),
        (b'[{"user_id": "a"}, "tea"]', "Number 1"),
        (json.dumps(TEA | {"usr": "a"}).encode(), "usr"),
        (json.dumps([TEA] * (LIMIT_ROWS + 1)).encode(), "too many"),
        (b'{"user_id": "\xff"}', "not JSON"),
        (b'{"value": 1e999}', "not JSON"),
    ],
)
def test_a_body_of_another_shape_is_a_problem_and_writes_nothing(
    api: TestClient, connection: psycopg.Connection[Any], body: bytes, said: str
) -> None:
    answer = api.post("/events", content=body)
    problem = answer.json()
    assert answer.status_code == problem["status"] == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in problem["detail"]
    assert problem["next_step"]
    assert one(connection, "select count(*) from ingest.behaviour_events") == 0


@pytest.mark.parametrize("body", ['{"user_id": "\\u0000"}', '{"user_id": true}', '{"context": {"a": "\\u0000"}}', "{}"])
def test_what_json_can_say_and_a_column_cannot_take_is_quarantined(api: TestClient, body: str) -> None:
    answer = api.post("/events", content=body)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 0)
    assert answer.json()["quarantined"][0]["reason"]


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_above_the_limit_is_refused(api: TestClient, announced: bool) -> None:
    body = b" " * (LIMIT_BYTES + 1)
    pieces = (body[at : at + 2**20] for at in range(0, len(body), 2**20))
    answer = api.post("/events", content=body if announced else pieces)
    assert answer.status_code == 413
    assert "MiB" in answer.json()["detail"]


def test_items_are_upserted_and_bad_ones_named(api: TestClient, connection: psycopg.Connection[Any]) -> None:
    answer = api.put("/items", json=[{"item_id": "tea", "title": "Tea"}, {"item_id": "milk", "price": "dear"}])
    found = answer.json()
    assert (answer.status_code, found["named"], found["changed"]) == (200, 1, 1)
    assert found["refused"][0]["place"] == 1
    assert api.put("/items", json={"item_id": "tea", "title": "Tea"}).json()["changed"] == 0
    assert api.put("/items", json={"item_id": "tea", "colour": "red"}).status_code == 422
    assert one(connection, "select title from catalogue.items") == "Tea"


def test_a_new_item_is_recommendable_at_once(api: TestClient) -> None:
    api.put("/items", json={"item_id": "tea", "title": "Tea"})
    found = api.get("/recommend/anybody").json()
    assert [item["title"] for item in found["items"]] == ["Tea"]
    assert (found["layer"], found["version_id"], found["last_event_at"]) == ("popularity", None, None)


def test_an_answer_names_version_layer_and_freshness(api: TestClient, connection: psycopg.Connection[Any]) -> None:
    add_items(connection, "tea", "milk")
    version = deploy_version(connection, {"tea": [1.0, 0.0], "milk": [0.0, 1.0]}, {"a": [0.0, 1.0]})
    api.post("/events", json=TEA | {"occurred_at": "2024-01-01T00:00:00Z"})
    found = api.get("/recommend/a", params={"k": 1}).json()
    assert (found["version_id"], found["version_number"], found["layer"]) == (version, 1, "personal")
    assert found["last_event_at"].startswith("2024-01-01T00:00:00")
    assert [item["item_id"] for item in found["items"]] == ["milk"]
    assert one(connection, "select source from serving.impressions") == "http"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/recommend/a?k=0", 400),
        ("/recommend/a?k=1001", 400),
        ("/recommend/a?k=many", 400),
        (f"/recommend/{'a' * 257}", 400),
        ("/recommend/%00", 400),
        ("/recommend/a?stream=nope", 404),
        ("/recommend/a?stream=%00", 400),
        ("/nothing", 404),
        ("/events", 405),
    ],
)
def test_a_question_that_makes_no_sense_is_a_problem_with_a_next_step(api: TestClient, path: str, status: int) -> None:
    answer = api.get(path)
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["title"] == HTTPStatus(status).phrase
    assert problem["detail"]
    assert problem["next_step"]


def test_a_user_may_have_a_slash_and_any_letter(api: TestClient, connection: psycopg.Connection[Any]) -> None:
    add_items(connection, "tea")
    assert api.get("/recommend/a%2Fb%20ü").json()["user_id"] == "a/b ü"


def test_status_fits_what_happened(api: TestClient) -> None:
    api.post("/events", json=[TEA, TEA | {"event_type": "buy"}])
    found = api.get("/status").json()
    assert [(s["stream"], s["waiting"], s["live"]) for s in found["streams"]] == [("default", 1, None)]
    assert list(found["quarantined"].values()) == [1]
    assert found["unfolded_events"] == 1


def test_metrics_count_events_and_requests_by_route(api: TestClient) -> None:
    api.post("/events", json=[TEA, TEA | {"event_type": "buy"}])
    api.get("/recommend/a")
    api.get("/nothing")
    text = api.get("/metrics").text
    assert 'tidegate_events_total{outcome="accepted"} 1.0' in text
    assert 'tidegate_events_total{outcome="quarantined"} 1.0' in text
    assert 'tidegate_http_requests_total{method="GET",route="/recommend/{user_id}",status="200"} 1.0' in text
    assert 'tidegate_http_requests_total{method="GET",route="unknown",status="404"} 1.0' in text


def test_every_route_is_described(api: TestClient) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    routes = [route for methods in paths.values() for route in methods.values()]
    assert len(routes) == 7
    assert all(route["description"] for route in routes)


def test_an_empty_database_is_alive_and_not_ready(empty_database: Database) -> None:
    with http(empty_database.conninfo) as api:
        assert api.get("/health").status_code == 200
        for answer in (
            api.get("/ready"),
            api.get("/status"),
            api.get("/recommend/a"),
            api.post("/events", json=TEA),
        ):
            assert answer.status_code == 503
            assert "tidegate migrate" in answer.json()["next_step"]


def test_a_database_that_is_away_is_a_503_that_says_when_to_come_back() -> None:
    with http("host=127.0.0.1 port=1 user=nobody dbname=none") as api:
        assert api.get("/health").status_code == 200
        answer = api.post("/events", json=TEA)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "2"
        assert "tidegate doctor" in answer.json()["next_step"]


def test_the_app_survives_that_its_connections_are_ended(api: TestClient, connection: psycopg.Connection[Any]) -> None:
    assert api.get("/ready").status_code == 200
    connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    assert api.post("/events", json=TEA).status_code == 202


def test_importing_the_app_loads_neither_torch_nor_celery_nor_feast() -> None:
    code = (
        "import sys, tidegate.api, tidegate.client;"
        "print([n for n in ('torch', 'celery', 'feast', 'transformers', 'pandas') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_tidegate_serve_answers_and_ends_cleanly(environment: dict[str, str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*TIDEGATE, "serve", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}") as web:
                wait_until(lambda: process.poll() is not None or answers(web), 30, "the app answers")
                assert web.post("/events", json=TEA).json()["accepted"] == 1
                assert web.get("/recommend/a").status_code == 200
                taken = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
                assert (taken.returncode, taken.stdout) == (1, "")
                assert f"Port {port} of 127.0.0.1 is taken" in taken.stderr
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode in (0, 130)
    assert "Traceback" not in said
    assert "listening on" in said


def answers(web: httpx.Client) -> bool:
    try:
        return web.get("/ready").status_code == 200
    except httpx.TransportError:
        return False
