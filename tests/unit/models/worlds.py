"""Toy worlds with an obvious answer."""

from collections.abc import Sequence

import numpy as np

from models.encoder import Architecture
from models.recommender import Recommender
from models.timelines import EVENT_TYPES, Catalogue, Timeline
from models.training import FitSettings

HOUR, DAY = 3_600.0, 86_400.0
SMALL = Architecture(text_dimensions=8, whitened_dimensions=8, dimensions=16, dropout=0.1)
# Worlds of a few hundred events: many passes, large steps.
EAGER = FitSettings(first_epochs=12, first_steps=0, epochs=3, first_rate=1e-2, rate=3e-3, chunks=8)
QUICK = FitSettings(first_epochs=1, first_steps=0, epochs=1, chunks=8, batch_targets=0, first_patience=0)


def timeline(
    items: Sequence[int],
    times: Sequence[float],
    user: str = "u",
    learn_from: float = -np.inf,
    learn_until: float = np.inf,
    profiles: np.ndarray | None = None,
) -> Timeline:
    """Return a timeline of purchases."""
    return Timeline(
        user,
        np.asarray(items, dtype=np.int64),
        np.full(len(items), EVENT_TYPES.index("purchase"), dtype=np.int8),
        np.asarray(times, dtype=np.float64),
        np.full(len(items), np.nan, dtype=np.float32),
        learn_from,
        learn_until,
        profiles,
    )


def catalogue(size: int, text: int = SMALL.text_dimensions, seed: int = 0) -> Catalogue:
    """Return items with random texts."""
    rows = np.random.default_rng(seed).normal(size=(size, text)).astype(np.float32)
    return Catalogue(tuple(f"item-{i}" for i in range(size)), rows)


def recommender(size: int, seed: int = 0) -> Recommender:
    """Return a small model that has learned nothing."""
    return Recommender(catalogue(size), SMALL, seed)


def cycle(users: int, size: int, length: int, since: float = -np.inf) -> list[Timeline]:
    """Return users who walk around a circle of items, each from a place of his own: after i comes i + 1."""
    starts = np.random.default_rng(1).integers(size, size=users)
    return [
        timeline((start + np.arange(length)) % size, HOUR * np.arange(length), f"u{n}", learn_from=since)
        for n, start in enumerate(starts)
    ]


def habits(users: int, size: int, baskets: int, seed: int = 2) -> list[Timeline]:
    """Return users who buy the same three items of their own every day, and a random one."""
    random = np.random.default_rng(seed)
    lines = []
    for n in range(users):
        own = random.choice(size, 3, replace=False)
        items = np.concatenate([[*own, random.integers(size)] for _ in range(baskets)])
        lines.append(timeline(items, DAY * np.repeat(np.arange(baskets), 4), f"u{n}"))
    return lines


def explorers(users: int, size: int, length: int, seed: int = 3) -> list[Timeline]:
    """Return users who never take an item twice."""
    random = np.random.default_rng(seed)
    return [
        timeline(random.choice(size, length, replace=False), HOUR * np.arange(length), f"u{n}") for n in range(users)
    ]


def random_timelines(users: int, size: int, length: int, seed: int = 4) -> list[Timeline]:
    """Return users without any pattern, in baskets of one to four items."""
    random = np.random.default_rng(seed)
    return [
        timeline(random.integers(size, size=length), HOUR * np.sort(random.integers(length // 2, size=length)), f"u{n}")
        for n in range(users)
    ]
