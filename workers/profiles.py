"""Point-in-time features for training, through Feast.

What the model is told of a user at a moment is what was known strictly before it: training on anything later would be a
leak that no metric on the same data shows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.timelines import PROFILE, Timeline, target_moments
from tidegate.moments import profiles_before
from tidegate.postgres import Database
from workers.reading import ReadHashes, Task

# Moments that get features, the latest ones; the others count as average.
PROFILED_MOMENTS = 20_000


def read_profiles(database: Database, task: Task, users: list[str], times: np.ndarray) -> np.ndarray:
    """Return (n, len(PROFILE)) features of `users` (n,) as they were before `times` (n,) unix seconds; NaN unknown."""
    return profiles_before(database, users, times, task.position, task.excluded, task.service).astype(np.float32)


def profiled(database: Database, task: Task, timelines: list[Timeline], hashes: ReadHashes) -> list[Timeline]:
    """Return the timelines with features at their latest target moments."""
    times = [t.times[target_moments(t)] for t in timelines]
    flat = np.concatenate([np.zeros(0), *times])
    users = np.repeat(np.array([t.user for t in timelines], dtype=object), [len(t) for t in times])
    chosen = np.sort(np.argsort(-flat, kind="stable")[:PROFILED_MOMENTS])
    values = np.full((len(flat), len(PROFILE)), np.nan, dtype=np.float32)
    values[chosen] = read_profiles(database, task, users[chosen].tolist(), flat[chosen])
    hashes.note("features", values)
    parts = np.split(values, np.cumsum([len(t) for t in times])[:-1])
    return [replace(t, profiles=part) for t, part in zip(timelines, parts, strict=True)]
