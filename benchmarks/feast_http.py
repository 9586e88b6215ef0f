"""How many requests a second does a feature server answer: Feast's own, ours, and the least that could be written?

All three run as real processes with one worker on one database, and take turns. The floor is a page of Starlette with
one prepared statement for each table and orjson: it knows no Feast, no types, no statuses but its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import psutil
import uvloop

from benchmarks.measuring import report, throwaway_server
from tidegate.postgres import Database

USERS, ITEMS, DIMENSIONS = 2_000, 2_000, 64
USER_FEATURES = [f"u{number}" for number in range(30)]
ITEM_FEATURES = [*(f"i{number}" for number in range(9)), "vector"]
OF_USERS = [f"bench_user:{name}" for name in USER_FEATURES]
OF_ITEMS = [f"bench_item:{name}" for name in ITEM_FEATURES]
SERVICES = {"user": OF_USERS, "ranking": OF_USERS + OF_ITEMS[:9], "items": OF_ITEMS}
CLIENTS = 8
JSON = {"content-type": "application/json"}
SECONDS = 2.0  # of one turn
ROUNDS = 5
BODIES = 40  # of each request, so that no answer is the last one
STORES = {"stock": "postgres", "ours": "tidegate.stores.online.TidegateOnlineStore"}
BARS = {f"{name}_gain": ">= 12" for name in SERVICES}


def requests() -> dict[str, list[bytes]]:
    """Return the bodies of the three requests, and of the first one by references instead of by its service."""
    chosen = np.random.default_rng(7)

    def some(prefix: str, count: int) -> list[str]:
        return [f"{prefix}-{number}" for number in chosen.choice(ITEMS, count, replace=False)]

    def body(asked: dict[str, Any], **entities: list[str]) -> bytes:
        return json.dumps(asked | {"entities": entities}).encode()

    def bodies(**asked: Any) -> list[bytes]:
        service = asked.get("feature_service", "user")
        people = {"user_id": some("user", 1) * (100 if service == "ranking" else 1)} if service != "items" else {}
        return [body(asked, **people, **items(service)) for _ in range(BODIES)]

    def items(service: str) -> dict[str, list[str]]:
        return {} if service == "user" else {"item_id": some("item", 100 if service == "ranking" else 500)}

    by_service = {name: bodies(feature_service=name) for name in SERVICES}
    return by_service | {"by_reference": bodies(features=SERVICES["user"])}


def write_repository(folder: Path, database: Database, store: str, schema: str) -> Path:
    """Write a feature repository without definitions: they are applied from here."""
    folder.mkdir()
    found = database.parameters
    settings = {
        "project": "bench",
        "provider": "local",
        "entity_key_serialization_version": 3,
        "registry": {"path": str(folder / "registry.db"), "cache_ttl_seconds": 600},
        "online_store": {
            "type": store,
            "host": found["host"],
            "port": int(found["port"]),
            "database": found["dbname"],
            "user": found["user"],
            "password": found.get("password", ""),
            "sslmode": "disable",
            "db_schema": schema,
            "conn_type": "pool",
            "max_conn": CLIENTS,
        },
    }
    (folder / "feature_store.yaml").write_text(json.dumps(settings))  # JSON is YAML
    return folder


def define_and_fill(folder: Path) -> None:
    """Apply the definitions and write the rows through Feast."""
    from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
    from feast.types import Array, Float32, Float64

    def view(entity: Entity, features: dict[str, Any]) -> FeatureView:
        source = FileSource(name=f"{entity.name}_source", path="nothing.parquet", timestamp_field="event_timestamp")
        schema = [Field(name=name, dtype=kind) for name, kind in features.items()]
        return FeatureView(name=f"bench_{entity.name}", entities=[entity], schema=schema, source=source)

    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    item = Entity(name="item", join_keys=["item_id"], value_type=ValueType.STRING)
    of_items = {name: Array(Float32) if name == "vector" else Float64 for name in ITEM_FEATURES}
    store = FeatureStore(repo_path=str(folder))
    users, cards = view(user, dict.fromkeys(USER_FEATURES, Float64)), view(item, of_items)
    services = {"user": [users], "ranking": [users, cards[ITEM_FEATURES[:9]]], "items": [cards]}
    made = [FeatureService(name=name, features=features) for name, features in services.items()]
    store.apply([user, item, users, cards, *made])
    store.write_to_online_store("bench_user", rows("user", USERS, USER_FEATURES))
    store.write_to_online_store("bench_item", rows("item", ITEMS, ITEM_FEATURES))


def rows(entity: str, count: int, features: list[str]) -> Any:
    """Return rows with numbers of all sizes, and times of as many kinds as rows have."""
    import pandas as pd

    made = np.random.default_rng(11)
    times = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(made.integers(0, 10**12, count), unit="us")
    frame = pd.DataFrame({f"{entity}_id": [f"{entity}-{n}" for n in range(count)], "event_timestamp": times})
    columns = {
        name: list(made.normal(size=(count, DIMENSIONS)).astype("float32"))
        if name == "vector"
        else made.normal(size=count)
        for name in features
    }
    return pd.concat([frame, pd.DataFrame(columns)], axis=1)


@contextmanager
def served(command: list[str], folder: Path, port: int) -> Iterator[psutil.Process]:
    """Yield a server that answers; it ends with the block."""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            wait_until_listening(process, port)
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until a server takes connections; say what it said if it ends instead."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(process.stderr.read().decode() if process.stderr else "the server ended")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("the server does not listen")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU seconds that a server and its workers have used."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(time.user + time.system for time in times)


class Client(asyncio.Protocol):
    """A connection that asks again as soon as it is answered. Any other client would be the bottleneck."""

    def __init__(self, bodies: list[bytes], finished: asyncio.Event) -> None:
        self._requests = cycle(map(request, bodies))
        self._finished = finished
        self._missing = 0  # bytes of the answer that is coming
        self.ended = asyncio.Event()
        self.answers = 0
        self.failure = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        if not self._missing:
            head, _, data = data.partition(b"\r\n\r\n")
            self._missing = content_length(head)
            if b" 200 " not in head[:16]:
                self.failure = head
        self._missing -= len(data)
        if not self._missing:
            self.answers += 1
            if self._finished.is_set():
                self._transport.close()
                self.ended.set()
            else:
                self._transport.write(next(self._requests))


def request(body: bytes) -> bytes:
    """Return a request as it goes over the line."""
    head = "POST /get-online-features HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def content_length(head: bytes) -> int:
    """Return how long an answer's body is."""
    lines = head.lower().split(b"\r\n")
    return next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length"))


