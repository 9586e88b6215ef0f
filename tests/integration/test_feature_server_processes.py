"""The feature server as real processes, and as a part of the HTTP app."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import trustme
from prometheus_client.parser import text_string_to_metric_families as families
from starlette.testclient import TestClient

import tidegate
from tests.support.databases import clone, drop
from tests.support.feature_servers import Served, ours, serving
from tests.support.processes import TIDEGATE
from tests.support.served_features import fill, open_repository, write_repository
from tests.support.waiting import wait_until
from tidegate.api import create_app
from tidegate.cli.feature_server import repository as served_repository
from tidegate.postgres import Database, EmbeddedServer
from tidegate.postgres.profiles import TEST
from tidegate.settings import get_settings

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
    return filled(shop, tmp_path_factory.mktemp("repository"))


def filled(shop: Database, folder: Path, *online: str) -> Path:
    """Return a repository whose rows are written, with no connection left."""
    write_repository(folder, shop, *online)
    store = open_repository(folder)
    fill(store)
    if not online:
        store._get_provider().online_store.disconnect()
    return folder


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs the server's certificate."""
    return trustme.CA()


@pytest.fixture
def secure(repository: Path, authority: trustme.CA, tmp_path: Path) -> Iterator[Served]:
    """A server with TLS, several workers and a small limit of bodies."""
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    tls = ["--key", str(tmp_path / "key.pem"), "--cert", str(tmp_path / "cert.pem")]
    command = ours(repository, "--workers", str(WORKERS), "--max-body", "1", *tls)
    with trusted(authority) as context, serving(command, repository, verify=context) as served:
        yield served


@contextmanager
def trusted(authority: trustme.CA) -> Iterator[Any]:
    """Yield how a client knows the server."""
    import ssl

    context = ssl.create_default_context()
    authority.configure_trust(context)
    yield context


def ask(client: httpx.Client) -> httpx.Response:
    """Ask on a connection of its own, so that any worker may take it."""
    return client.post("/get-online-features", json=ASKED, headers={"connection": "close"})


def values(answer: httpx.Response) -> dict[str, Any]:
    """Return an answer's results by name: another worker has another order."""
    assert answer.status_code == 200, answer.text
    found = answer.json()
    return dict(zip(found["metadata"]["feature_names"], found["results"], strict=True))


def answered(client: httpx.Client) -> float:
    """Return how many requests the figures count, those of all workers."""
    return sum(
        sample.value
        for family in families(client.get("/metrics", headers={"connection": "close"}).text)
        for sample in family.samples
        if sample.name == "feast_feature_server_request_total" and sample.labels["status"] == "success"
    )


def test_several_workers_answer_and_survive_their_backends_and_a_death(secure: Served, shop: Database) -> None:
    process, client = secure
    wait_until(lambda: len(psutil.Process(process.pid).children()) == WORKERS, seconds=60)
    first = values(ask(client))
    assert first["user_id"]["values"] == [1, 99, 2]
    assert all(values(ask(client)) == first for _ in range(20))
    wait_until(lambda: backends(shop) >= WORKERS, seconds=60)  # each worker has a connection of its own
    terminate_backends(shop)
    assert all(values(ask(client)) == first for _ in range(20))
    wait_until(lambda: answered(client) == 41)  # a worker's figures are written once a second
    os.kill(psutil.Process(process.pid).children()[0].pid, signal.SIGKILL)
    wait_until(lambda: len(psutil.Process(process.pid).children()) == WORKERS, seconds=60)
    assert values(ask(client)) == first
    assert client.get("/ready").status_code == 200
    refused = client.post("/push", content=b" " * (2**20 + 1), headers={"content-type": "application/json"})
    assert (refused.status_code, "larger than 1 MiB" in refused.json()["detail"]) == (413, True)
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://{client.base_url.netloc.decode()}/health")
    drains(process, client, shop)
    wait_until(lambda: backends(shop) == 0, seconds=30)


def drains(process: subprocess.Popen[bytes], client: httpx.Client, shop: Database) -> None:
    """Ask for what is locked, tell the server to stop, and let go: the answer comes, and then it ends."""
    with ThreadPoolExecutor(1) as pool, shop.connect() as holder:
        holder.execute("lock table shop.shop_user in access exclusive mode")
        asking = pool.submit(ask, client)
        wait_until(lambda: waiting(shop) == 1, seconds=60, what="a read that waits for the lock")
        process.terminate()
        wait_until(lambda: not listens(client), seconds=60, what="a server that takes nothing more on")
        holder.rollback()
        assert values(asking.result(timeout=60))["user_id"]["values"] == [1, 99, 2]
    assert process.wait(timeout=60) == 0


def listens(client: httpx.Client) -> bool:
    """Tell whether a server takes new connections."""
    try:
        client.get("/health", headers={"connection": "close"})
    except httpx.TransportError:
        return False
    return True


def waiting(shop: Database) -> int:
    """Return how many backends wait for a lock."""
    return count(shop, "wait_event_type = 'Lock'")


