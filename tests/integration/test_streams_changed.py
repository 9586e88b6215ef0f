"""Windows that are cut because what waits is new in kind."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.support.learning import add_items, deploy_version, one

EVENTS = (
    "insert into ingest.behaviour_events (stream, user_id, item_id, event_type)"
    " select %s, 'user-' || n %% 7, %s, %s from generate_series(1, %s) n"
)
FIGURES = "select sampled, round(new_item_share::numeric, 3)::float8, round(mix_drift::numeric, 3)::float8"
VECTORS = {"tea": [1.0, 0.0]}
Connection = psycopg.Connection[Any]


def write(connection: Connection, n: int, item: str = "tea", kind: str = "view", stream: str = "default") -> None:
    """Insert n events."""
    connection.execute(EVENTS, [stream, item, kind, n])


def cut(connection: Connection) -> int:
    """Cut a window by hand."""
    return int(one(connection, "select learning.cut_window('default', null, true)"))


def figures(connection: Connection) -> Any:
    """Return what is said of the waiting events."""
    return connection.execute(f"{FIGURES} from learning.waiting_figures('default')".encode()).fetchone()


def causes(connection: Connection) -> list[str]:
    """Cut what has changed; return the causes of all windows that were cut so."""
    connection.execute("select learning.cut_changed()")
    rows = connection.execute("select cause from learning.windows where cause <> 'hand' order by window_id")
    return [cause for (cause,) in rows.fetchall()]


def test_the_share_of_new_items_is_of_those_that_neither_the_live_version_nor_the_last_window_knows(
    connection: Connection,
) -> None:
    add_items(connection, "tea", "late")
    deploy_version(connection, VECTORS)
    connection.execute("update learning.windows set cut_at = now() - interval '1 minute'")
    connection.execute("update catalogue.items set created_at = now() - interval '2 minutes' where item_id = 'late'")
    write(connection, 300, "tea")
    write(connection, 100, "late")  # it was there when the last window was cut
    write(connection, 200, "fresh")
    assert figures(connection)[:2] == (600, 0.333)


def test_without_a_live_version_no_item_is_new(connection: Connection) -> None:
    write(connection, 600)
    assert figures(connection) == (600, None, None)


def test_the_drift_of_the_mix_is_the_total_variation_distance_to_the_last_window(connection: Connection) -> None:
    write(connection, 600, kind="purchase")
    cut(connection)
    write(connection, 500, kind="view")
    write(connection, 500, kind="click")
    cut(connection)
    write(connection, 500, kind="view")
    write(connection, 250, kind="click")
    write(connection, 250, kind="cart")
    assert figures(connection)[2] == 0.25


def test_small_windows_are_compared_with_several(connection: Connection) -> None:
    for kind in ("view", "view", "click", "click"):
        write(connection, 250, kind=kind)
        cut(connection)
    write(connection, 500, kind="click")
    assert figures(connection)[2] == 0.0  # the last two windows are enough


def test_fewer_than_500_waiting_events_say_nothing(connection: Connection) -> None:
    write(connection, 499)
    assert figures(connection) is None


def test_only_the_newest_2000_events_are_looked_at(connection: Connection) -> None:
    write(connection, 3_000, kind="view")
    write(connection, 500, kind="view", stream="default")
    cut(connection)
    write(connection, 3_000, kind="view")
    write(connection, 2_000, kind="click")
    assert figures(connection) == (2_000, None, 1.0)


@pytest.mark.parametrize(("trigger", "cause"), [("new_item_share", "new_items"), ("mix_drift", "mix")])
def test_a_change_cuts_a_window_once(connection: Connection, trigger: str, cause: str) -> None:
    add_items(connection, *VECTORS)
    deploy_version(connection, VECTORS)
    write(connection, 600)
    cut(connection)
    write(connection, 600, "fresh", "click")
    assert causes(connection) == []
    connection.execute(f"update learning.streams set {trigger} = 0.5".encode())
    assert causes(connection) == [cause]
    # The keeper adopts the item before the next look; the window that was cut has the chance to learn it.
    connection.execute(
        "insert into catalogue.items (item_id, created_at) values ('fresh', now() - interval '1 minute')"
    )
    write(connection, 600, "fresh", "click")
    assert causes(connection) == [cause]


def test_a_held_stream_is_not_cut_by_a_change(connection: Connection) -> None:
    write(connection, 600)
    cut(connection)
    connection.execute("update learning.streams set mix_drift = 0.5, min_interval = '1 hour'")
    write(connection, 600, kind="click")
    assert causes(connection) == []
    connection.execute("update learning.streams set min_interval = null")
    assert causes(connection) == ["mix"]
