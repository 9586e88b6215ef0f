"""A server to measure on, turns to measure in, and one way to say what came out."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tidegate import migrate
from tidegate.postgres import Database, open_database
from tidegate.queries import Queries
from tidegate.settings import read_settings

queries = Queries(Path(__file__).parent / "sql")
Seconds = dict[str, list[float]]


@contextmanager
def throwaway_server() -> Iterator[tuple[Database, Path]]:
    """Yield a migrated database on a server with production's settings, and its home; both end here."""
    home = Path(tempfile.mkdtemp(prefix="tidegate-bench-"))
    home.chmod(0o755)  # the server's own account must be able to enter
    try:
        with open_database(read_settings(database_url=None, home=home)) as database:
            migrate.upgrade(database)
            yield database, home
    finally:
        shutil.rmtree((home / "postgres").resolve(), ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


def take_turns(ways: Mapping[str, Callable[[], object]], rounds: int) -> Seconds:
    """Return the seconds of each way in each round. The order turns, so that neither profits."""
    seconds: Seconds = {name: [] for name in ways}
    for number in range(rounds):
        names = list(ways)[:: 1 if number % 2 else -1]
        for name in names:
            started = time.perf_counter()
            ways[name]()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(seconds: Seconds, ours: str, theirs: str) -> float:
    """Return the median over the rounds of how many times as long `ours` took as `theirs`."""
    return round(float(np.median(np.divide(seconds[ours], seconds[theirs]))), 2)


def milliseconds(seconds: list[float], quantile: float = 0.5) -> float:
    """Return a quantile in milliseconds."""
    return round(float(np.quantile(seconds, quantile)) * 1000, 2)


def report(benchmark: str, figures: Mapping[str, float], bars: Mapping[str, float] | None = None) -> None:
    """Print the figures, one a line, and the JSON line last. Exit with 1 where a figure is above its bar."""
    for name, value in figures.items():
        sys.stdout.write(f"{name:<40} {value}\n")
    line = {"benchmark": benchmark, "figures": dict(figures), "bars": dict(bars or {})}
    sys.stdout.write(json.dumps(line) + "\n")
    if any(figures[name] > bar for name, bar in (bars or {}).items()):
        sys.exit(1)