def backends(shop: Database) -> int:
    """Return how many connections there are to a database, without the one that asks."""
    return count(shop, "true")


def count(shop: Database, condition: str) -> int:
    """Return how many other backends of a database are as the condition says."""
    statement = f"select count(*) from pg_stat_activity where datname = current_database() and {condition}"
    with shop.connect(autocommit=True) as connection:
        row = connection.execute(f"{statement} and pid <> pg_backend_pid()".encode()).fetchone()
    assert row is not None
    return int(row[0])


def terminate_backends(shop: Database) -> None:
    with shop.connect(autocommit=True) as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )


@pytest.mark.long
def test_a_server_that_restarts_under_load_costs_refusals_and_no_wrong_answer(tmp_path: Path) -> None:
    postgres = EmbeddedServer(tmp_path / "postgres", TEST)
    shop = Database(postgres.join(), postgres)
    folder = filled(shop, tmp_path / "repository")
    stopped = threading.Event()
    with serving(ours(folder), folder) as (_, client), ThreadPoolExecutor(4) as pool:
        right = values(ask(client))

        def load() -> list[int]:
            statuses = []
            while not stopped.is_set():
                answer = ask(client)
                statuses.append(answer.status_code)
                assert answer.status_code == 503 or values(answer) == right
            return statuses

        asking = [pool.submit(load) for _ in range(4)]
        assert postgres.stop(force=True)
        wait_until(lambda: client.get("/ready").status_code == 503, seconds=60)
        postgres.join()
        wait_until(lambda: client.get("/ready").status_code == 200, seconds=60)
        assert values(ask(client)) == right
        stopped.set()
        assert {status for one in asking for status in one.result(timeout=60)} <= {200, 503}
    postgres.stop(force=True)


@pytest.mark.long
def test_a_stock_store_is_served_feasts_own_way(shop: Database, tmp_path: Path) -> None:
    folder = filled(shop, tmp_path / "stock", "postgres")
    with serving(ours(folder), folder) as (_, client):
        assert values(ask(client))["user_id"]["values"] == [1, 99, 2]
        assert client.get("/ready").status_code == 200


@pytest.mark.long
def test_a_database_that_is_away_is_a_503_that_says_when_to_come_back(server: Database, tmp_path: Path) -> None:
    shop = clone(server, "feature_server_away", "template0")
    folder = write_repository(tmp_path / "repository", shop)
    open_repository(folder)._get_provider().online_store.disconnect()
    with serving(ours(folder), folder) as (_, client):
        assert ask(client).status_code == 200
        with server.connect(autocommit=True) as connection:
            connection.execute("drop database feature_server_away with (force)")
        answer = ask(client)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert client.get("/ready").status_code == 503
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-c", "."], "feature_store.yaml"),
        (["--type", "grpc"], "grpc"),
        (["--workers", "0"], "--workers"),
        (["--key", "key.pem"], "--cert"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(tmp_path: Path, options: list[str], said: str) -> None:
    done = subprocess.run([*TIDEGATE, "feature-server", *options], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert said in done.stderr


@pytest.mark.parametrize(("stores", "settings"), [("tidegate", "feature_store.yaml"), ("stock", "stock_store.yaml")])
def test_the_setting_chooses_the_stores_of_our_definitions_and_nobody_elses(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stores: str, settings: str
) -> None:
    monkeypatch.setenv("TIDEGATE_DATABASE_URL", database.conninfo)
    monkeypatch.setenv("TIDEGATE_FEAST_STORES", stores)
    get_settings.cache_clear()
    other = write_repository(tmp_path, database)
    with served_repository(None, None) as (folder, file):
        assert (folder.name, file.name) == ("feature_repo", settings)
    with served_repository(folder, None) as (_, file):
        assert file.name == settings
    with served_repository(other, None) as served:
        assert served == (other, other / "feature_store.yaml")
    get_settings.cache_clear()


def test_the_http_app_has_feasts_routes_under_a_prefix(database: Database) -> None:
    from tidegate import features

    features.apply_definitions(database)
    asked = {"entities": {"user_id": ["nobody"]}, "features": ["user_activity:n_events"]}
    with (
        tidegate.Client(database.conninfo, source="http", connections=4) as client,
        TestClient(create_app(client), raise_server_exceptions=False) as api,
    ):
        answer: dict[str, Any] = api.post("/feast/get-online-features", json=asked).json()
        assert answer["metadata"] == {"feature_names": ["user_id", "n_events"]}
        assert [result["statuses"] for result in answer["results"]] == [["PRESENT"], ["NOT_FOUND"]]
        assert api.get("/feast/health").status_code == 200
        assert api.get("/health").json() == {"status": "ok"}
        assert "feast_feature_server_request_total" in api.get("/feast/metrics").text
        assert 'route="/feast",status="200"' in api.get("/metrics").text
        large = {"push_source_name": "nothing", "df": {"text": ["x" * 9 * 2**20]}}  # more than an event may be
        assert "push source 'nothing'" in api.post("/feast/push", json=large).text
