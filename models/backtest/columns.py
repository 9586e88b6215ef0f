"""Columns as an event log: names numbered, events in order of time, items in order of birth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from models.backtest.log import EventLog, ItemTexts
from models.timelines import EVENT_TYPES, Catalogue

# An item without any text is a row of zeros; this many of them are what the packaged encoder would give.
WITHOUT_TEXT = 384
# A domain in which fewer events than this are repetitions is one in which nobody takes anything twice.
LEAST_REPEATS = 0.01

Embed = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Item:
    """Say what a data set tells of an item."""

    text: str = ""
    category: str = ""
    born: float = -inf  # unix seconds; -inf: it was there from the beginning


@dataclass(frozen=True)
class Columns:
    """Hold events as they were read, in any order."""

    user: np.ndarray  # (E,) str
    item: np.ndarray  # (E,) str
    time: np.ndarray  # (E,) float64, unix seconds
    type: np.ndarray  # (E,) int8, index into EVENT_TYPES
    value: np.ndarray  # (E,) float32, NaN where there is none
    items: Mapping[str, Item] = field(default_factory=dict)
    repeats: bool | None = None  # None: as the events say
    sessions: bool = False
    known_only: bool = False  # what nobody had taken before a window is not asked for in it


def all_of(event_type: str, size: int) -> np.ndarray:
    """Return the code of one event type (size,)."""
    return np.full(size, EVENT_TYPES.index(event_type), dtype=np.int8)


def as_log(columns: Columns, embed: Embed | None = None) -> EventLog:
    """Return the columns as a log. Without `embed`, items have no text.

    Where nothing is taken twice, only the first time counts. An item that is not described was there from the
    beginning: to let it appear with its first event would tell a method that it is about to be taken.
    """
    order = np.argsort(columns.time, kind="stable")
    users, user = np.unique(columns.user[order], return_inverse=True)
    names, item = numbered_items(columns, order)
    first = first_times(user, item)
    repeats = columns.repeats if columns.repeats is not None else bool(np.mean(~first) > LEAST_REPEATS)
    kept = slice(None) if repeats else first
    about = described([columns.items.get(name, Item()) for name in names])
    text = embed(about.texts) if embed and any(about.texts) else np.zeros((len(names), WITHOUT_TEXT), dtype=np.float32)
    return EventLog(
        users=tuple(users.tolist()),
        user=user[kept].astype(np.int32),
        item=item[kept].astype(np.int32),
        type=columns.type[order][kept].astype(np.int8),
        time=columns.time[order][kept].astype(np.float64),
        value=columns.value[order][kept].astype(np.float32),
        catalogue=Catalogue(tuple(names), text),
        about=about,
        repeats=repeats,
        sessions=columns.sessions,
        known_only=columns.known_only,
    )


def numbered_items(columns: Columns, order: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return the names of the items in order of birth, and the item of each event in `order`."""
    seen, item = np.unique(columns.item[order], return_inverse=True)
    names = sorted({*seen.tolist(), *columns.items})
    names.sort(key=lambda name: columns.items[name].born if name in columns.items else -inf)
    number = {name: n for n, name in enumerate(names)}
    return names, np.array([number[name] for name in seen.tolist()], dtype=np.int64)[item]


def first_times(user: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Tell which events (E,) are the first of their (user, item) pair."""
    _, first = np.unique(user.astype(np.int64) * (int(item.max(initial=0)) + 1) + item, return_index=True)
    mask = np.zeros(len(user), dtype=bool)
    mask[first] = True
    return mask


def described(items: Sequence[Item]) -> ItemTexts:
    """Return the descriptions as columns; categories are numbered in the order of their names."""
    categories = {name: n for n, name in enumerate(sorted({item.category for item in items if item.category}))}
    return ItemTexts(
        texts=tuple(item.text for item in items),
        category=np.array([categories.get(item.category, -1) for item in items], dtype=np.int32),
        born=np.array([item.born for item in items], dtype=np.float64),
    )
