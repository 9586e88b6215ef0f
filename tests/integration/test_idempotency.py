"""An event whose client key was seen counts once, and so does a batch whose key was."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest

from tests.support.events import VIEW, accepted, add_rule, insert, reasons, warnings
from tests.support.learning import one
from tests.support.waiting import wait_until
from tidegate.postgres import Database

REPEAT = "client_key was seen before"
BATCH = "insert into ingest.behaviour_events (user_id, item_id, event_type)"
BATCH_OF_3 = BATCH + " select 'a', 'tea', 'view' from generate_series(1, 3) where ingest.begin_batch(%s)"


def keyed(key: str | None, **event: Any) -> dict[str, Any]:
    """Return a view with a client key."""
    return VIEW | event | {"client_key": key}


def waits_for_a_lock(connection: psycopg.Connection[Any], pid: int) -> bool:
    """Tell whether a backend waits."""
    return bool(one(connection, "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s", [pid]))


def test_a_repeat_is_dropped_and_counted(connection: psycopg.Connection[Any]) -> None:
    insert(connection, keyed("1"), keyed("2"))
    insert(connection, keyed("2"), keyed("3"), keyed("1"))
    assert accepted(connection) == 3
    assert warnings(connection) == [(REPEAT, 2)]
    assert reasons(connection) == []


def test_of_two_in_one_statement_the_first_counts(connection: psycopg.Connection[Any]) -> None:
    insert(connection, keyed("1", item_id="tea"), keyed("1", item_id="milk"), keyed("2"))
    assert accepted(connection) == 2
    assert one(connection, "select item_id from ingest.behaviour_events where client_key = '1'") == "tea"


def test_a_repeat_is_in_no_window(connection: psycopg.Connection[Any]) -> None:
    insert(connection, keyed("1"))
    insert(connection, keyed("1"), keyed("2"))
    window = one(connection, "select learning.cut_window('default', null, true)")
    keys = connection.execute("select client_key from learning.read_window(%s) order by event_id", [window]).fetchall()
    assert keys == [("1",), ("2",)]


def test_a_key_belongs_to_its_stream(connection: psycopg.Connection[Any]) -> None:
    connection.execute("insert into learning.streams (stream) values ('shop')")
    insert(connection, keyed("1", stream="default"), keyed("1", stream="shop"))
    assert accepted(connection) == 2


def test_no_key_and_an_empty_key_repeat_nothing(connection: psycopg.Connection[Any]) -> None:
    insert(connection, keyed(None), keyed(None), keyed(""), keyed(""))
    assert accepted(connection) == 4
    assert one(connection, "select count(*) from ingest.client_keys") == 0


def test_a_quarantined_event_leaves_its_key_free(connection: psycopg.Connection[Any]) -> None:
    add_rule(connection, "item_id is not in the catalogue", "reference", field="item_id")
    insert(connection, keyed("1", event_type="stare"), keyed("2"))
    connection.execute("insert into catalogue.items (item_id) values ('tea')")
    insert(connection, keyed("1"), keyed("2"))
    assert len(reasons(connection)) == 2
    assert accepted(connection) == 2


def test_a_rollback_frees_the_key(connection: psycopg.Connection[Any]) -> None:
    with connection.transaction(force_rollback=True):
        insert(connection, keyed("1"))
    insert(connection, keyed("1"))
    assert accepted(connection) == 1


@pytest.mark.parametrize(("first_commits", "dropped"), [(True, 1), (False, 0)])
def test_the_second_of_two_writers_at_once_waits_for_the_first(
    database: Database, connection: psycopg.Connection[Any], first_commits: bool, dropped: int
) -> None:
    with database.connect() as first, database.connect(autocommit=True) as second:
        insert(first, keyed("1"))
        waiting = threading.Thread(target=insert, args=(second, keyed("1"), keyed("0")))
        waiting.start()
        wait_until(lambda: waits_for_a_lock(connection, second.info.backend_pid))
        (first.commit if first_commits else first.rollback)()
        waiting.join()
    assert accepted(connection) == 2
    assert sum(n for _, n in warnings(connection)) == dropped


def test_a_snapshot_that_cannot_see_the_first_fails_and_counts_nothing(
    database: Database, connection: psycopg.Connection[Any]
) -> None:
    with database.connect() as own:
        own.execute("set transaction isolation level repeatable read")
        own.execute("select 1")
        insert(connection, keyed("1"))
        with pytest.raises(psycopg.errors.SerializationFailure):
            insert(own, keyed("1"))
        own.rollback()
        insert(own, keyed("1"))
        own.commit()
    assert accepted(connection) == 1


def test_statements_with_the_same_keys_in_any_order_do_not_deadlock(
    database: Database, connection: psycopg.Connection[Any]
) -> None:
    keys = [str(number) for number in range(300)]
    failed: list[Exception] = []

    def write(order: list[str]) -> None:
        with database.connect(autocommit=True) as own:
            try:
                for _ in range(10):
                    insert(own, *map(keyed, order))
            except psycopg.Error as error:
                failed.append(error)

    threads = [threading.Thread(target=write, args=(order,)) for order in (keys, keys[::-1], keys[7:] + keys[:7])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert accepted(connection) == 300


def test_keys_are_forgotten_after_the_horizon(connection: psycopg.Connection[Any]) -> None:
    insert(connection, keyed("1"), keyed("2"))
    connection.execute(BATCH_OF_3, ["k"])
    connection.execute("update ingest.client_keys set seen_at = now() - interval '2 days' where client_key = '1'")
    connection.execute("update ingest.batch_keys set begun_at = now() - interval '2 days'")
    forgotten = dict(connection.execute("select what, n from ingest.forget('1 day')").fetchall())
    assert (forgotten["client keys"], forgotten["batch keys"]) == (1, 1)
    insert(connection, keyed("1"), keyed("2"))
    connection.execute(BATCH_OF_3, ["k"])
    assert accepted(connection) == 2 + 3 + 1 + 3


def test_a_batch_counts_once(connection: psycopg.Connection[Any]) -> None:
    assert connection.execute(BATCH_OF_3, ["k"]).rowcount == 3
    assert connection.execute(BATCH_OF_3, ["k"]).rowcount == 0
    assert connection.execute(BATCH_OF_3, ["another"]).rowcount == 3
    assert accepted(connection) == 6


def test_a_batch_is_open_for_its_whole_transaction_and_free_after_a_rollback(
    connection: psycopg.Connection[Any],
) -> None:
    with connection.transaction(force_rollback=True):
        assert one(connection, "select ingest.begin_batch('k')") is True
    with connection.transaction():
        assert one(connection, "select ingest.begin_batch('k')") is True
        with connection.cursor().copy("copy ingest.behaviour_events (user_id, item_id, event_type) from stdin") as copy:
            copy.write_row(("a", "tea", "view"))
        assert one(connection, "select ingest.begin_batch('k')") is True
    assert one(connection, "select ingest.begin_batch('k')") is False
    assert accepted(connection) == 1


def test_two_writers_of_one_batch_write_it_once(database: Database, connection: psycopg.Connection[Any]) -> None:
    counted: list[int] = []
    with database.connect() as first, database.connect(autocommit=True) as second:
        first.execute(BATCH_OF_3, ["k"])
        waiting = threading.Thread(target=lambda: counted.append(second.execute(BATCH_OF_3, ["k"]).rowcount))
        waiting.start()
        wait_until(lambda: waits_for_a_lock(connection, second.info.backend_pid))
        first.commit()
        waiting.join()
    assert counted == [0]
    assert accepted(connection) == 3


@pytest.mark.parametrize("key", ["", None, "k" * 257])
def test_a_batch_key_has_1_to_256_characters(connection: psycopg.Connection[Any], key: str | None) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="1 to 256"):
        connection.execute("select ingest.begin_batch(%s)", [key])


def test_a_client_key_has_at_most_256_characters(connection: psycopg.Connection[Any]) -> None:
    insert(connection, keyed("k" * 257))
    assert reasons(connection) == ["client_key must have at most 256 characters"]
