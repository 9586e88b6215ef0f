"""A small shop whose visitors keep to their shelf, and the trainer that learns it in this process."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import psycopg

from tests.support.learning import one
from tidegate.windows import claim
from workers.increment import Learner

FRUITS = ("apple", "pear", "plum", "cherry", "grape", "melon", "fig", "kiwi", "lemon", "lime")
TOOLS = ("hammer", "saw", "drill", "wrench", "chisel", "plane", "file", "clamp", "level", "axe")
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
COPY = "copy ingest.behaviour_events (user_id, item_id, event_type, value, occurred_at) from stdin"
QUICK = '{"first_epochs": 1, "first_steps": 10, "epochs": 1}'


@dataclass
class Shop:
    """A stream with windows that are cut by hand and trained here."""

    connection: psycopg.Connection[Any]
    learner: Learner
    users: int = 40
    day: int = 0
    extra: list[str] = field(default_factory=list)  # items of both shelves

    def stock(self) -> None:
        """Fill the catalogue and make fits short."""
        with self.connection.cursor() as cursor:
            cursor.executemany(
                "insert into catalogue.items (item_id, title, category) values (%s, %s, %s)",
                [(name, name, "fruit") for name in FRUITS] + [(name, name, "tool") for name in TOOLS],
            )
        self.connection.execute("update learning.streams set settings = %s, threshold = 1000000", [QUICK])

    def sell(self, days: int) -> None:
        """Insert some days of purchases."""
        chance = np.random.default_rng(self.day)
        self.insert(row for day in range(self.day, self.day + days) for row in self.purchases(day, chance))
        self.day += days

    def purchases(self, day: int, chance: np.random.Generator) -> Iterable[tuple[Any, ...]]:
        """Return what each user takes on a day: three items of the user's own shelf."""
        for user in range(self.users):
            shelf = [*(FRUITS if user % 2 == 0 else TOOLS), *self.extra]
            at = START + timedelta(days=day, minutes=user)
            for item in chance.choice(shelf, 3, replace=False):
                yield f"user-{user}", str(item), "purchase", float(chance.uniform(1, 9)), at

    def insert(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Insert events in one statement."""
        with self.connection.cursor() as cursor, cursor.copy(COPY) as copy:
            for row in rows:
                copy.write_row(row)

    def cut(self) -> int:
        """Cut a window of all that waits and materialise it; return its id."""
        window = one(self.connection, "select learning.cut_window('default', null, true)")
        self.connection.execute("select features.materialise_window(%s)", [window])
        return int(window)

    def train(self) -> int:
        """Train the next window; return the version."""
        run = claim(self.connection, "default", "a test", timedelta(minutes=5))
        assert run is not None
        return int(self.learner.train(run)["version_id"])
