"""What does an answer of Feast's online store cost, beside Feast's own and beside a statement written by hand?

The same definitions, rows and requests in turns, on one server: Feast's own PostgreSQL store, ours, and the floor,
which is one prepared psycopg statement a table, in binary, made into the same dictionary. Answers are compared before
anything is timed. CPU is the client's, at its tenth percentile: what the code costs. What is above comes from whoever
else was on the machine; the medians are given beside.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, cycle, permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psycopg
from feast import FeatureStore

from benchmarks.measuring import report, throwaway_server
from tests.support.online import ITEM, OURS, STOCK, USER, Both, close, prepared, store, view
from tidegate.postgres import Database

BARS = {
    "user_x30_cpu_over_floor": "<= 2.5",
    "user_x30_cpu_gain": ">= 4",
    "user_and_100_items_cpu_over_floor": "<= 1.6",
    "user_and_100_items_cpu_gain": ">= 9",
    "items_500x10_cpu_over_floor": "<= 1.6",
    "items_500x10_cpu_gain": ">= 9",
    "write_500k_values_gain": ">= 15",
}
USER_FEATURES = [f"u{number}" for number in range(30)]
ITEM_FEATURES = [f"i{number}" for number in range(9)]
WIDE_FEATURES = [f"w{number}" for number in range(250)]
USERS, ITEMS, DIMENSIONS = 1_000, 5_000, 64
WRITTEN = 50_000  # rows of ten values
WRITES = 3
PROTOS = 30  # rounds
Way = Callable[[], Any]
Times = dict[str, list[tuple[float, float]]]  # by way: CPU and wall seconds of each round


def definitions() -> list[Any]:
    """Return a user's 30 features, an item's 9 and its vector, and 250 of a user."""
    from feast.types import Array, Float32, Float64

    user, item = USER, ITEM
    return [
        user,
        item,
        view("profile", [user], dict.fromkeys(USER_FEATURES, Float64)),
        view("things", [item], {**dict.fromkeys(ITEM_FEATURES, Float64), "vector": Array(Float32)}),
        view("wide", [user], dict.fromkeys(WIDE_FEATURES, Float64)),
        view("written", [user], dict.fromkeys([*ITEM_FEATURES, "i9"], Float64)),
    ]


def fill(both: Both) -> None:
    """Write the same random rows to both."""
    chance, now = np.random.default_rng(4), datetime.now(UTC)
    for name, features, n in (("profile", USER_FEATURES, USERS), ("wide", WIDE_FEATURES, 10)):
        values = chance.random((n, len(features))).tolist()
        rows = [{"user_id": number, **dict(zip(features, row, strict=True))} for number, row in enumerate(values)]
        both.write(name, rows, now)
    values = chance.random((ITEMS, len(ITEM_FEATURES))).tolist()
    vectors = chance.random((ITEMS, DIMENSIONS)).astype("float32").tolist()
    both.write(
        "things",
        [
            {"item_id": f"item-{number}", **dict(zip(ITEM_FEATURES, row, strict=True)), "vector": vector}
            for number, (row, vector) in enumerate(zip(values, vectors, strict=True))
        ],
        now,
    )


class Floor:
    """What one would write by hand: a prepared statement for each table, the rows turned into a dictionary."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def look_up(self, view: str, key: str, features: Sequence[str], asked: Sequence[Any]) -> dict[str, Any]:
        """Return the features of some keys, one list a feature."""
        if len(asked) == 1:
            row = self._rows(view, key, features, "= %s", asked[0])[0]
            return {name: [value] for name, value in zip((key, *features), row, strict=True)}
        by_key = {row[0]: row for row in self._rows(view, key, features, "= any(%s)", list(asked))}
        columns = zip(*[by_key[one] for one in asked], strict=True)
        return dict(zip((key, *features), map(list, columns), strict=True))

    def _rows(self, view: str, key: str, features: Sequence[str], condition: str, asked: Any) -> list[Any]:
        names = ", ".join(f"{view}__{feature}" for feature in features)
        query = f"select {key}, {names} from ours.shop_{key.removesuffix('_id')} where {key} {condition}"
        cursor = self._connection.cursor(binary=True)
        return cursor.execute(query.encode(), (asked,), prepare=True).fetchall()


