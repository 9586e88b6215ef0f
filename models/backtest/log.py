"""What happened, in order of time, and to which items.

A method is handed the log up to a moment and nothing later: what it cannot see it cannot leak. Items are numbered in
the order in which they came into being, so that an earlier log's catalogue is the beginning of a later one's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import numpy as np

from models.errors import TimelineError
from models.timelines import Catalogue, Timeline


@dataclass(frozen=True)
class ItemTexts:
    """Say what is known of the N items besides their embeddings."""

    texts: tuple[str, ...]  # (N,), empty where an item has no text
    category: np.ndarray  # (N,) int32, -1 where an item has none
    born: np.ndarray  # (N,) float64, unix seconds, never decreasing; -inf: it was there from the beginning

    def __getitem__(self, chosen: slice) -> ItemTexts:
        """Keep a stretch of the items."""
        return ItemTexts(self.texts[chosen], self.category[chosen], self.born[chosen])


@dataclass(frozen=True)
class EventLog:
    """Hold events in order of time, and the items alive at their end."""

    users: tuple[str, ...]  # all names; in session data a session is a user
    user: np.ndarray  # (E,) int32, index into users
    item: np.ndarray  # (E,) int32, index into the catalogue
    type: np.ndarray  # (E,) int8, index into EVENT_TYPES
    time: np.ndarray  # (E,) float64, unix seconds, never decreasing
    value: np.ndarray  # (E,) float32, NaN where there is none
    catalogue: Catalogue
    about: ItemTexts
    repeats: bool = True  # False: what a user took is never taken again, and leaves the race
    sessions: bool = False  # True: a timeline is one visit, and nothing is known of who made it
    known_only: bool = False  # True: what nobody had taken before a window is not asked for in it

    def __post_init__(self) -> None:
        if np.any(np.diff(self.time) < 0):
            raise TimelineError("the events of a log are not in order of time; sort them first")
        if np.any(self.about.born[1:] < self.about.born[:-1]):
            raise TimelineError("the items of a log are not in order of birth; number them by it")

    def __len__(self) -> int:
        return len(self.user)

    def before(self, stop: int) -> EventLog:
        """Return the first `stop` events, with the items alive when the last of them happened."""
        last = float(self.time[stop - 1]) if stop else -inf
        return replace(
            self,
            user=self.user[:stop],
            item=self.item[:stop],
            type=self.type[:stop],
            time=self.time[:stop],
            value=self.value[:stop],
            catalogue=self.catalogue_at(last),
            about=self.about[: self.alive_at(last)],
        )

    def alive_at(self, time: float) -> int:
        """Return how many items exist at `time` (unix seconds); those are the first ones of the catalogue."""
        return int(np.searchsorted(self.about.born, time, side="right"))

    def catalogue_at(self, time: float) -> Catalogue:
        """Return the items that exist at `time` (unix seconds)."""
        alive = self.alive_at(time)
        return Catalogue(self.catalogue.item_ids[:alive], self.catalogue.text[:alive])

    def timelines(self, start: int = 0) -> list[Timeline]:
        """Return the whole timeline of each user with events at positions from `start` on; those are the targets."""
        wanted = np.zeros(len(self.users), dtype=bool)
        wanted[self.user[start:]] = True
        chosen = np.flatnonzero(wanted[self.user])
        order = chosen[np.argsort(self.user[chosen], kind="stable")]
        ends = np.flatnonzero(np.diff(self.user[order], append=-1)) + 1
        return [self._timeline(part, start) for part in np.split(order, ends[:-1]) if len(part)]

    def _timeline(self, part: np.ndarray, start: int) -> Timeline:
        return Timeline(
            user=self.users[self.user[part[0]]],
            items=self.item[part],
            types=self.type[part],
            times=self.time[part],
            values=self.value[part],
            learned=part < start,
        )
