"""What does tidegate cost a writer?

The same rows go into ingest.behaviour_events, whose trigger validates, keeps the ledger and watches the
threshold, and into a bare table of the same columns, key and partitioning. The ratio of wall times is the
answer; durable commits are in both.
"""

from __future__ import annotations

import random
from typing import Any

import psycopg

from benchmarks.measuring import milliseconds, queries, ratio, report, take_turns, throwaway_server

ROUNDS = 30
SINGLES = 200  # single inserts in a round, each its own commit
BATCH = 1_000
COPIED = 10_000
Rows = list[tuple[str, str, str, float]]


def make_rows(n: int) -> Rows:
    """Return n views of random users and items."""
    chosen = random.Random(1)
    return [
        (f"user-{chosen.randint(1, 5000)}", f"item-{chosen.randint(1, 5000)}", "view", float(number))
        for number in range(n)
    ]


def insert_singles(connection: psycopg.Connection[Any], table: str, rows: Rows) -> None:
    """Insert rows one by one, a commit each."""
    for row in rows:
        connection.execute(queries[f"insert_one_{table}"], row)


def insert_batch(connection: psycopg.Connection[Any], table: str, columns: list[list[Any]]) -> None:
    """Insert rows in one statement."""
    connection.execute(queries[f"insert_rows_{table}"], columns)


def copy_rows(connection: psycopg.Connection[Any], table: str, rows: Rows) -> None:
    """Copy rows in one statement."""
    with connection.cursor() as cursor, cursor.copy(queries[f"copy_{table}"]) as copy:
        for row in rows:
            copy.write_row(row)


def compare(connection: psycopg.Connection[Any], shape: str) -> dict[str, float]:
    """Measure one shape of writing on both tables."""
    insert, rows = {
        "single": (insert_singles, make_rows(SINGLES)),
        "batch": (insert_batch, [list(column) for column in zip(*make_rows(BATCH), strict=True)]),
        "copy": (copy_rows, make_rows(COPIED)),
    }[shape]

    def way(table: str) -> Any:
        return lambda: insert(connection, table, rows)  # type: ignore[operator]

    seconds: dict[str, list[float]] = {"tidegate": [], "bare": []}
    for _ in range(ROUNDS):
        for name, taken in take_turns({name: way(name) for name in seconds}, 2).items():
            seconds[name] += taken
        connection.execute(queries["forget_unfolded"])
    return {
        f"{shape}_ratio": ratio(seconds, "tidegate", "bare"),
        f"{shape}_tidegate_ms": milliseconds(seconds["tidegate"]),
        f"{shape}_bare_ms": milliseconds(seconds["bare"]),
    }


def main() -> None:
    """Print the ratios of single inserts, 1,000-row inserts and COPY."""
    with throwaway_server() as (database, _), database.connect(autocommit=True) as connection:
        connection.execute(queries["make_bare_table"], prepare=False)
        figures: dict[str, float] = {}
        for shape in ("single", "batch", "copy"):
            figures |= compare(connection, shape)
    report("ingest", figures)


if __name__ == "__main__":
    main()
