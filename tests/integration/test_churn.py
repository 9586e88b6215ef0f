"""Tables that are written and emptied all the time stay as small as they were."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.conftest import open_folder
from tests.support.churn import TABLES, Churn, Sizes
from tidegate import migrate
from tidegate.postgres import Database, EmbeddedServer
from tidegate.postgres.profiles import TEST

ROUNDS = 10  # of 20 thousand events
# A table breathes: autovacuum comes when some thousand rows are dead, and gives an empty end back. Without it, ten
# rounds leave twice as much as five, megabytes of it.
FACTOR, SLACK = 1.5, 256 * 1024


@pytest.fixture
def churn() -> Iterator[Churn]:
    """Traffic on a server whose autovacuum looks every second instead of every fifteen: so does the traffic run."""
    home = open_folder()
    server = EmbeddedServer(home, {**TEST, "autovacuum_naptime": "1s"})
    with Database(server.join(), server) as database:
        migrate.upgrade(database)
        yield Churn(database)
    shutil.rmtree((home / "postgres").resolve(), ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_tables_stay_flat_over_200_thousand_events(churn: Churn) -> None:
    sizes = [churn.round() for _ in range(ROUNDS)]
    show(sizes)
    for table in TABLES:
        early, late = (max(round_[table] for round_ in part) for part in (sizes[:5], sizes[-3:]))
        assert late <= early * FACTOR + SLACK, f"{table} grew from {early:,} to {late:,} bytes"
    # A forgotten transaction makes them grow, and when it ends they grow no further.
    with churn.held_back():
        held = churn.round_held()
    after = [churn.round() for _ in range(2)]
    show([held, *after])
    for table in TABLES:
        assert after[-1][table] <= 2 * held[table] + SLACK, table


def show(sizes: list[Sizes]) -> None:
    """Print the sizes, a table a line; `pytest -s` shows them."""
    for table in TABLES:
        print(f"{table:<30}", *(f"{round_[table] // 1024:>7} kB" for round_ in sizes))  # noqa: T201
