"""Parts of the events that a mean hides: new and rare items, new and returning users.

What an event belongs to is decided by what was known when its window began, for that is what a version had learned.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.backtest.log import EventLog
from models.backtest.prequential import Window

COLD = 5  # an item with fewer events than this is cold
QUIET = 2  # windows of silence after which a user counts as inactive
# Shares of all earlier events that the most popular items, and those after them, have together.
HEAD, TORSO = 0.5, 0.8

NAMES = ("cold-items", "new-users", "inactive-users", "head", "torso", "tail")


def segments(log: EventLog, windows: Sequence[Window]) -> dict[str, np.ndarray]:
    """Return which events (E,) belong to each segment; events of the base belong to none.

    The tail holds the items that nobody has taken yet, too. Of a session's visitor nothing is known, so session data
    has no segments of users.
    """
    masks = {name: np.zeros(len(log), dtype=bool) for name in NAMES}
    for window in windows:
        for name, mask in _of_window(log, window).items():
            masks[name][window.start : window.stop] = mask
    return {name: mask for name, mask in masks.items() if not (log.sessions and name.endswith("users"))}


def _of_window(log: EventLog, window: Window) -> dict[str, np.ndarray]:
    """Return which events of the window belong to each segment."""
    counts = np.bincount(log.item[: window.start], minlength=len(log.catalogue))
    last = np.full(len(log.users), -np.inf)
    last[log.user[: window.start]] = log.time[: window.start]  # the last of several assignments stays
    item, user = log.item[window.start : window.stop], log.user[window.start : window.stop]
    seen = last[user]
    share = popular_share(counts)[item]
    return {
        "cold-items": counts[item] < COLD,
        "new-users": np.isneginf(seen),
        "inactive-users": np.isfinite(seen) & (seen < window.since - QUIET * (window.until - window.since)),
        "head": share < HEAD,
        "torso": (share >= HEAD) & (share < TORSO),
        "tail": share >= TORSO,
    }


def popular_share(counts: np.ndarray) -> np.ndarray:
    """Return, for each item (N,), the share of all events that more popular items have; 1 where it has none itself."""
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    share = np.ones(len(counts))
    share[order] = before / max(1, counts.sum())
    share[counts == 0] = 1.0
    return share
