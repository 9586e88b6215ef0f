"""Does the memory of a training process grow with history?

The same window of 10,000 events is trained by the real trainer process, once behind a short history and once behind
one that is ten times as long: ten times as many earlier windows, so ten times as many earlier events of each of the
window's own users and of others. Window, users, catalogue and parent are the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg

from benchmarks.measuring import queries, report, throwaway_server
from benchmarks.world import make_window
from tidegate import windows
from tidegate.settings import get_settings

N = 10_000  # events of a window
USERS = 2_500  # of whom all are in the window, and in every window before
ITEMS = 4_000
FAVOURITES = 3  # of a user: something to learn, so that the first version goes live
SHORT = 20  # earlier windows
TIMES = 10
PLACE = 1_000_000  # positions below are the history's
NEWEST = 1_767_225_600.0  # 2026-01-01: where the history ends
QUICK = '{"first_epochs": 1, "first_steps": 1, "epochs": 1}'  # more steps take more time and no more memory
BARS = {"memory_ratio": "<= 1.15"}
COPY = "copy ingest.behaviour_events (user_id, item_id, event_type, value, occurred_at) from stdin"


def write_window(connection: psycopg.Connection[Any], seed: int) -> None:
    """Insert a day of purchases: each user takes favourites again."""
    chance = np.random.default_rng(seed)
    times = NEWEST + 86_400.0 * seed + np.sort(chance.uniform(0, 80_000, N))
    items = (37 * (np.arange(N) % USERS) + chance.integers(FAVOURITES, size=N)) % ITEMS
    with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        for number, (item, at) in enumerate(zip(items.tolist(), times.tolist(), strict=True)):
            moment = datetime.fromtimestamp(at, UTC)
            copy.write_row((f"user-{number % USERS}", f"item-{item}", "purchase", 1.0, moment))


def fill_history(connection: psycopg.Connection[Any], earlier: int) -> None:
    """Write what so many earlier windows have left."""
    values = {"windows": earlier, "n": N, "users": USERS, "items": ITEMS, "each": N // USERS, "newest": NEWEST}
    connection.execute(queries["insert_earlier_windows"], values)
    connection.execute(queries["insert_earlier_timelines"], values)
    connection.execute(queries["insert_earlier_features"], {"before": PLACE})
    connection.execute(queries["analyze_history"])


def train(connection: psycopg.Connection[Any], seed: int) -> dict[str, Any]:
    """Write a window and train it in a new trainer process; return its report."""
    # Imported here: workers open the database that the environment names.
    from workers.trainers import Trainer

    write_window(connection, seed)
    make_window(connection)
    run = windows.claim(connection, "default", "benchmark", timedelta(minutes=10))
    assert run is not None
    trainer = Trainer()
    try:
        trainer.ready()
        return trainer.train(run)
    finally:
        trainer.close()


def measure(earlier: int) -> dict[str, Any]:
    """Return the report of an increment behind so many earlier windows."""
    with throwaway_server() as (database, _), database.connect(autocommit=True) as connection:
        os.environ["TIDEGATE_DATABASE_URL"] = database.conninfo
        get_settings.cache_clear()
        connection.execute("update learning.streams set threshold = 1000000, settings = %s", [QUICK])
        connection.execute(queries["insert_items"], {"items": ITEMS})
        connection.execute(queries["keep_place"], {"position": PLACE})
        assert train(connection, seed=1)["verdict"] == "promote", "there must be a parent"
        fill_history(connection, earlier)
        return train(connection, seed=2)


def measure_apart(earlier: int) -> dict[str, Any]:
    """Measure in a process of its own: one process keeps one database."""
    asked = [sys.executable, "-m", "benchmarks.memory", str(earlier)]
    said = subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print memory and seconds of reading behind a short and a long history."""
    if sys.argv[1:]:
        sys.stdout.write(json.dumps(measure(int(sys.argv[1]))) + "\n")
        return
    short, long = measure_apart(SHORT), measure_apart(SHORT * TIMES)
    report(
        "memory",
        {
            "memory_ratio": round(long["memory_mb"] / short["memory_mb"], 3),
            "short_memory_mb": round(short["memory_mb"]),
            "long_memory_mb": round(long["memory_mb"]),
            "short_read_seconds": short["seconds"]["read"],
            "long_read_seconds": long["seconds"]["read"],
            "short_seconds": short["seconds"]["total"],
            "long_seconds": long["seconds"]["total"],
            "short_history_events": SHORT * N,
            "long_history_events": SHORT * TIMES * N,
        },
        BARS,
    )


if __name__ == "__main__":
    main()
