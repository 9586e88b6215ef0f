"""What does tidegate cost a writer?

The same rows go into ingest.behaviour_events, whose trigger validates, keeps the ledger and watches the
threshold, and into a bare table of the same columns, key and partitioning; commits are durable in both. The
figures are throughputs: 1.0 would be free, and 0.8 is the bar.

No Python stands in the way: single inserts come from pgbench, rows of a statement from a table, and COPY from
bytes that are made beforehand. Two more tables say where the time goes: `captured` has a trigger that does
nothing with the rows that PostgreSQL collects for it, `counted` one that counts them. PostgreSQL inserts the
rows of a COPY into a partitioned table one by one as soon as a trigger wants them collected, and in bulk otherwise.
"""

from __future__ import annotations

import random
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from benchmarks.measuring import Seconds, milliseconds, queries, report, take_turns, throwaway_server
from tidegate.postgres import Database
from tidegate.postgres.binaries import find_binaries

ROUNDS = 20
COPIED = 10_000
SIZES = {1: 200, 10: 100, 100: 30, 1_000: 10, 10_000: 2, 100_000: 1}  # rows of a statement: statements of a round
CLIENTS = (1, 8, 32)
PGBENCH_ROUNDS = 6
PGBENCH_SECONDS = 2
TABLES = ("tidegate", "bare", "captured", "counted")
BAR = ">= 0.8"
BARS = {
    "copy": BAR,
    "copy_wide": BAR,
    "insert_1000": BAR,
    **{f"single_{clients}_clients": BAR for clients in CLIENTS},
}
Connection = psycopg.Connection[Any]


def lean_row(chosen: random.Random, number: int) -> str:
    """Return a view as COPY takes it: the columns without which there is no event, and a value."""
    return f"user-{chosen.randint(1, 5000)}\titem-{chosen.randint(1, 5000)}\tview\t{number}.0\n"


def wide_row(chosen: random.Random, number: int) -> str:
    """Return a view with a time and a context, as feeds have them."""
    context = f'{{"device": "phone", "page": {number}, "campaign": "autumn"}}'
    return f"{lean_row(chosen, number).rstrip()}\t2026-01-0{1 + number % 9} 12:00:{number % 60:02d}+00\t{context}\n"


def copy_rows(connection: Connection, statement: str, rows: bytes) -> None:
    """Copy rows in one statement."""
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        copy.write(rows)


def copying(
    connection: Connection, row: Callable[[random.Random, int], str], more: str = ""
) -> dict[str, Callable[[], None]]:
    """Return a COPY of the same rows into each table."""
    chosen = random.Random(1)
    rows = "".join(row(chosen, number) for number in range(COPIED)).encode()

    def way(table: str) -> Callable[[], None]:
        schema = "ingest" if table == "tidegate" else table
        statement = f"copy {schema}.behaviour_events (user_id, item_id, event_type, value{more}) from stdin"
        return lambda: copy_rows(connection, statement, rows)

    return {table: way(table) for table in TABLES}


def inserting(connection: Connection, size: int, statements: int) -> dict[str, Callable[[], None]]:
    """Return statements of so many rows into each table, each a commit."""

    def way(table: str) -> Callable[[], None]:
        query = queries[f"insert_some_{table}"]
        return lambda: repeat(lambda: connection.execute(query, {"n": size}), statements)

    return {table: way(table) for table in ("tidegate", "bare")}


def repeat(work: Callable[[], object], times: int) -> None:
    """Do something so many times."""
    for _ in range(times):
        work()


def compare(connection: Connection, ways: dict[str, Callable[[], None]], rounds: int = ROUNDS) -> Seconds:
    """Return the seconds of each way; the ledger is emptied between rounds, as a cut does."""
    seconds: Seconds = {name: [] for name in ways}
    for _ in range(rounds // 2):
        for name, taken in take_turns(ways, 2).items():
            seconds[name] += taken
        connection.execute(queries["forget_unfolded"])
    return seconds


@contextmanager
def scripts() -> Iterator[dict[str, Path]]:
    """Yield a pgbench script for each table."""
    with tempfile.TemporaryDirectory() as folder:
        found = {table: Path(folder) / f"{table}.sql" for table in TABLES}
        for table, path in found.items():
            path.write_text(queries[f"pgbench_one_{table}"].partition("\n")[2])
        yield found


def pgbench(database: Database, script: Path, clients: int) -> float:
    """Return the seconds of a durable insert of one row, over so many clients at once."""
    command = [find_binaries().program("pgbench"), "--no-vacuum", "--protocol=prepared", f"--file={script}"]
    load = [f"--client={clients}", f"--jobs={min(clients, 2)}", f"--time={PGBENCH_SECONDS}"]
    ran = subprocess.run([*command, *load, database.conninfo], check=True, capture_output=True, text=True)
    [rate] = [line.split()[2] for line in ran.stdout.splitlines() if line.startswith("tps")]
    return 1 / float(rate)


def compare_singles(database: Database, connection: Connection, clients: int) -> Seconds:
    """Return the seconds of single inserts of several clients, by pgbench in turns."""
    seconds: Seconds = {table: [] for table in TABLES}
    with scripts() as found:
        for number in range(PGBENCH_ROUNDS):
            for table in TABLES[:: 1 if number % 2 else -1]:
                seconds[table].append(pgbench(database, found[table], clients))
            connection.execute(queries["forget_unfolded"])
    return seconds


def throughputs(name: str, seconds: Seconds) -> dict[str, float]:
    """Return how much of the bare table's throughput is left: ratios of medians."""
    medians = {table: float(np.median(taken)) for table, taken in seconds.items()}
    return {
        name if table == "tidegate" else f"{name}_{table}": round(medians["bare"] / median, 3)
        for table, median in medians.items()
        if table != "bare"
    }


def measure(database: Database, connection: Connection) -> dict[str, float]:
    """Return all figures."""
    figures: dict[str, float] = {}
    for name, row, more in (("copy", lean_row, ""), ("copy_wide", wide_row, ", occurred_at, context")):
        seconds = compare(connection, copying(connection, row, more))
        figures |= throughputs(name, seconds) | {f"{name}_ms": milliseconds(seconds["tidegate"])}
    for size, statements in SIZES.items():
        seconds = compare(connection, inserting(connection, size, statements), ROUNDS if size < 100_000 else 6)
        figures |= throughputs(f"insert_{size}", seconds)
        figures[f"insert_{size}_ms"] = round(milliseconds(seconds["tidegate"]) / statements, 3)
    for clients in CLIENTS:
        seconds = compare_singles(database, connection, clients)
        figures |= throughputs(f"single_{clients}_clients", seconds)
        figures[f"single_{clients}_clients_per_s"] = round(1 / float(np.median(seconds["tidegate"])))
    return figures


def main() -> None:
    """Print the throughput of each way to write, against the bare table."""
    with throwaway_server() as (database, _), database.connect(autocommit=True) as connection:
        connection.execute(queries["make_bare_table"], prepare=False)
        connection.execute(queries["make_triggered_tables"], prepare=False)
        report("ingest", measure(database, connection), BARS)


if __name__ == "__main__":
    main()