class Turn(NamedTuple):
    """What a server did in a turn."""

    per_second: float
    answers: int  # with those that came when time was up


async def ask(port: int, bodies: list[bytes], seconds: float) -> Turn:
    """Return how many requests were answered by CLIENTS connections in some seconds, each at least once.

    What is still being answered then is waited for: otherwise a slow server would go on in the next one's turn.
    """
    loop, finished = asyncio.get_running_loop(), asyncio.Event()
    clients = [Client(bodies[n:] + bodies[:n], finished) for n in range(CLIENTS)]
    for one in clients:
        await loop.create_connection(lambda one=one: one, "127.0.0.1", port)  # type: ignore[misc]
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    while not all(one.answers for one in clients):
        await asyncio.sleep(0.1)
    per_second = sum(one.answers for one in clients) / (time.perf_counter() - began)
    finished.set()
    for one in clients:
        await one.ended.wait()
    if failed := [one.failure for one in clients if one.failure]:
        raise RuntimeError(f"a server answered {failed[0]!r}")
    return Turn(per_second, sum(one.answers for one in clients))


def answer(port: int, body: bytes) -> dict[str, Any]:
    """Return one answer by the names of its features."""
    found = httpx.post(f"http://127.0.0.1:{port}/get-online-features", content=body, headers=JSON, timeout=60).json()
    return dict(zip(found["metadata"]["feature_names"], found["results"], strict=True))


