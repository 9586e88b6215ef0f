"""What do training joins and materialising cost, beside Feast's own store and beside SQL written by hand?

The same definitions, rows and questions in turns, on one server: Feast's own PostgreSQL store, ours, and the floor,
which is COPY of the asked rows, one LATERAL a view by index, and COPY of the result, read as Arrow. All three tables
have the index that a point-in-time join wants. Values are compared before anything is timed. Last, what a run reads of
its users, with its bounds: as the trainer does, by `get_historical_features`, beside SQL written for just that.
"""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pyarrow as pa
from pyarrow import csv

from benchmarks.measuring import Seconds, queries, ratio, report, take_turns, throwaway_server
from tests.support.feast_worlds import OURS, STOCK, hours, store_on
from tests.support.online import close
from tidegate import feature_store, features, moments
from tidegate.postgres import Database

BARS = {
    "materialize_speedup": ">= 8",
    "materialize_memory_mb": "<= 200",
    "join_three_views_speedup": ">= 4",
    "join_three_views_over_floor": "<= 1.5",
    "join_long_history_speedup": ">= 40",
    "join_long_history_over_floor": "<= 1.5",
}
FEATURES = {
    "stats": ["c1", "c2", "c3", "c4", "c5", "f1", "f2", "f3", "f4", "f5"],
    "more_stats": ["c1", "c2", "f1", "f2", "f3"],
    "other_stats": ["c3", "c4", "f3", "f4", "f5"],
}
ONLINE = "tidegate.stores.online.TidegateOnlineStore"
ENGINE = {"type": "tidegate.stores.engine.TidegateComputeEngine"}
Ways = dict[str, Callable[[], object]]


def objects() -> list[Any]:
    """Return an entity and a view for each table."""
    from feast import Entity, FeatureView, Field, ValueType
    from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
    from feast.types import Float64, Int64

    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    views = [
        FeatureView(
            name=name,
            entities=[user],
            source=PostgreSQLSource(table=f"shop.{name}", timestamp_field="at", created_timestamp_column="written"),
            schema=[Field(name=f, dtype=Int64 if f.startswith("c") else Float64) for f in features],
        )
        for name, features in FEATURES.items()
    ]
    return [user, *views]


def asked_rows(n: int, users: int, each: int) -> pd.DataFrame:
    """Return moments of random users, within their history and a little outside."""
    chance = np.random.default_rng(7)
    times = pd.to_datetime(hours(0)) + pd.to_timedelta(chance.uniform(-0.5, each + 2, n) * 3600, unit="s").round("us")
    return pd.DataFrame({"user_id": chance.integers(1, users + 1, n), "event_timestamp": times})


def floor(database: Database, frame: pd.DataFrame, query: str) -> pa.Table:
    """Join as one would by hand."""
    text = io.BytesIO()
    csv.write_csv(pa.Table.from_pandas(frame.reset_index()), text, csv.WriteOptions(include_header=False))
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("set local timezone = 'UTC'")
        cursor.execute(queries["floor_frame"])
        with cursor.copy("copy asked from stdin (format csv)") as copy:
            copy.write(text.getvalue())
        cursor.execute("analyze asked")
        with cursor.copy(queries[query]) as copy:
            found = b"".join(bytes(row) for row in copy)
    return csv.read_csv(pa.BufferReader(found), csv.ReadOptions(autogenerate_column_names=True))


def measured(ways: Mapping[str, Callable[[], object]], rounds: int) -> tuple[Seconds, Seconds]:
    """Return the seconds of each way by the clock, and of this process's CPU."""
    processor: Seconds = {name: [] for name in ways}

    def counting(name: str) -> Callable[[], None]:
        def way() -> None:
            started = time.process_time()
            ways[name]()
            processor[name].append(time.process_time() - started)

        return way

    return take_turns({name: counting(name) for name in ways}, rounds), processor


def compared(name: str, ways: Ways, rounds: int) -> dict[str, float]:
    """Return how many times as fast as Feast's own store, and how far from the floor, by the clock and by CPU."""
    clock, processor = measured(ways, rounds)
    found = {
        f"{name}_speedup": ratio(clock, "stock", "ours"),
        f"{name}_client_cpu_speedup": ratio(processor, "stock", "ours"),
        f"{name}_over_floor": ratio(clock, "ours", "floor"),
        f"{name}_client_cpu_over_floor": ratio(processor, "ours", "floor"),
    }
    return found | {f"{name}_{way}_s": round(float(np.median(taken)), 2) for way, taken in clock.items()}


