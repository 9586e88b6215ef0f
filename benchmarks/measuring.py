"""A server to measure on, turns to measure in, and one way to say what came out."""

from __future__ import annotations

import json
import operator
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

import numpy as np

from tidegate import migrate
from tidegate.postgres import Database, open_database
from tidegate.queries import Queries
from tidegate.settings import read_settings

queries = Queries(Path(__file__).parent / "sql")
Seconds = dict[str, list[float]]
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
}


class Verdict(TypedDict):
    """What became of a bar."""

    bar: str  # "<= 1.5"
    value: float
    met: bool


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


def report(benchmark: str, figures: Mapping[str, float], bars: Mapping[str, str] | None = None) -> None:
    """Print the figures, one a line, what became of their bars ("<= 1.5", ">= 0.8"), and the JSON line last.

    A missed bar is printed as missed; it is a finding, not an error.
    """
    verdicts = {name: judge(figures[name], bar) for name, bar in (bars or {}).items()}
    for name, value in figures.items():
        sys.stdout.write(f"{name:<40} {value:<12} {shown(verdicts.get(name))}".rstrip() + "\n")
    line = {"benchmark": benchmark, "figures": dict(figures), "bars": verdicts}
    sys.stdout.write(json.dumps(line) + "\n")


def judge(value: float, bar: str) -> Verdict:
    """Return a figure beside its bar."""
    comparison, _, bound = bar.partition(" ")
    return {"bar": bar, "value": value, "met": COMPARISONS[comparison](value, float(bound))}


def shown(verdict: Verdict | None) -> str:
    """Return a verdict as a person reads it."""
    if verdict is None:
        return ""
    return f"{'met' if verdict['met'] else 'MISSED'}: {verdict['bar']}"
