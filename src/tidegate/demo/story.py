"""The demo's story: base period, first version, then the later weeks through SQL until nothing is left to learn.

Nothing here trains or cuts: rows are written with plain SQL, and everything else happens by itself in the
stack's own processes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psycopg

from tidegate.demo.journey import Journey
from tidegate.errors import TidegateError
from tidegate.queries import queries

STREAM = "default"
# Short enough for an audience: a first version from the latest part of the base period, one pass an increment.
SETTINGS = {"epochs": 1, "max_targets": 150_000}
QUICK_SETTINGS = SETTINGS | {"first_steps": 60}
# A step that takes longer than this has gone wrong: say so instead of waiting for ever.
PATIENCE = 240.0


@dataclass
class Scene:
    """What the audience sees: one line for each thing that happened, and the figures of now."""

    title: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


class Story:
    """Tell the story on one connection.

    `tick` is called while waiting; `prepared` returns when Feast's definitions are applied, which may go on meanwhile.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        journey: Journey,
        tick: Callable[[Scene], None],
        windows: int,
        prepared: Callable[[], object],
    ) -> None:
        self.connection = connection
        self.journey = journey
        self.tick = tick
        self.prepared = prepared
        self.scene = Scene()
        later = len(journey) - journey.base
        # So many windows in what is left of the year.
        self.threshold = max(1000, later // windows)

    def tell(self) -> dict[str, Any]:
        """Play all of it and return the summary."""
        household = self.protagonist()
        self.say("loading the catalogue and the base period by COPY")
        self.load_catalogue()
        self.set_stream()
        self.copy(slice(0, self.journey.base))
        self.prepared()
        self.say("training the first version on the base period")
        self.wait_until_idle()
        before = self.recommend(household)
        self.say("the later weeks arrive, day by day, through SQL")
        for day in self.journey.days():
            self.copy(day)
            self.tick(self.scene)
            self.wait_until_idle()
        self.say("the year is over")
        return self.summary() | {
            "household": household,
            "before": before,
            "after": self.recommend(household),
        }

    def say(self, title: str) -> None:
        """Begin the next chapter."""
        self.scene.title = title
        self.tick(self.scene)

    def protagonist(self) -> str:
        """Return a household that shops both in the base period and later, the median one by its purchases."""
        base = set(self.journey.households[: self.journey.base])
        names, counts = np.unique(self.journey.households[self.journey.base :], return_counts=True)
        known = [(int(count), str(name)) for name, count in zip(names, counts, strict=True) if name in base]
        return sorted(known)[len(known) // 2][1]

    def load_catalogue(self) -> None:
        """COPY the products into the catalogue."""
        with (
            self.connection.cursor() as cursor,
            cursor.copy(queries["copy_demo_items"]) as copy,
        ):
            for product in self.journey.products:
                copy.write_row(
                    (
                        product["item_id"],
                        product["title"],
                        product["category"],
                        json.dumps(product["attributes"]),
                    )
                )

    def set_stream(self) -> None:
        """Have the later weeks make so many windows, and keep the first version short."""
        self.connection.execute(
            queries["set_demo_stream"],
            {
                "stream": STREAM,
                "threshold": self.threshold,
                "settings": json.dumps(QUICK_SETTINGS if self.journey.quick else SETTINGS),
            },
        )

    def copy(self, part: slice) -> None:
        """COPY purchases into the events, one statement: what an application's own INSERT would do."""
        journey = self.journey
        times = np.datetime_as_string(journey.times[part], timezone="UTC")
        rows = zip(
            journey.households[part],
            journey.items[part],
            journey.values[part].tolist(),
            times,
            strict=True,
        )
        with (
            self.connection.cursor() as cursor,
            cursor.copy(queries["copy_demo_events"]) as copy,
        ):
            for index, (household, item, value, at) in enumerate(rows):
                copy.write_row((household, item, "purchase", value, at))
                if index % 50_000 == 49_999:
                    self.tick(self.scene)

    def wait_until_idle(self) -> None:
        """Wait until no window is unfinished and no stream is over its threshold."""
        deadline = time.monotonic() + PATIENCE
        while not self.idle():
            if time.monotonic() > deadline:
                raise TidegateError(
                    f"Nothing has finished for {PATIENCE:.0f} seconds.",
                    "See `tidegate status` and the log above.",
                )
            self.tick(self.scene)
            time.sleep(0.2)

    def idle(self) -> bool:
        """Tell whether all that could be learned has been."""
        row = self.connection.execute(queries["demo_idle"]).fetchone()
        return bool(row and row[0])

    def recommend(self, household: str) -> dict[str, Any]:
        """Return what the household is recommended now."""
        rows = self.connection.execute(queries["demo_recommend"], {"user": household}).fetchall()
        return {
            "version": rows[0][5] if rows else None,
            "items": [
                dict(
                    zip(
                        ("item_id", "title", "category", "score", "why"),
                        row[:5],
                        strict=True,
                    )
                )
                for row in rows
            ],
        }

    def summary(self) -> dict[str, Any]:
        """Return the figures of the whole story, read from the tables."""
        row = self.connection.execute(queries["demo_summary"]).fetchone()
        assert row is not None
        figures: dict[str, Any] = row[0]
        return figures