def check(stock: pa.Table, ours: pa.Table, by_hand: pa.Table) -> None:
    """Compare what the three found."""
    keys = [("user_id", "ascending"), ("event_timestamp", "ascending")]
    assert stock.sort_by(keys).equals(ours.sort_by(keys)), "stock and ours differ"
    for mine, hand in zip(ours.columns[2:], by_hand.columns[2:], strict=True):
        assert mine.cast(pa.float64()).equals(hand.cast(pa.float64())), "ours and the floor differ"


def join(stores: dict[str, Any], database: Database, views: list[str], frame: pd.DataFrame, query: str) -> Ways:
    """Return the three ways to join, which agree."""
    features = [f"{view}:{feature}" for view in views for feature in FEATURES[view]]

    def asked(store: Any) -> Callable[[], pa.Table]:
        return lambda: store.get_historical_features(
            entity_df=frame, features=features, full_feature_names=True
        ).to_arrow()

    ways = {name: asked(store) for name, store in stores.items()}
    by_hand: Callable[[], pa.Table] = lambda: floor(database, frame, query)  # noqa: E731
    check(ways["stock"](), ways["ours"](), by_hand())
    return {**ways, "floor": by_hand}


def fill(connection: psycopg.Connection[Any], users: int, each: int) -> None:
    """Write a history for each of the three views."""
    connection.execute("create schema shop")
    connection.execute(queries["make_stats"], {"users": users, "each": each})
    connection.execute(queries["make_other_stats"])
    connection.execute(queries["analyze_stats"])


def materialise(stores: dict[str, Any], connection: psycopg.Connection[Any]) -> dict[str, float]:
    """Measure 1.05 million rows becoming 500 thousand values online, from nothing each time."""
    fill(connection, users=50_000, each=21)
    tables = {"stock": "stock.world_stats", "ours": "ours.world_user"}

    def way(name: str) -> Callable[[], None]:
        def materialised() -> None:
            connection.execute(f"truncate {tables[name]}".encode())
            with redirect_stdout(io.StringIO()):  # Feast says what it does
                stores[name].materialize(hours(-1), hours(100), feature_views=["stats"])

        return materialised

    ways = {name: way(name) for name in ("ours", "stock")}  # ours first: a peak never goes down again
    grown = {f"materialize_{name}memory_mb": growth(ways[kind]) for name, kind in (("", "ours"), ("stock_", "stock"))}
    found = {name: online(store) for name, store in stores.items()}
    assert found["stock"] == found["ours"], "what is online differs"
    clock, processor = measured(ways, rounds=2)
    connection.execute(queries["drop_stats"])
    return {
        "materialize_speedup": ratio(clock, "stock", "ours"),
        "materialize_client_cpu_speedup": ratio(processor, "stock", "ours"),
        **grown,
        **{f"materialize_{name}_s": round(float(np.median(taken)), 2) for name, taken in clock.items()},
    }


def online(store: Any) -> Any:
    """Return some of what is online."""
    rows = [{"user_id": number} for number in range(1, 50_000, 499)]
    return store.get_online_features([f"stats:{name}" for name in FEATURES["stats"]], rows).to_dict()


