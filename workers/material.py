"""What a run knows: read once, the same whenever it is read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

import numpy as np
import psycopg

from models.recommender import Recommender
from models.timelines import Catalogue, Timeline
from tidegate.postgres import Database
from workers import reading
from workers.catalogues import Added, Source
from workers.profiles import profiled
from workers.reading import Draw, ReadHashes, Task

# The part of the window, by time, that the candidate does not see and the gate judges by.
HOLDOUT_SHARE = 0.2
HOLDOUT_EVENTS = 5_000


@dataclass(frozen=True)
class Material:
    """The window's users with their histories, the replay sample, the items that are new."""

    task: Task
    added: Added
    timelines: list[Timeline]  # targets: all that the parent has not learned
    replay: list[Timeline]
    draws: list[Draw]  # where the replay sample came from
    times: np.ndarray  # (n,) unix seconds of the window's own events, sorted
    boundary: float  # unix seconds: the gate judges by what is later
    read: dict[str, str]  # hashes of what was read, by name

    @property
    def catalogue(self) -> Catalogue:
        """Return the new items: all there are, where there is no parent."""
        return self.added.catalogue


def read_material(
    database: Database, connection: psycopg.Connection[Any], task: Task, live: Recommender | None, source: Source
) -> Material:
    """Read all that the run may know; the live model grows by the items that are new."""
    known = live.item_ids if live is not None else ()
    hashes = ReadHashes(task.first)
    items = source.items(connection, task, known)
    find = partial(source.find, items)
    found, times = reading.read_timelines(connection, task, find, hashes)
    draws = reading.draws(connection, task, seed=task.window_id) if live is not None else []
    replay = [t for drawn in draws for t in reading.read_draw(connection, task, drawn, find, hashes)]
    width = live.architecture.text_dimensions if live is not None else None
    added = source.added(connection, task, list(items.index)[len(known) :], width)
    if live is not None:
        live.append(added.catalogue)
    timelines = profiled(database, task, found, hashes)
    hashes.note("texts", *added.hashes)
    return Material(task, added, timelines, replay, draws, times, holdout_start(times, task.n), hashes.named())


def latest_part(times: np.ndarray, events: int) -> float:
    """Return the time at which the latest `events` of sorted `times` (n,) begin, in unix seconds; inf for none."""
    return float(times[max(0, len(times) - events)]) if events and len(times) else inf


def holdout_start(times: np.ndarray, n: int) -> float:
    """Return the time from which on the window's events are kept for the gate."""
    return latest_part(times, min(int(n * HOLDOUT_SHARE), HOLDOUT_EVENTS))
