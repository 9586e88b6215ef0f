"""Anybody's events as files: `user, item, time` and optionally `type, value`; items as `id, text` and `category, born`.

CSV, TSV, JSON lines or Parquet, as tidegate.readers reads them. A column `session` in the place of `user` makes it
session data. Times are unix seconds or ISO 8601; without a zone they are UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np

from models.backtest.columns import Columns, Item
from models.timelines import EVENT_TYPES
from tidegate.errors import IngestError
from tidegate.readers import EXTENSIONS, Unreadable, open_source

# What a column may be called; the second is tidegate's own name.
NAMES = {
    "user": ("user", "user_id"),
    "session": ("session", "session_id"),
    "item": ("item", "item_id"),
    "time": ("time", "occurred_at", "timestamp"),
    "type": ("type", "event_type"),
    "value": ("value",),
    "id": ("id", "item_id"),
    "text": ("text", "title"),
    "category": ("category",),
    "born": ("born", "created_at"),
}
DEFAULT_TYPE = "click"


def read(events: Path, items: Path | None = None, repeats: bool | None = None) -> Columns:
    """Return the events of a file, with what another one says of the items. Raises IngestError."""
    columns = open_source(events).columns()
    sessions = find(columns, "user") is None
    named = {name: find(columns, name) for name in ("session" if sessions else "user", "item", "time", "type", "value")}
    who = named.pop("session" if sessions else "user")
    if missing := [name for name in ("item", "time") if named[name] is None] + ([] if who else ["user"]):
        raise IngestError(
            f"{events.name} has no column {', '.join(missing)}; it has {', '.join(columns)}.",
            "Name the columns user (or session), item, time, and optionally type and value.",
        )
    rows = list(good_rows(events))
    return Columns(
        user=np.array([str(row[who]) for row in rows]),
        item=np.array([str(row[named["item"]]) for row in rows]),
        time=np.array([moment(row[named["time"]], events) for row in rows], dtype=np.float64),
        type=types(rows, named["type"], events),
        value=np.array([number(row.get(named["value"])) for row in rows], dtype=np.float32),
        items=read_items(items) if items else {},
        repeats=True if sessions else repeats,
        sessions=sessions,
    )


def read_items(path: Path) -> dict[str, Item]:
    """Return what a file says of the items. Raises IngestError."""
    columns = open_source(path).columns()
    named = {name: find(columns, name) for name in ("id", "text", "category", "born")}
    if named["id"] is None:
        raise IngestError(f"{path.name} has no column id; it has {', '.join(columns)}.", "Name it id.")
    return {
        str(row[named["id"]]): Item(
            str(row.get(named["text"]) or ""),
            str(row.get(named["category"]) or ""),
            moment(row[named["born"]], path) if row.get(named["born"]) else -inf,
        )
        for row in good_rows(path)
    }


def find(columns: list[str], name: str) -> str | None:
    """Return the column that has one of the names of `name`."""
    return next((column for column in NAMES[name] if column in columns), None)


def good_rows(path: Path) -> Iterator[Mapping[Any, Any]]:
    """Yield the rows of a file. Raises IngestError at a line that is none: a figure from half a file would mislead."""
    for number_, row in enumerate(open_source(path).rows(), start=1):
        if isinstance(row, Unreadable):
            raise IngestError(f"{path.name}, row {number_}: {row.reason}.", "Mend or remove the line.")
        yield row


def types(rows: list[Mapping[Any, Any]], column: str | None, path: Path) -> np.ndarray:
    """Return the codes (E,) of the event types; what is not said is a click. Raises IngestError."""
    said = [str(row[column]) if column and row[column] else DEFAULT_TYPE for row in rows]
    if strange := set(said) - set(EVENT_TYPES):
        raise IngestError(
            f"{path.name} has events of type {', '.join(sorted(strange)[:3])}.", f"Types are {', '.join(EVENT_TYPES)}."
        )
    return np.array([EVENT_TYPES.index(name) for name in said], dtype=np.int8)


def moment(value: Any, path: Path) -> float:
    """Return a time as unix seconds. Raises IngestError."""
    if isinstance(value, datetime):
        return in_utc(value).timestamp()
    try:
        return float(value)
    except (TypeError, ValueError):
        pass
    try:
        return in_utc(datetime.fromisoformat(str(value))).timestamp()
    except ValueError:
        raise IngestError(f"{path.name}: {value!r} is no time.", "Write unix seconds or ISO 8601.") from None


def in_utc(value: datetime) -> datetime:
    """Return a time with a zone."""
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def number(value: Any) -> float:
    """Return a number; NaN where there is none."""
    return nan if value in (None, "") else float(value)


def found_in(folder: Path, name: str) -> Path | None:
    """Return the file of a folder that is called `name`, whatever its format."""
    return next((file for file in sorted(folder.glob(f"{name}.*")) if file.suffix in (*EXTENSIONS, ".gz")), None)
