"""What is in quarantine can be explained and sent through the rules again."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.support.events import VIEW, accepted, add_rule, insert, reasons
from tests.support.learning import one
from tests.support.waiting import wait_until
from tidegate import events
from tidegate.postgres import Database

ALL = "select quarantine_id, event_id, outcome, reason from ingest.redrive(array(select quarantine_id from {}))".format(
    "ingest.quarantined_events where redriven_at is null"
).encode()


def redrive(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """Redrive all and count the outcomes."""
    found: dict[str, int] = {}
    for _, _, outcome, _ in connection.execute(ALL).fetchall():
        found[outcome] = found.get(outcome, 0) + 1
    return found


def explained(connection: psycopg.Connection[Any]) -> list[tuple[str, str | None]]:
    """Return rule and value of each rule that the only quarantined event breaks."""
    return connection.execute(
        "select e.rule, e.given from ingest.quarantined_events q, ingest.explain(q.quarantine_id) e"
    ).fetchall()


def test_what_passes_today_is_an_event_in_the_ledger_and_its_row_says_so(connection: psycopg.Connection[Any]) -> None:
    add_rule(connection, "too dear", "range", field="value", highest=10)
    then = datetime(2024, 1, 1, tzinfo=UTC)
    insert(connection, *[VIEW | {"value": value, "occurred_at": then} for value in (11.0, 12.0, 99.0)])
    connection.execute("update ingest.rules set highest = 50, name = 'far too dear' where name = 'too dear'")
    assert redrive(connection) == {"passed": 2, "refused": 1}
    assert reasons(connection) == ["far too dear"]
    assert accepted(connection) == 2
    rows = connection.execute("select value, occurred_at from ingest.behaviour_events order by event_id").fetchall()
    assert rows == [(11.0, then), (12.0, then)]
    assert (
        one(
            connection,
            "select count(*) from ingest.quarantined_events q join ingest.behaviour_events e using (event_id)"
            " where q.redriven_at is not null and (q.event ->> 'value')::float8 = e.value",
        )
        == 2
    )
    assert redrive(connection) == {"refused": 1}


def test_a_redriven_event_is_in_the_next_window(connection: psycopg.Connection[Any]) -> None:
    insert(connection, VIEW | {"stream": "shop"})
    connection.execute("insert into learning.streams (stream) values ('shop')")
    redrive(connection)
    window = one(connection, "select learning.cut_window('shop', null, true)")
    assert one(connection, "select count(*) from learning.read_window(%s)", [window]) == 1


def test_what_came_untyped_is_typed_on_the_way(connection: psycopg.Connection[Any]) -> None:
    """Files and requests leave rows of text and of JSON; the mended ones go in like any other."""
    given = [
        {"user_id": 7, "item_id": "tea", "event_type": "purchase", "value": "dear"},
        {"user_id": 8, "item_id": "tea", "event_type": "purchase", "value": 4.5, "occurred_at": [1]},
        {"user_id": True, "item_id": "tea", "event_type": "view"},
    ]
    receipt = events.record(connection, given)
    assert receipt.accepted == 0
    assert redrive(connection) == {"refused": 3}
    connection.execute(
        "update ingest.quarantined_events set event = event || %s where event ->> 'value' = 'dear'",
        [Jsonb({"value": "4.5", "occurred_at": "1704110400", "page": 3})],
    )
    assert redrive(connection) == {"passed": 1, "refused": 2}
    rows = connection.execute("select user_id, value, occurred_at, context from ingest.behaviour_events").fetchall()
    assert rows == [("7", 4.5, datetime(2024, 1, 1, 12, tzinfo=UTC), {"page": 3})]
    assert sorted(reason.split(":")[0] for reason in reasons(connection)) == [
        "occurred_at is not a time",
        "user_id is not text",
    ]


def test_an_event_without_a_time_happened_when_it_was_refused(connection: psycopg.Connection[Any]) -> None:
    insert(connection, {"user_id": "a", "item_id": "tea", "event_type": "view", "value": "dear"}, table="raw_events")
    connection.execute(
        "update ingest.quarantined_events set event = event - 'value', quarantined_at = '2024-01-01 UTC'"
    )
    assert redrive(connection) == {"passed": 1}
    assert one(connection, "select occurred_at from ingest.behaviour_events") == datetime(2024, 1, 1, tzinfo=UTC)


def test_an_event_that_has_come_again_is_a_repeat(connection: psycopg.Connection[Any]) -> None:
    insert(connection, VIEW | {"event_type": "stare", "client_key": "1"})
    insert(connection, VIEW | {"client_key": "1"})
    connection.execute("""update ingest.quarantined_events set event = event || '{"event_type": "view"}'""")
    assert redrive(connection) == {"repeat": 1}
    assert accepted(connection) == 1
    assert reasons(connection) == []


def test_two_redrives_at_once_write_an_event_once(database: Database, connection: psycopg.Connection[Any]) -> None:
    insert(connection, VIEW | {"stream": "shop"})
    connection.execute("insert into learning.streams (stream) values ('shop')")
    second: list[dict[str, int]] = []
    with database.connect() as one_more, database.connect(autocommit=True) as other:
        assert redrive(one_more) == {"passed": 1}
        waiting = threading.Thread(target=lambda: second.append(redrive(other)))
        waiting.start()
        wait_until(
            lambda: one(
                connection,
                "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s",
                [other.info.backend_pid],
            )
        )
        one_more.commit()
        waiting.join()
    assert second == [{}]
    assert accepted(connection) == 1


def test_a_rehearsal_says_what_would_pass_and_changes_nothing(connection: psycopg.Connection[Any]) -> None:
    insert(connection, VIEW | {"stream": "shop"}, VIEW | {"stream": "shop", "event_type": "stare"})
    connection.execute("insert into learning.streams (stream) values ('shop')")
    with connection.transaction(force_rollback=True):
        assert redrive(connection) == {"passed": 1, "refused": 1}
    assert accepted(connection) == 0
    assert len(reasons(connection)) == 2


def test_every_rule_that_an_event_breaks_is_named_with_its_value(connection: psycopg.Connection[Any]) -> None:
    add_rule(connection, "too dear", "range", field="value", highest=10)
    add_rule(connection, "unknown item", "reference", field="item_id")
    add_rule(connection, "odd device", "allowed", field="context.device", allowed=["phone"], severity="warn")
    add_rule(connection, "no stars", "expression", expression="event_type <> 'stare'")
    add_rule(connection, "twice", "duplicate", seconds=5)
    event = {"user_id": "", "item_id": "tea", "event_type": "stare", "value": 11.0, "stream": "shop"}
    insert(connection, event | {"context": {"device": "toaster"}, "occurred_at": "2999-01-01"})
    assert reasons(connection) == ["user_id must have 1 to 256 characters"]
    assert explained(connection) == [
        ("user_id must have 1 to 256 characters", ""),
        ("event_type must be view, click, cart, purchase or rating", "stare"),
        ("stream is not in learning.streams", "shop"),
        ("occurred_at lies in the future", "2999-01-01T00:00:00+00:00"),
        ("too dear", "11"),
        ("unknown item", "tea"),
        ("no stars", None),
        ("odd device", "toaster"),
    ]


def test_untyped_values_are_explained_and_what_would_pass_breaks_nothing(connection: psycopg.Connection[Any]) -> None:
    insert(connection, VIEW | {"value": "dear", "occurred_at": "soon"}, table="raw_events")
    assert explained(connection) == [
        ("value is not a number: dear", "dear"),
        ("occurred_at is not a time: soon", "soon"),
    ]
    connection.execute("update ingest.quarantined_events set event = event - 'value' - 'occurred_at'")
    assert explained(connection) == []
    assert redrive(connection) == {"passed": 1}


def test_what_is_not_there_is_an_error_that_says_so(connection: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.errors.NoDataFound, match="id 7"):
        connection.execute("select * from ingest.explain(7)")
    with pytest.raises(psycopg.errors.NoDataFound, match="there is no rule"):
        connection.execute("select * from ingest.test_rule('mine', 10)")


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        ({"kind": "range", "field": "value", "highest": 2}, 2),
        ({"kind": "expression", "expression": "value < 4 -- stars"}, 1),
        ({"kind": "reference", "field": "item_id"}, 4),
        ({"kind": "duplicate", "seconds": 5}, 3),
        ({"kind": "rate", "seconds": 5, "most": 3}, 1),
    ],
)
def test_a_rule_can_be_tried_on_what_came_before_it_is_in_force(
    connection: psycopg.Connection[Any], rule: dict[str, Any], broken: int
) -> None:
    add_rule(connection, "mine", enabled=False, **rule)
    for value in range(5):
        insert(connection, VIEW | {"value": float(value)})
    found = connection.execute(
        "select looked, broken, cardinality(examples) from ingest.test_rule('mine', 4)"
    ).fetchone()
    assert found == (4, broken, broken)
    assert accepted(connection) == 5
