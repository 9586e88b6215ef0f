"""The feature server as real processes, and as a part of the HTTP app."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families as families
from starlette.testclient import TestClient

import tidegate
from tests.support.databases import clone, drop
from tests.support.processes import TIDEGATE
from tests.support.served_features import fill, open_repository, write_repository
from tests.support.waiting import wait_until
from tidegate.api import create_app
from tidegate.postgres import Database

pytest.importorskip("feast")
ASKED = {"entities": {"user_id": [1, 99, 2]}, "feature_service": "ranking"}
WORKERS = 2


@pytest.fixture(scope="module")
def shop(server: Database) -> Iterator[Database]:
    """A database for the whole module."""
    made = clone(server, "feature_server_processes", "template0")
    yield made
    drop(server, made)


@pytest.fixture(scope="module")
def repository(shop: Database, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with its definitions applied and its rows written."""
    folder = write_repository(tmp_path_factory.mktemp("repository"), shop)
    store = open_repository(folder)
    fill(store)
    store._get_provider().online_store.disconnect()
    return folder


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """Yield a feature server that listens, and a client of it; it ends with the block."""
    command = [*TIDEGATE, "feature-server", "-c", str(folder), "--port", "0", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            with httpx.Client(base_url=address(process), timeout=60) as client:
                yield process, client
        finally:
            process.terminate()
            assert process.stderr is not None
            process.stderr.read()


def address(process: subprocess.Popen[str]) -> str:
    """Return where a server listens, as it says itself."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"Listening at: (http://\S+)", line):
            return found[1]
    raise AssertionError("".join(said))


def ask(client: httpx.Client) -> httpx.Response:
    """Ask on a connection of its own, so that any worker may take it."""
    return client.post("/get-online-features", json=ASKED, headers={"connection": "close"})


def answered(client: httpx.Client) -> float:
    """Return how many requests the figures count, those of all workers."""
    return sum(
        sample.value
        for family in families(client.get("/metrics", headers={"connection": "close"}).text)
        for sample in family.samples
        if sample.name == "feast_feature_server_request_total" and sample.labels["status"] == "success"
    )


def test_several_workers_answer_and_survive_their_backends_and_a_death(repository: Path, shop: Database) -> None:
    with serving(repository, "--workers", str(WORKERS)) as (process, client):
        wait_until(lambda: len(psutil.Process(process.pid).children()) == WORKERS, seconds=60)
        first = ask(client)
        assert (first.status_code, first.json()["results"][0]["values"]) == (200, [1, 99, 2])
        assert {ask(client).text for _ in range(20)} == {first.text}
        wait_until(lambda: backends(shop) >= WORKERS, seconds=60)  # each worker has a connection of its own
        terminate_backends(shop)
        assert {ask(client).text for _ in range(20)} == {first.text}
        assert answered(client) == 41
        os.kill(psutil.Process(process.pid).children()[0].pid, signal.SIGKILL)
        wait_until(lambda: len(psutil.Process(process.pid).children()) == WORKERS, seconds=60)
        assert ask(client).text == first.text
        assert client.get("/ready").status_code == 200
        process.terminate()
        assert process.wait(timeout=60) == 0
    wait_until(lambda: backends(shop) == 0, seconds=30)


def backends(shop: Database) -> int:
    """Return how many connections there are to a database, without the one that asks."""
    with shop.connect(autocommit=True) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    return int(row[0])


def terminate_backends(shop: Database) -> None:
    with shop.connect(autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )


@pytest.mark.long
def test_a_stock_store_is_served_feasts_own_way(shop: Database, tmp_path: Path) -> None:
    folder = write_repository(tmp_path / "stock", shop, "postgres")
    store = open_repository(folder)
    fill(store)
    with serving(folder) as (_, client):
        answer = ask(client)
        assert (answer.status_code, answer.json()["results"][0]["values"]) == (200, [1, 99, 2])
        assert client.get("/ready").status_code == 200


@pytest.mark.long
def test_a_database_that_is_away_is_a_503_that_says_when_to_come_back(server: Database, tmp_path: Path) -> None:
    shop = clone(server, "feature_server_away", "template0")
    folder = write_repository(tmp_path / "repository", shop)
    open_repository(folder)._get_provider().online_store.disconnect()
    with serving(folder) as (_, client):
        assert ask(client).status_code == 200
        with server.connect(autocommit=True) as connection:
            connection.execute("drop database feature_server_away with (force)")
        answer = ask(client)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert client.get("/ready").status_code == 503
        assert client.get("/health").status_code == 200


def test_a_folder_without_settings_is_refused_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run([*TIDEGATE, "feature-server", "-c", str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "feature_store.yaml" in done.stderr


def test_the_http_app_has_feasts_routes_under_a_prefix(database: Database) -> None:
    from tidegate import features

    features.apply_definitions(database)
    asked = {"entities": {"user_id": ["nobody"]}, "features": ["user_activity:n_events"]}
    with (
        tidegate.Client(database.conninfo, source="http", connections=4) as client,
        TestClient(create_app(client)) as api,
    ):
        answer: dict[str, Any] = api.post("/feast/get-online-features", json=asked).json()
        assert answer["metadata"] == {"feature_names": ["user_id", "n_events"]}
        assert [result["statuses"] for result in answer["results"]] == [["PRESENT"], ["NOT_FOUND"]]
        assert api.get("/feast/health").status_code == 200
        assert api.get("/health").json() == {"status": "ok"}
        assert "feast_feature_server_request_total" in api.get("/feast/metrics").text
        assert 'route="/feast",status="200"' in api.get("/metrics").text
