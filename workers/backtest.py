"""Compare methods of learning on the events of the live database.

`python -m workers.backtest`, which is what `tidegate backtest` starts. It reads and changes nothing: its connection is
read only. What is compared, and how, is models.backtest; the same runs on files as `python -m benchmarks.learning`.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import inf, nan
from typing import Any

import numpy as np
import orjson
import psycopg
from psycopg.rows import TupleRow

from models.backtest.columns import Columns, Item, as_log
from models.backtest.contest import compete
from models.backtest.log import EventLog
from models.backtest.prequential import BASE_SHARE, WINDOWS, cut
from models.backtest.registry import MethodSettings, entry, named
from models.backtest.report import document
from models.errors import ModelError
from models.text import TextEncoder, load_minilm
from models.timelines import EVENT_TYPES
from tidegate import backtests
from tidegate import log as logs
from tidegate.cli.shown import say_table
from tidegate.errors import BadRequest, TidegateError
from tidegate.log import get_log
from tidegate.parse import Flaw, moment
from tidegate.postgres import Database
from tidegate.queries import queries
from tidegate.settings import get_settings
from workers.catalogues import cached, text_hash
from workers.connections import database as own_database

log = get_log("backtest")

PORTION = 10_000  # rows that are held as Python objects at a time
LEAST_EVENTS = 100  # of a stream; fewer say nothing
NOTHING: dict[str, np.ndarray] = {
    "user": np.zeros(0, "U1"),
    "item": np.zeros(0, "U1"),
    "type": np.zeros(0, np.int8),
    "value": np.zeros(0, np.float32),
    "time": np.zeros(0, np.float64),
}
DEFAULT = ("baselines", "static", "full-retrain", "replay-inactive")
ALWAYS = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def read_log(
    database: Database, stream: str, since: datetime | None = None, until: datetime | None = None, text: bool = True
) -> EventLog:
    """Return the events of a stream between two times, and the catalogue. Raises BadRequest where there are too few."""
    with database.connect(autocommit=True) as connection:
        connection.execute("set default_transaction_read_only = on")
        columns = read_columns(connection, stream, since or ALWAYS[0], until or ALWAYS[1])
        if len(columns.user) < LEAST_EVENTS:
            raise BadRequest(
                f"Stream {stream!r} has {len(columns.user)} events then; a backtest needs {LEAST_EVENTS}.",
                "List the streams with `tidegate streams list`, or let more events come.",
            )
        return as_log(columns, (lambda texts: embedded(connection, texts)) if text else None)


def read_columns(connection: psycopg.Connection[Any], stream: str, since: datetime, until: datetime) -> Columns:
    """Return events and items as they are in the database."""
    asked = {"stream": stream, "since": since, "until": until}
    found = [as_columns(rows) for rows in portions(connection, "backtest_events", asked)]
    events = {name: np.concatenate([nothing, *(part[name] for part in found)]) for name, nothing in NOTHING.items()}
    first = first_taken(events["item"], events["time"])
    rows = (row for part in portions(connection, "backtest_items", {}) for row in part)
    items = {
        name: Item(text, category or "", born(created, first.get(name, inf))) for name, text, category, created in rows
    }
    return Columns(
        user=events["user"],
        item=events["item"],
        time=events["time"],
        type=events["type"],
        value=events["value"],
        items=items,
    )


def portions(connection: psycopg.Connection[Any], query: str, values: dict[str, Any]) -> Iterator[list[TupleRow]]:
    """Yield what a query finds, some rows at a time."""
    with connection.transaction(), connection.cursor("backtest") as cursor:
        cursor.execute(queries[query], values)
        while rows := cursor.fetchmany(PORTION):
            yield rows


def as_columns(rows: Sequence[TupleRow]) -> dict[str, np.ndarray]:
    """Return rows of events as arrays."""
    users, items, types, values, times = zip(*rows, strict=True)
    return {
        "user": np.array(users),
        "item": np.array(items),
        "type": np.array([EVENT_TYPES.index(name) for name in types], dtype=np.int8),
        "value": np.array([nan if value is None else value for value in values], dtype=np.float32),
        "time": np.array(times, dtype=np.float64),
    }


def first_taken(item: np.ndarray, time: np.ndarray) -> dict[str, float]:
    """Return when each item was taken first, the events being in order of time."""
    names, place = np.unique(item, return_index=True)
    return dict(zip(names.tolist(), time[place].tolist(), strict=True))


def born(created: float, first: float) -> float:
    """Return when an item came: an item whose row is younger than its first event was there before anybody noted it."""
    return created if created <= first else -inf


def embedded(connection: psycopg.Connection[Any], texts: Sequence[str]) -> np.ndarray:
    """Return the embeddings (n, E) of texts: those that were kept, and the others encoded here and not kept."""
    path = get_settings().text_model
    encoder = TextEncoder(path) if path else load_minilm()
    known = cached(connection, encoder.identity, [text_hash(text) for text in texts])
    missing = sorted({text for text in texts if text and text_hash(text) not in known})
    if missing:
        log.info("encoding %s texts", f"{len(missing):,}")
        known |= {text_hash(t): v for t, v in zip(missing, encoder.encode(missing), strict=True)}
    nothing = np.zeros(encoder.dimensions, dtype=np.float32)
    return np.stack([known.get(text_hash(text), nothing) for text in texts])


def written(text: str | None, option: str) -> datetime | None:
    """Return a time that an operator wrote. Raises BadRequest."""
    try:
        return moment(text, option)
    except Flaw as flaw:
        raise BadRequest(f"{flaw}.", f"For example: {option} 2026-11-24T12:00:00Z.") from None


def run(events: EventLog, asked: argparse.Namespace) -> dict[str, Any]:
    """Return the document of the contest; a line in the log for each course and each window."""
    methods = named(asked.methods, events.repeats)
    for method in methods:
        entry(method)  # a wrong name ends it here, not after an hour
    windows = cut(events, asked.base_share, asked.windows)
    log.info("%s events, %s items, %s methods", f"{len(events):,}", f"{len(events.catalogue):,}", len(methods))

    def heard(method: str, what: str, done: int, total: int) -> None:
        log.info("%s: %s, %s of %s", method, what, done, total)

    *_, contest = compete(events, windows, methods, asked.seeds, settings=MethodSettings(), heard=heard)
    return document(contest, asked.stream)


def arguments() -> argparse.ArgumentParser:
    """Return what the command line understands."""
    parser = argparse.ArgumentParser(prog="python -m workers.backtest", description="Compare methods of learning.")
    add = parser.add_argument
    add("--stream", default="default")
    add("--methods", nargs="+", default=list(DEFAULT))
    add("--seeds", type=int, default=1)
    add("--windows", type=int, default=WINDOWS)
    add("--base-share", type=float, default=BASE_SHARE)
    add("--since")
    add("--until")
    add("--no-text", action="store_true")
    add("--json", action="store_true")
    return parser


def main() -> None:
    """Print the tables, or the document; exit with 1 where a method failed."""
    asked = arguments().parse_args()
    settings = get_settings()
    logs.configure(settings.log_level, settings.log_format)
    logging.getLogger("models").setLevel(logging.CRITICAL)  # a failed method is in the table, with its reason
    try:
        since, until = (written(getattr(asked, name), f"--{name}") for name in ("since", "until"))
        found = run(read_log(own_database(), asked.stream, since, until, not asked.no_text), asked)
    except (TidegateError, ModelError) as error:
        sys.exit(f"tidegate: {error}")
    if asked.json:
        sys.stdout.write(orjson.dumps(found).decode() + "\n")
    else:
        for table in backtests.tables(found):
            say_table(*table)
    sys.exit(1 if found["failed"] else 0)


if __name__ == "__main__":
    main()