def growth(work: Callable[[], object]) -> float:
    """Return by how many MB a piece of work raised this process's peak of memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work()
    return round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 1)


def profiles(database: Database, connection: psycopg.Connection[Any]) -> dict[str, float]:
    """Measure how a run reads 20,000 moments of its users: through Feast, beside SQL written for just that.

    Most runs have no excluded positions; those that have compare each row with them.
    """
    features.apply_definitions(database)
    connection.execute(queries["insert_user_history"])
    connection.execute("vacuum (analyze) features.user_activity_history")
    chance = np.random.default_rng(3)
    times = hours(0).timestamp() + np.round(chance.uniform(0, 30 * 86_400, 20_000), 6)
    users = [f"user-{number}" for number in chance.integers(1, 5_001, 20_000)]
    return {
        **reading(database, users, times, "run_reads", []),
        **reading(database, users, times, "run_reads_excluding", [3, 7]),
        **imports(),
    }


def reading(
    database: Database, users: list[str], times: np.ndarray, name: str, excluded: list[int]
) -> dict[str, float]:
    """Compare the two ways, which find the same."""
    ways: Ways = {
        "sql": lambda: profiles_by_hand(database, users, times, 25, excluded),
        "feast": lambda: moments.profiles_before(database, users, times, 25, excluded),
    }
    np.testing.assert_array_equal(ways["sql"](), ways["feast"]())
    clock, processor = measured(ways, rounds=9)
    return {
        f"{name}_feast_over_sql": ratio(clock, "feast", "sql"),
        f"{name}_feast_over_sql_client_cpu": ratio(processor, "feast", "sql"),
        **{f"{name}_{way}_s": round(float(np.median(taken)), 3) for way, taken in clock.items()},
    }


def profiles_by_hand(
    database: Database, users: list[str], times: np.ndarray, last: int, excluded: list[int]
) -> np.ndarray:
    """Return what `moments.profiles_before` returns, by one statement."""
    microseconds = np.round(times * 1e6).astype(np.int64)
    asked = {"users": users, "microseconds": microseconds.tolist(), "last": last, "excluded": excluded}
    with database.connect() as connection:
        rows = connection.execute(queries["profiles_by_hand"], asked).fetchall()
    found = pa.RecordBatch.from_arrays(
        [pa.array(column, pa.float64()) for column in zip(*rows, strict=True)], list(features.PROFILED)
    )
    return moments.profile(found, microseconds)


def imports() -> dict[str, float]:
    """Return the CPU seconds and MB that Feast costs a trainer process, and what its import costs elsewhere."""
    without, memory = cost("import workers.increment")
    store = "tidegate.feature_store.open_store(Database('host=nowhere dbname=nothing'), training=True)"
    with_feast, more = cost(
        f"import workers.increment, tidegate.feature_store; from tidegate.postgres import Database; {store}"
    )
    return {
        "trainer_start_cpu_s": without,
        "trainer_start_with_feast_cpu_s": with_feast,
        "trainer_memory_of_feast_mb": more - memory,
        "import_feast_alone_cpu_s": cost("import feast")[0],
    }


def cost(code: str) -> tuple[float, float]:
    """Return the CPU seconds and the MB of a process that runs this."""
    # What it holds in the end: the most that it has held would count this process, which it was forked from.
    said = "import time, pathlib; print(time.process_time(), pathlib.Path('/proc/self/statm').read_text())"
    done = subprocess.run([sys.executable, "-c", f"{code}; {said}"], capture_output=True, text=True, check=True)
    seconds, _, pages, *_ = done.stdout.split()
    return round(float(seconds), 2), round(int(pages) * resource.getpagesize() / 2**20)


def joins(stores: dict[str, Any], database: Database, connection: psycopg.Connection[Any]) -> dict[str, float]:
    """Measure a wide join over short histories, and a narrow one over long ones."""
    fill(connection, users=50_000, each=21)
    three = join(stores, database, list(FEATURES), asked_rows(100_000, 50_000, 21), "floor_of_three")
    found = compared("join_three_views", three, rounds=3)
    connection.execute(queries["drop_stats"])
    fill(connection, users=1_000, each=1_000)
    long = join(stores, database, ["stats"], asked_rows(10_000, 1_000, 1_000), "floor_of_one")
    return found | compared("join_long_history", long, rounds=3)


def main() -> None:
    """Print the figures."""
    warnings.simplefilter("ignore")
    with throwaway_server() as (database, home), database.connect(autocommit=True) as connection:
        stores = {
            "stock": store_on(database, home / "stock", STOCK, {"type": STOCK, "db_schema": "stock"}),
            "ours": store_on(database, home / "ours", OURS, {"type": ONLINE, "db_schema": "ours"}, batch_engine=ENGINE),
        }
        for store in stores.values():
            store.apply(objects())
        figures = materialise(stores, connection)
        figures |= joins(stores, database, connection)
        figures |= profiles(database, connection)
        for store in stores.values():
            close(store)
        feature_store.close()
    report("feast_offline", figures, BARS)


if __name__ == "__main__":
    main()
