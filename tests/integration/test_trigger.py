"""What happens to events in their writer's own transaction."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.support.events import accepted, add_rule, insert, reasons, warnings
from tests.support.learning import one
from tidegate.postgres import Database

INSERT = "insert into ingest.behaviour_events (user_id, item_id, event_type) values "
LEDGER = "select stream, n, lo, hi, ids is null from ingest.batches order by stream, lo"
GOOD = {"user_id": "a", "item_id": "tea", "event_type": "view"}

BAD = [
    ({"user_id": None}, "user_id must have 1 to 256 characters"),
    ({"user_id": ""}, "user_id must have 1 to 256 characters"),
    ({"user_id": "u" * 257}, "user_id must have 1 to 256 characters"),
    ({"item_id": None}, "item_id must have 1 to 256 characters"),
    ({"item_id": "i" * 257}, "item_id must have 1 to 256 characters"),
    ({"event_type": None}, "event_type must be view, click, cart, purchase or rating"),
    ({"event_type": "buy"}, "event_type must be view, click, cart, purchase or rating"),
    ({"occurred_at": None}, "occurred_at is missing"),
    ({"occurred_at": "infinity"}, "occurred_at must be finite"),
    ({"occurred_at": "2999-01-01"}, "occurred_at lies in the future"),
    ({"value": "NaN"}, "value must be a finite number"),
    ({"value": "-Infinity"}, "value must be a finite number"),
    ({"context": "[1]"}, "context must be a JSON object"),
    ({"context": "null"}, "context must be a JSON object"),
    ({"stream": ""}, "stream must have 1 to 64 characters"),
    ({"stream": None}, "stream must have 1 to 64 characters"),
    ({"stream": "nobody's"}, "stream is not in learning.streams"),
]


def tasks(connection: psycopg.Connection[Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return name and arguments of the tasks on the queue `features`."""
    messages = connection.execute("select message from pgmq.q_features order by msg_id").fetchall()
    return [(m["headers"]["task"], json.loads(base64.b64decode(m["body"]))[1]) for (m,) in messages]


@pytest.mark.parametrize(("flaw", "reason"), BAD)
def test_a_bad_row_is_quarantined_with_its_reason_and_the_good_one_stays(
    connection: psycopg.Connection[Any], flaw: dict[str, Any], reason: str
) -> None:
    defaults = {"stream": "default", "occurred_at": "2024-01-01", "value": None, "context": None}
    insert(connection, defaults | GOOD, defaults | GOOD | flaw)
    found = connection.execute("select reason, event from ingest.quarantined_events").fetchall()
    assert [row[0] for row in found] == [reason]
    assert found[0][1]["user_id"] == flaw.get("user_id", "a")
    assert connection.execute("select user_id from ingest.behaviour_events").fetchall() == [("a",)]
    assert one(connection, "select sum(n) from ingest.batches") == 1


def test_a_statement_makes_one_ledger_row_a_stream(connection: psycopg.Connection[Any]) -> None:
    connection.execute("insert into learning.streams (stream) values ('shop')")
    insert(connection, *[GOOD | {"stream": stream} for stream in ("shop", "default", "shop", "default", "shop")])
    ledger = connection.execute(LEDGER).fetchall()
    assert [(stream, n) for stream, n, *_ in ledger] == [("default", 2), ("shop", 3)]
    assert (
        connection.execute("select * from ingest.batches order by 1").fetchall()
        == connection.execute("select * from features.unfolded_batches order by 1").fetchall()
    )


def test_the_ledger_names_exactly_the_ids_of_its_stream(connection: psycopg.Connection[Any]) -> None:
    connection.execute("insert into learning.streams (stream) values ('shop')")
    insert(connection, *[GOOD | {"stream": stream} for stream in ("shop", "default", "bad", "shop", "default")])
    found = connection.execute(
        "select b.stream, array_agg(e.event_id order by e.event_id) from ingest.batches b"
        " join ingest.behaviour_events e"
        "   on e.event_id <@ coalesce(b.ids, int8multirange(int8range(b.lo, b.hi, '[]'))) group by b.stream"
    ).fetchall()
    expected = connection.execute(
        "select stream, array_agg(event_id order by event_id) from ingest.behaviour_events group by stream"
    ).fetchall()
    assert sorted(found) == sorted(expected)