def requests(both: Both, floor: Floor) -> dict[str, tuple[dict[str, Way], int]]:
    """Return the requests by name: the three ways to answer, and how often to ask."""
    hundred = [f"item-{number}" for number in range(0, ITEMS, ITEMS // 100)]
    many = [f"item-{number}" for number in range(0, ITEMS, ITEMS // 500)]
    profile, things = ([f"profile:{f}" for f in USER_FEATURES], [f"things:{f}" for f in ITEM_FEATURES])

    def by_hand_both() -> dict[str, Any]:
        user = floor.look_up("profile", "user_id", USER_FEATURES, [7])
        items = floor.look_up("things", "item_id", ITEM_FEATURES, hundred)
        return {name: values * 100 for name, values in user.items()} | items

    return {
        "user_x30": (
            ways(both, profile, [{"user_id": 7}])
            | {"floor": lambda: floor.look_up("profile", "user_id", USER_FEATURES, [7])},
            600,
        ),
        "user_and_100_items": (
            ways(both, profile + things, {"user_id": [7] * 100, "item_id": hundred}) | {"floor": by_hand_both},
            100,
        ),
        "items_500x10": (
            ways(both, [*things, "things:vector"], {"item_id": many})
            | {"floor": lambda: floor.look_up("things", "item_id", [*ITEM_FEATURES, "vector"], many)},
            60,
        ),
        "user_x250": (
            ways(both, [f"wide:{f}" for f in WIDE_FEATURES], [{"user_id": 7}])
            | {"floor": lambda: floor.look_up("wide", "user_id", WIDE_FEATURES, [7])},
            300,
        ),
    }


def ways(both: Both, features: list[str], rows: Any) -> dict[str, Way]:
    """Return Feast's own way and ours to answer a request, as a dictionary and as a proto."""
    return {
        "stock": lambda: both.stock.get_online_features(features, rows).to_dict(),
        "ours": lambda: both.ours.get_online_features(features, rows).to_dict(),
        "stock_proto": lambda: both.stock.get_online_features(features, rows).proto,
        "ours_proto": lambda: both.ours.get_online_features(features, rows).proto,
    }


def as_protos(answers: Mapping[str, Way], name: str) -> dict[str, float]:
    """Measure the same request ended by `.proto`, which ours makes of its columns when somebody asks."""
    taken = take_turns({way: answers[f"{way}_proto"] for way in ("stock", "ours")}, PROTOS)
    cpu = {way: np.percentile([one[0] for one in rounds], 10) for way, rounds in taken.items()}
    return {
        f"{name}_proto_cpu_gain": round(float(cpu["stock"] / cpu["ours"]), 2),
        f"{name}_proto_cpu_ms": round(float(cpu["ours"] * 1000), 2),
    }


def take_turns(ways: Mapping[str, Way], rounds: int) -> Times:
    """Return CPU and wall seconds of each way in each round. Only the third of three calls in a row counts.

    Else each way would pay for the processor's caches that the one before it has emptied, and stock empties most.
    """
    taken: Times = {name: [] for name in ways}
    orders = cycle(permutations(ways))
    for _ in range(rounds):
        for name in next(orders):
            ways[name]()
            ways[name]()
            taken[name].append(timed(ways[name]))
    return taken


def compared(name: str, taken: Times) -> dict[str, float]:
    """Return the figures of one request."""
    cpu, median = (
        {way: np.percentile([one[0] for one in rounds], quantile) for way, rounds in taken.items()}
        for quantile in (10, 50)
    )
    wall = {way: [one[1] for one in rounds] for way, rounds in taken.items()}
    figures = {
        f"{name}_cpu_over_floor": cpu["ours"] / cpu["floor"],
        f"{name}_cpu_gain": cpu["stock"] / cpu["ours"],
        f"{name}_median_cpu_over_floor": median["ours"] / median["floor"],
        f"{name}_median_cpu_gain": median["stock"] / median["ours"],
    }
    for quantile in (10, 50):
        at = {way: np.percentile(seconds, quantile) for way, seconds in wall.items()}
        figures[f"{name}_p{quantile}_over_floor"] = at["ours"] / at["floor"]
        figures[f"{name}_p{quantile}_gain"] = at["stock"] / at["ours"]
        figures[f"{name}_p{quantile}_ms"] = at["ours"] * 1000
    return {figure: round(float(value), 2) for figure, value in figures.items()}


def writing(both: Both, database: Database) -> dict[str, float]:
    """Measure 500 thousand values, written as an engine writes them: as protos, to tables that are new or have them."""
    features = [*ITEM_FEATURES, "i9"]
    values = np.random.default_rng(5).random((WRITTEN, len(features))).tolist()
    rows = [{"user_id": number, **dict(zip(features, row, strict=True))} for number, row in enumerate(values)]
    days = count()
    taken: Times = {"stock": [], "ours": []}
    for number in range(WRITES):
        at = datetime.now(UTC) + timedelta(days=next(days))
        turns = [("stock", both.stock), ("ours", both.ours)]
        for name, one in turns[:: 1 if number % 2 else -1]:
            batch = prepared(one, "written", rows, at)
            rest(database)
            taken[name].append(timed(lambda one=one, batch=batch: hand_over(one, batch)))
    cpu, wall = ([np.array([one[part] for one in taken[name]]) for name in ("stock", "ours")] for part in (0, 1))
    gains = wall[0] / wall[1]
    return {
        "write_500k_values_gain": round(float(np.median(gains)), 1),
        "write_500k_values_least_gain": round(float(gains.min()), 1),
        "write_500k_values_cpu_gain": round(float(np.median(cpu[0] / cpu[1])), 1),
        "write_500k_values_seconds": round(float(np.median(wall[1])), 2),
        "write_500k_values_cpu_seconds": round(float(np.median(cpu[1])), 2),
        "write_500k_values_stock_seconds": round(float(np.median(wall[0])), 2),
    }


def rest(database: Database) -> None:
    """Let no write pay for what the one before it left: dead rows, and objects for the collector to look at."""
    gc.collect()
    with database.connect(autocommit=True) as connection:
        connection.execute("vacuum analyze")


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the CPU and wall seconds of some work."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def hand_over(one: FeatureStore, batch: Sequence[Any]) -> None:
    """Write a batch as every engine does."""
    one._get_provider().online_write_batch(*batch, None)  # noqa: SLF001


def measure(database: Database, folder: Path) -> dict[str, float]:
    """Return every figure."""
    both = Both(store(database, folder / "stock", STOCK, conn_type="pool"), store(database, folder / "ours", OURS))
    both.apply(*definitions())
    fill(both)
    figures: dict[str, float] = {}
    with database.connect(autocommit=True) as connection:
        connection.execute("vacuum analyze")
        for name, (answers, rounds) in requests(both, Floor(connection)).items():
            shown = {way: answers[way]() for way in ("stock", "ours", "floor")}
            assert shown["stock"] == shown["ours"] == shown["floor"], name
            figures |= compared(name, take_turns({way: answers[way] for way in shown}, rounds))
            figures |= as_protos(answers, name)
    figures |= writing(both, database)
    for one in (both.stock, both.ours):
        close(one)
    return figures


def main() -> None:
    """Print the figures beside their bars."""
    with throwaway_server() as (database, _), TemporaryDirectory() as folder:
        report("feast_online", measure(database, Path(folder)), BARS)


if __name__ == "__main__":
    main()
