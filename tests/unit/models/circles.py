"""Toy logs for methods of a backtest."""

import numpy as np

from models.backtest.log import EventLog, ItemTexts
from models.timelines import EVENT_TYPES
from tests.unit.models.worlds import HOUR, catalogue


def event_log(user: list[int], item: list[int], time: list[float], size: int, repeats: bool = True) -> EventLog:
    """Return purchases as a log, `size` items being there from the beginning."""
    order = np.argsort(np.asarray(time, dtype=np.float64), kind="stable")
    return EventLog(
        users=tuple(f"u{n}" for n in range(max(user) + 1)),
        user=np.asarray(user, dtype=np.int32)[order],
        item=np.asarray(item, dtype=np.int32)[order],
        type=np.full(len(order), EVENT_TYPES.index("purchase"), dtype=np.int8),
        time=np.asarray(time, dtype=np.float64)[order],
        value=np.full(len(order), np.nan, dtype=np.float32),
        catalogue=catalogue(size),
        about=ItemTexts(("",) * size, np.full(size, -1, dtype=np.int32), np.full(size, -np.inf)),
        repeats=repeats,
    )


def circle(users: int = 12, size: int = 10, length: int = 20, turn: int | None = None) -> EventLog:
    """Return users who walk around a circle of items, once an hour; from step `turn` on they walk backwards."""
    steps = np.arange(length)
    forth = np.where(steps < (length if turn is None else turn), 1, -1)
    place = np.cumsum(forth)
    start = np.random.default_rng(1).integers(size, size=users)
    item = (start[:, None] + place) % size
    return event_log(
        np.repeat(np.arange(users), length).tolist(), item.ravel().tolist(), np.tile(HOUR * steps, users).tolist(), size
    )