def test_a_statement_without_a_good_row_makes_no_ledger_row(connection: psycopg.Connection[Any]) -> None:
    insert(connection, GOOD | {"event_type": "buy"})
    connection.execute(INSERT.encode() + b"('a', 'b', 'nothing')")
    connection.execute("insert into ingest.behaviour_events (user_id) select 'a' where false")
    assert connection.execute(LEDGER).fetchall() == []
    assert one(connection, "select count(*) from ingest.quarantined_events") == 2


def test_an_aborted_insert_leaves_nothing(connection: psycopg.Connection[Any]) -> None:
    with connection.transaction(force_rollback=True):
        insert(connection, GOOD, GOOD | {"event_type": "buy"})
    with connection.transaction():
        insert(connection, GOOD)
        with connection.transaction(force_rollback=True):  # a savepoint
            insert(connection, GOOD, GOOD)
    assert one(connection, "select sum(n) from ingest.batches") == 1
    assert one(connection, "select count(*) from ingest.quarantined_events") == 0


def test_copy_goes_the_same_way(connection: psycopg.Connection[Any]) -> None:
    with connection.cursor().copy("copy ingest.behaviour_events (user_id, item_id, event_type) from stdin") as copy:
        for number in range(1000):
            copy.write_row(("a", f"item-{number}", "view" if number else "buy"))
    assert [(n, hi - lo) for _, n, lo, hi, _ in connection.execute(LEDGER).fetchall()] == [(999, 998)]
    assert one(connection, "select reason from ingest.quarantined_events").startswith("event_type must be")


