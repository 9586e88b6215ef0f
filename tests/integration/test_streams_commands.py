"""Streams are made and changed by commands."""

from __future__ import annotations

import json
from typing import Any

import psycopg

from tests.support.processes import Command

RULES = (
    "select threshold, extract(epoch from max_age)::int, new_item_share, mix_drift, schedule,"
    " extract(epoch from min_interval)::int, budget_seconds, max_attempts, on_parked, repeats"
    " from learning.streams where stream = 'shop'"
)
EVERYTHING = (
    "--threshold 500 --max-age 60 --new-item-share 0.3 --mix-drift 0.2 --min-interval 90 --budget-seconds 600"
    " --max-attempts 5 --on-parked stop --no-repeats"
)
NOTHING = "--max-age 0 --new-item-share 0 --mix-drift 0 --min-interval 0 --budget-seconds 0"


def options(text: str, schedule: str) -> list[str]:
    """Return options as arguments, a schedule with its blanks among them."""
    return [*text.split(), "--schedule", schedule]


def test_a_stream_is_added_changed_and_listed(
    run: Command, refuse: Command, connection: psycopg.Connection[Any]
) -> None:
    run("streams", "add", "shop", *options(EVERYTHING, "0 3 * * *"))
    rules = (500, 60, 0.3, 0.2, "0 3 * * *", 90, 600, 5, "stop", False)
    assert connection.execute(RULES).fetchone() == rules
    run("streams", "set", "shop", "--threshold", "700")
    assert connection.execute(RULES).fetchone() == (700, *rules[1:])
    shown = run("streams", "list")
    for fact in ("700 events", "1 min of age", "30% new items", "a drift of 0.2", "0 3 * * *", "600 s an hour", "stop"):
        assert fact in shown
    [_, stream] = json.loads(run("streams", "list", "--json"))
    assert (stream["stream"], stream["min_interval_seconds"], stream["hold"]) == ("shop", 90, None)


def test_what_is_taken_away_is_gone(run: Command, connection: psycopg.Connection[Any]) -> None:
    run("streams", "add", "shop", *options(EVERYTHING, "0 3 * * *"))
    run("streams", "set", "shop", *options(NOTHING, ""), "--repeats")
    assert connection.execute(RULES).fetchone() == (500, None, None, None, None, None, None, 5, "stop", True)


def test_a_new_stream_has_the_defaults(run: Command, connection: psycopg.Connection[Any]) -> None:
    run("streams", "add", "shop")
    assert connection.execute(RULES).fetchone() == (10_000, *6 * [None], 3, "continue", True)


def test_mistakes_with_streams_are_told(refuse: Command) -> None:
    assert "exists" in refuse("streams", "add", "default")
    assert "nothing to change" in refuse("streams", "set", "default")
    assert "does not exist" in refuse("streams", "set", "nope", "--threshold", "7")