def check_equal(ports: dict[str, int], bodies: list[bytes]) -> None:
    """Raise where ours and stock do not answer the same."""
    for body in bodies[:5]:
        stock, ours = (answer(ports[name], body) for name in STORES)
        if stock != ours:
            raise RuntimeError(f"the answers differ for {body[:200]!r}")


def measure(ports: dict[str, int], processes: dict[str, psutil.Process], bodies: list[bytes]) -> dict[str, Any]:
    """Return requests a second and CPU milliseconds a request of each server, one value a round."""
    rates: dict[str, list[float]] = {name: [] for name in ports}
    costs: dict[str, list[float]] = {name: [] for name in ports}
    for number in range(ROUNDS):
        for name in list(ports)[:: 1 if number % 2 else -1]:
            before = cpu_seconds(processes[name])
            turn = uvloop.run(ask(ports[name], bodies, SECONDS))
            rates[name].append(turn.per_second)
            costs[name].append((cpu_seconds(processes[name]) - before) / turn.answers * 1000)
    return {"rates": rates, "costs": costs}


def figures_of(name: str, measured: dict[str, Any]) -> dict[str, float]:
    """Return the figures of one request."""
    rates, costs = measured["rates"], measured["costs"]
    figures = {f"{name}_{server}_per_second": round(float(np.median(rates[server])), 1) for server in rates}
    return figures | {
        f"{name}_gain": round(float(np.median(np.divide(rates["ours"], rates["stock"]))), 1),
        f"{name}_of_floor": round(float(np.median(np.divide(rates["ours"], rates["floor"]))), 2),
        f"{name}_cpu_gain": round(float(np.median(np.divide(costs["stock"], costs["ours"]))), 1),
        f"{name}_cpu_of_floor": round(float(np.median(np.divide(costs["ours"], costs["floor"]))), 2),
        f"{name}_ours_cpu_ms": round(float(np.median(costs["ours"])), 3),
    }


def commands(folders: dict[str, Path], ports: dict[str, int]) -> dict[str, list[str]]:
    """Return how each server is started."""
    feast = [sys.executable, "-c", "from feast.cli.cli import cli; cli()", "-c", str(folders["stock"]), "serve"]
    tidegate = [sys.executable, "-c", "from tidegate.cli import main; main()", "feature-server"]
    floor = [sys.executable, "-m", "uvicorn", "benchmarks.feast_http_floor:app", "--no-access-log"]
    return {
        "stock": [*feast, "--no-access-log", "--max-requests", "0", "--port", str(ports["stock"])],
        "ours": [*tidegate, "-c", str(folders["ours"]), "--port", str(ports["ours"])],
        "floor": [*floor, "--log-level", "warning", "--port", str(ports["floor"])],
    }


def main() -> None:
    """Print requests a second of the three servers, and how many times as many ours answers."""
    with throwaway_server() as (database, _), tempfile.TemporaryDirectory() as scratch, ExitStack() as servers:
        folders = {
            name: write_repository(Path(scratch) / name, database, store, f"bench_{name}")
            for name, store in STORES.items()
        }
        for folder in folders.values():
            define_and_fill(folder)
        os.environ["FLOOR_CONNINFO"] = database.conninfo
        ports = {name: free_port() for name in ("stock", "ours", "floor")}
        processes = {
            name: servers.enter_context(served(command, Path.cwd(), ports[name]))
            for name, command in commands(folders, ports).items()
        }
        figures: dict[str, float] = {}
        for name, bodies in requests().items():
            check_equal(ports, bodies)
            figures |= figures_of(name, measure(ports, processes, bodies))
    report("feast_http", figures, BARS)


if __name__ == "__main__":
    main()
