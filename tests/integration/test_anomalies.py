"""Unusual windows are marked, ordinary ones are not, and the stream's policy decides what becomes of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from tests.support.activity import fold
from tests.support.learning import one
from tests.support.processes import tidegate
from tidegate.postgres import Database
from workers.windows import materialise

START = datetime(2026, 1, 1, tzinfo=UTC)
COPY = "copy ingest.behaviour_events (user_id, item_id, event_type, value, occurred_at) from stdin"
TYPES = ("view", "click", "cart", "purchase", "rating")

Row = tuple[str, str, str, float | None, datetime]


@dataclass
class Town:
    """Three hundred people who shop at all hours, a few new ones every day."""

    connection: psycopg.Connection[Any]
    seed: int = 0
    n: int = 1000
    hours: float = 24.0  # that a window of n events takes
    clock: float = 0.0  # hours since START
    chance: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.chance = np.random.default_rng(self.seed)

    def events(self, rate: float = 1.0) -> list[Row]:
        """Return a window of ordinary events; `rate` says how much faster than usual they come."""
        span = self.hours / rate * self.chance.uniform(0.9, 1.1)
        times = self.clock + np.sort(self.chance.uniform(0, span, self.n))
        self.clock += span
        return [self.event(hour) for hour in times]

    def event(self, hour: float) -> Row:
        """Return one event."""
        newcomer = self.chance.random() < 0.03
        user = f"user-{10_000 + int(self.chance.integers(1e6)) if newcomer else int(300 * self.chance.power(2))}"
        item = f"item-{int(200 * self.chance.power(2))}"
        kind = str(self.chance.choice(TYPES, p=(0.6, 0.15, 0.1, 0.1, 0.05)))
        values = {"purchase": float(self.chance.lognormal(3, 0.7)), "rating": float(self.chance.integers(1, 6))}
        return user, item, kind, values.get(kind), START + timedelta(hours=hour)

    def cut(self, rows: Iterable[Row]) -> int:
        """Insert events in one statement and cut them; return the window."""
        with self.connection.cursor() as cursor, cursor.copy(COPY) as copy:
            for row in rows:
                copy.write_row(row)
        return int(one(self.connection, "select learning.cut_window('default', null, true)"))

    def window(self, rows: Iterable[Row]) -> int:
        """Cut events and materialise them; return the window."""
        window = self.cut(rows)
        self.connection.execute("select features.materialise_window(%s)", [window])
        return window

    def ordinary(self, n: int) -> list[int]:
        """Make ordinary windows."""
        return [self.window(self.events()) for _ in range(n)]

    def suspicions(self, window: int) -> dict[str, float]:
        """Return the suspicious figures of a window, with their scores."""
        rows = self.connection.execute(
            "select figure, z from learning.window_figures where window_id = %s and suspicious", [window]
        )
        return dict(rows.fetchall())


@pytest.fixture
def town(connection: psycopg.Connection[Any]) -> Town:
    """A town with ten ordinary windows behind it."""
    connection.execute("update learning.streams set threshold = 1000000")
    made = Town(connection)
    made.ordinary(10)
    return made


def bot_flood(town: Town) -> list[Row]:
    """Let one visitor be half of everybody."""
    return [("bot", *row[1:]) if number % 2 else row for number, row in enumerate(town.events())]


def broken_prices(town: Town) -> list[Row]:
    """Let a feed write cents where it wrote whole coins."""
    return [(*row[:3], row[3] and row[3] * 100, row[4]) if row[2] == "purchase" else row for row in town.events()]


def other_ids(town: Town) -> list[Row]:
    """Let a migration of the shop name all items anew."""
    return [(row[0], f"sku-{row[1]}", *row[2:]) for row in town.events()]


def only_views(town: Town) -> list[Row]:
    """Let the tracking of all but views break."""
    return [(row[0], row[1], "view", None, row[4]) for row in town.events()]


def sent_twice(town: Town) -> list[Row]:
    """Let a client send everything again."""
    rows = town.events()
    return rows[: len(rows) // 2] * 2


def backfill(town: Town) -> list[Row]:
    """Let a year of a neighbour's events arrive in the place of a day's."""
    return town.events(rate=40)


@pytest.mark.parametrize(
    ("change", "figure"),
    [
        (bot_flood, "largest_user"),
        (broken_prices, "amount_median"),
        (other_ids, "new_items"),
        (only_views, "mix_distance"),
        (sent_twice, "duplicates"),
        (backfill, "log_rate"),
    ],
)
def test_what_is_broken_is_suspicious_by_its_own_figure(
    town: Town, change: Callable[[Town], list[Row]], figure: str
) -> None:
    window = town.window(change(town))
    assert figure in town.suspicions(window)
    assert one(town.connection, "select suspicious from learning.windows where window_id = %s", [window])
    assert not town.suspicions(town.window(town.events())), "and the next one is ordinary again"


@pytest.mark.parametrize("seed", range(6))
def test_ordinary_windows_are_not_suspicious(connection: psycopg.Connection[Any], seed: int) -> None:
    town = Town(connection, seed, n=400)
    town.ordinary(30)
    assert one(connection, "select count(*) from learning.window_figures where z is not null") >= 8 * 22
    assert one(connection, "select count(*) from learning.windows where suspicious") == 0


def test_a_season_that_doubles_the_rate_is_ordinary(town: Town) -> None:
    for _ in range(4):
        window = town.window(town.events(rate=2.0))
        assert town.suspicions(window) == {}


def test_less_than_eight_windows_judge_nothing(connection: psycopg.Connection[Any]) -> None:
    town = Town(connection)
    town.ordinary(7)
    town.window(bot_flood(town))
    assert one(connection, "select count(z) from learning.window_figures") == 0


def test_eight_suspicious_windows_in_a_row_are_a_new_habit(town: Town) -> None:
    found = [bool(town.suspicions(town.window(only_views(town)))) for _ in range(10)]
    assert found == [True] * 8 + [False] * 2
    assert town.suspicions(town.window(town.events())), "now the old mix is what is unusual"


def test_by_default_a_suspicious_window_trains(town: Town) -> None:
    window = town.window(bot_flood(town))
    state = one(town.connection, "select state from learning.windows where window_id = %s", [window])
    assert state == "ready"


def test_a_stream_that_parks_keeps_a_suspicious_window_out_of_everything_until_it_is_retried(town: Town) -> None:
    town.connection.execute("update learning.streams set suspicion = 'park'")
    window = town.window(bot_flood(town))
    state, reason, position = town.connection.execute(
        "select state, reason, position from learning.windows where window_id = %s", [window]
    ).fetchone()  # type: ignore[misc]
    assert (state, position) == ("parked", None)
    assert reason.startswith("suspicious: ")
    assert "largest_user is 0.5" in reason
    assert one(town.connection, "select count(*) from features.user_activity_history where user_id = 'bot'") == 0
    town.connection.execute("select learning.retry_window(%s)", [window])
    town.connection.execute("select features.materialise_window(%s)", [window])
    state, suspicious = town.connection.execute(
        "select state, suspicious from learning.windows where window_id = %s", [window]
    ).fetchone()  # type: ignore[misc]
    assert (state, suspicious) == ("ready", True), "it trains, and the gate is tightened"


def test_a_worker_hands_nothing_of_a_window_on_that_was_parked_as_suspicious(town: Town) -> None:
    town.connection.execute("update learning.streams set suspicion = 'park'")
    assert not materialise(town.connection, town.cut(bot_flood(town)), attempt=1)
    assert materialise(town.connection, town.cut(town.events()), attempt=1)


def test_figures_look_users_up_and_do_not_read_their_history(town: Town) -> None:
    scans = "select sum(seq_scan) from pg_stat_all_tables where relname ~ '(user|item)_activity_history'"
    town.connection.execute("select pg_stat_force_next_flush()")
    before = one(town.connection, scans)
    one(
        town.connection, "select learning.measure_events(stream, ids, t0, t1) from learning.windows where window_id = 9"
    )
    town.connection.execute("select pg_stat_force_next_flush()")
    assert one(town.connection, scans) == before


def test_a_large_batch_is_measured_by_itself_and_its_window_says_so(connection: psycopg.Connection[Any]) -> None:
    town = Town(connection)

    def write(rows: list[Row]) -> None:
        with connection.cursor() as cursor, cursor.copy(COPY) as copy:
            for row in rows:
                copy.write_row(row)
        fold(connection)

    for _ in range(10):
        write(town.events())
    connection.execute("select learning.cut_window('default', null, true)")
    connection.execute("select features.materialise_window(1)")
    assert one(connection, "select count(distinct lo) from ingest.batch_figures") == 10
    assert one(connection, "select count(*) from ingest.batch_figures where suspicious") == 0
    for _ in range(4):
        write(town.events())
    write(bot_flood(town))
    found = connection.execute("select count(distinct lo), max(z) > 8 from ingest.batch_figures where suspicious")
    assert found.fetchone() == (1, True)
    window = town.window(town.events())
    assert town.suspicions(window) == {"suspicious_batches": None}
    value = one(connection, "select value from learning.window_figures where figure = 'suspicious_batches'")
    assert value == pytest.approx(1 / 6)


def test_two_keepers_measure_a_batch_once(connection: psycopg.Connection[Any], database: Database) -> None:
    town = Town(connection)
    with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        for row in town.events():
            copy.write_row(row)
    with database.connect(autocommit=True) as other, other.transaction():
        other.execute("set transaction isolation level repeatable read")
        other.execute("select 1 from features.unfolded_batches")  # its snapshot is older than the first one's commit
        with connection.transaction():
            assert one(connection, "select ingest.note_batches()") == 1
            with database.connect(autocommit=True) as third:
                assert one(third, "select ingest.note_batches()") == 0, "the lock is held"
        with pytest.raises(psycopg.errors.SerializationFailure), other.transaction():
            other.execute("select ingest.note_batches()")


def test_the_policy_is_set_on_the_command_line(connection: psycopg.Connection[Any], database: Database) -> None:
    environment = os.environ | {"TIDEGATE_DATABASE_URL": database.conninfo}
    said = tidegate("streams", "set", "default", "--suspicion", "park", "--suspicion-z", "10", environment=environment)
    assert said.returncode == 0, said.stderr
    policy = connection.execute("select suspicion, suspicion_z from learning.streams").fetchone()
    assert policy == ("park", 10.0)
    assert tidegate("streams", "add", "other", environment=environment).returncode == 0
    assert one(connection, "select suspicion from learning.streams where stream = 'other'") == "tighten"