@pytest.fixture
def small_stream(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """The default stream with a threshold that a statement of 600 rows crosses."""
    connection.execute("update learning.streams set threshold = 600")
    return connection


MANY = INSERT + "{}"
ROWS = ", ".join(["('a', 'tea', 'view')"] * 600)


def test_crossing_the_threshold_puts_one_cut_task_on_the_queue(small_stream: psycopg.Connection[Any]) -> None:
    small_stream.execute(MANY.format(ROWS).encode())
    [(task, arguments)] = tasks(small_stream)
    assert task == "tidegate.cut_window"
    assert arguments["stream"] == "default"
    assert set(arguments) == {"stream", "crossed_at"}


def test_below_the_threshold_no_task_is_sent(small_stream: psycopg.Connection[Any]) -> None:
    small_stream.execute(MANY.format(ROWS.removesuffix(", ('a', 'tea', 'view')")).encode())
    assert tasks(small_stream) == []


def test_a_task_is_in_its_writers_transaction(small_stream: psycopg.Connection[Any], database: Database) -> None:
    with database.connect(autocommit=True) as other, small_stream.transaction(force_rollback=True):
        small_stream.execute(MANY.format(ROWS).encode())
        assert len(tasks(small_stream)) == 1
        assert tasks(other) == []
    assert tasks(small_stream) == []


def test_a_cut_takes_the_whole_ledger_and_sends_the_window_on(small_stream: psycopg.Connection[Any]) -> None:
    small_stream.execute(MANY.format(ROWS).encode())
    window = one(small_stream, "select learning.cut_window('default')")
    assert one(small_stream, "select count(*) from learning.read_window(%s)", [window]) == 600
    assert tasks(small_stream)[-1] == ("tidegate.materialise_window", {"window_id": window})
    assert one(small_stream, "select learning.cut_window('default')") is None


@pytest.fixture
def application(connection: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """The same connection, and a role that holds INSERT on events and raw events, and EXECUTE for batches."""
    connection.execute("create role shop_application")
    connection.execute("grant usage on schema ingest to shop_application")
    connection.execute("grant insert on ingest.behaviour_events, ingest.raw_events to shop_application")
    connection.execute("grant execute on function ingest.begin_batch(text) to shop_application")
    yield connection
    connection.execute("reset role")
    connection.execute("drop owned by shop_application")
    connection.execute("drop role shop_application")


def test_insert_on_the_events_is_the_one_privilege_that_an_application_needs(
    application: psycopg.Connection[Any],
) -> None:
    application.execute("update learning.streams set threshold = 600")
    application.execute("set role shop_application")
    application.execute(MANY.format(ROWS + ", ('a', 'tea', 'buy')").encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        application.execute("select from ingest.behaviour_events")
    application.execute("reset role")
    assert one(application, "select sum(n) from ingest.batches") == 600
    assert one(application, "select count(*) from ingest.quarantined_events") == 1
    assert len(tasks(application)) == 1


def test_rules_keys_batches_and_text_need_no_more(application: psycopg.Connection[Any]) -> None:
    add_rule(application, "unknown", "reference", field="item_id", severity="warn")
    add_rule(application, "twice", "duplicate", seconds=5)
    add_rule(application, "odd", "expression", expression="user_id <> 'odd' and exists (select from ingest.rules)")
    application.execute("set role shop_application")
    insert(application, GOOD | {"client_key": "1"}, GOOD | {"client_key": "1"}, GOOD | {"client_key": "2"})
    insert(application, GOOD | {"user_id": "odd"})
    application.execute("insert into ingest.raw_events (user_id, item_id, event_type) values ('b', 'tea', 'view')")
    application.execute("insert into ingest.raw_events (user_id, occurred_at) values ('b', 'soon')")
    for _ in range(2):
        application.execute(
            INSERT.removesuffix("values ").encode() + b"select 'c', 'tea', 'view' where ingest.begin_batch('k')"
        )
    application.execute("reset role")
    assert accepted(application) == 3
    assert sorted(reasons(application)) == ["occurred_at is not a time: soon", "odd", "twice"]
    assert sum(n for rule, n in warnings(application) if rule == "unknown") == 3


@pytest.mark.parametrize(
    "statement",
    [
        "insert into ingest.rules (name, kind, seconds) values ('mine', 'future', 1)",
        "select from ingest.client_keys",
        "insert into ingest.batch_keys values ('k', 1, now())",
        "select from ingest.raw_events",
        "delete from ingest.raw_events",
    ],
)
def test_an_application_can_neither_change_rules_nor_read_keys(
    application: psycopg.Connection[Any], statement: str
) -> None:
    application.execute("set role shop_application")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        application.execute(statement.encode())


def test_only_who_was_granted_it_begins_a_batch(application: psycopg.Connection[Any]) -> None:
    application.execute("revoke execute on function ingest.begin_batch(text) from shop_application")
    application.execute("set role shop_application")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        application.execute("select ingest.begin_batch('k')")


@pytest.mark.parametrize("stream", ["default", "shop"])
def test_rows_of_another_time_or_stream_take_the_long_look_and_count_the_same(
    connection: psycopg.Connection[Any], stream: str
) -> None:
    connection.execute("insert into learning.streams (stream) values ('shop')")
    rows = [GOOD | {"stream": stream, "ingested_at": f"2024-01-0{day} UTC"} for day in (3, 1, 2)]
    insert(connection, *rows)
    found = connection.execute("select stream, n, ids, t0::date::text, t1::date::text from ingest.batches").fetchall()
    assert found == [(stream, 3, None, "2024-01-01", "2024-01-03")]


def test_replica_role_does_not_slip_past_the_ledger(connection: psycopg.Connection[Any]) -> None:
    connection.execute("set session_replication_role = replica")
    insert(connection, GOOD)
    assert one(connection, "select sum(n) from ingest.batches") == 1
