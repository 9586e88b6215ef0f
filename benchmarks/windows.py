"""What do cutting a window and reading it cost, and does history make them dearer?

A window of 10,000 events is read against the plain range read of the same rows, over 30 daily partitions, in one
database with 200,000 events and in one with ten times as many, in turns: a window of one range of ids, one in blocks
of 32 ids between which another stream has its own (what concurrent writers leave), and one of 10,000 ids of which
none follows on another: the worst that there is, and without a bar. Cutting takes 10,000 single-row batches out of
the ledger, against a bare DELETE of the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row

from benchmarks.measuring import milliseconds, queries, ratio, report, take_turns, throwaway_server
from tidegate import migrate
from tidegate.postgres import Database

WINDOW = 10_000
BLOCK = 32  # the identity's cache: ids that one session takes at once
HISTORY = 200_000
GROWN = 2_000_000
READS = 150
CUTS = 25
BLOCKS = {"read": WINDOW, "read_blocks": BLOCK, "read_scattered": 1}
BARS = {
    "read_ratio": "<= 1.5",
    "read_blocks_ratio": "<= 1.5",
    "read_ratio_at_10x": "<= 1.5",
    "read_blocks_ratio_at_10x": "<= 1.5",
    "read_growth": "<= 1.5",
    "cut_ms": "<= 30",
}
Connection = psycopg.Connection[Any]


def fill_past(connection: Connection, n: int) -> None:
    """Add events of the last 29 days that no window will hold."""
    connection.execute(queries["insert_past"], {"n": n})
    connection.execute(queries["forget_unfolded"])
    connection.execute("vacuum analyze ingest.behaviour_events")


def cut(connection: Connection) -> int:
    """Cut what waits; return the window."""
    row = connection.execute(queries["cut"]).fetchone()
    assert row is not None
    return int(row[0])


def make_window(connection: Connection, block: int) -> int:
    """Return a window of WINDOW events in blocks of ids, between which another stream has as many."""
    for _ in range(WINDOW // block):
        connection.execute(queries["insert_here"], {"stream": "default", "n": block})
        if block < WINDOW:
            connection.execute(queries["insert_here"], {"stream": "other", "n": block})
    window = cut(connection)
    held = connection.execute("select n from learning.windows where window_id = %s", (window,)).fetchone()
    assert held == (WINDOW // block * block,)
    return window


def reader(connection: Connection, window: int) -> Callable[[], object]:
    """Return a way to read a window."""
    return lambda: connection.execute(queries["read_window"], {"window": window}).fetchone()


def range_reader(connection: Connection, window: int) -> Callable[[], object]:
    """Return a way to read the same events as a plain range, over what other streams have between them."""
    with connection.cursor(row_factory=dict_row) as cursor:
        bounds = cursor.execute(queries["bounds"], {"window": window}).fetchone()
    return lambda: connection.execute(queries["read_range"], bounds).fetchone()


def make_history(connection: Connection, n: int) -> dict[str, int]:
    """Make so many events of the past, and the windows to read; return these by name."""
    connection.execute(queries["make_past_days"], prepare=False)
    connection.execute("insert into learning.streams (stream) values ('other')")
    fill_past(connection, n)
    windows = {name: make_window(connection, block) for name, block in BLOCKS.items()}
    connection.execute("vacuum analyze ingest.behaviour_events")
    return windows


def readers(connection: Connection, n: int, suffix: str) -> dict[str, Callable[[], object]]:
    """Return ways to read each window, and to read the same rows as a range."""
    windows = make_history(connection, n)
    ways = {f"{name}{suffix}": reader(connection, window) for name, window in windows.items()}
    return ways | {f"{name}_range{suffix}": range_reader(connection, window) for name, window in windows.items()}


def compare_reads(small: Connection, large: Connection) -> dict[str, float]:
    """Return the figures of reading, at both sizes of history in turns."""
    ways = readers(small, HISTORY, "") | readers(large, GROWN, "_at_10x")
    take_turns(ways, 6)  # statements are prepared, pages are read
    seconds = take_turns(ways, READS)
    ratios = {
        f"{name}_ratio{suffix}": ratio(seconds, f"{name}{suffix}", f"{name}_range{suffix}")
        for suffix in ("", "_at_10x")
        for name in BLOCKS
    }
    growth = {"read_growth": ratio(seconds, "read_at_10x", "read")}
    return ratios | growth | {f"{name}_ms": milliseconds(taken) for name, taken in seconds.items()}


def fill_ledger(connection: Connection) -> None:
    """Write as many batches of one event as make a window, in both ledgers."""
    with connection.transaction(), connection.pipeline():
        for _ in range(WINDOW):
            connection.execute(queries["insert_one_here"])
    connection.execute(queries["fill_plain_ledger"])


def compare_cuts(connection: Connection) -> dict[str, float]:
    """Return the figures of cutting."""
    connection.execute(queries["make_plain_ledger"])
    seconds: dict[str, list[float]] = {"cut": [], "delete": []}
    ways: dict[str, Callable[[], object]] = {
        "cut": lambda: cut(connection),
        "delete": lambda: connection.execute(queries["empty_plain_ledger"]),
    }
    for _ in range(CUTS):
        fill_ledger(connection)
        for name, taken in take_turns(ways, 1).items():
            seconds[name] += taken
    return {
        "cut_ratio": ratio(seconds, "cut", "delete"),
        "cut_ms": milliseconds(seconds["cut"]),
        "cut_p90_ms": milliseconds(seconds["cut"], 0.9),
        "delete_ms": milliseconds(seconds["delete"]),
    }


@contextmanager
def grown(database: Database) -> Iterator[Connection]:
    """Yield a connection to another database on the same server."""
    with database.connect(autocommit=True) as connection:
        connection.execute("create database grown")
    other = database.named("grown")
    migrate.upgrade(other)
    with other.connect(autocommit=True) as connection:
        yield connection


def main() -> None:
    """Print the figures of reading and cutting, and their bars."""
    with (
        throwaway_server() as (database, _),
        database.connect(autocommit=True) as connection,
        grown(database) as large,
    ):
        figures = compare_reads(connection, large) | compare_cuts(connection)
    report("windows", figures, BARS)


if __name__ == "__main__":
    main()
