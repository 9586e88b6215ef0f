"""Rules are rows, and compiled: what each kind refuses, and what a change does to writers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.events import VIEW, accepted, add_rule, insert, reasons, warnings
from tests.support.learning import one
from tidegate.postgres import Database

NOW = datetime.now(UTC).replace(microsecond=0)


def at(seconds: float, **event: Any) -> dict[str, Any]:
    """Return a view so many seconds after an hour ago."""
    return VIEW | event | {"occurred_at": NOW - timedelta(hours=1) + timedelta(seconds=seconds)}


KINDS: list[tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]] = [
    (
        {"kind": "type", "field": "context.n", "type": "number"},
        [{"context": {"n": 1.5}}, {"context": {}}, {"context": {"n": None}}, {"context": None}],
        [{"context": {"n": "1.5"}}, {"context": {"n": True}}, {"context": {"n": [1]}}],
    ),
    (
        {"kind": "type", "field": "context.n", "type": "text"},
        [{"context": {"n": "1.5"}}, {"context": {}}],
        [{"context": {"n": 1.5}}],
    ),
    (
        {"kind": "type", "field": "context.it's", "type": "boolean"},
        [{"context": {"it's": False}}],
        [{"context": {"it's": "false"}}],
    ),
    (
        {"kind": "type", "field": "context.at", "type": "timestamp"},
        [{"context": {"at": "2024-05-01T10:00:00Z"}}, {"context": {}}],
        [{"context": {"at": "soon"}}, {"context": {"at": 7}}, {"context": {"at": "2024-13-01"}}],
    ),
    (
        {"kind": "range", "field": "value", "lowest": 0, "highest": 10},
        [{"value": 0.0}, {"value": 10.0}, {"value": None}],
        [{"value": -0.1}, {"value": 10.1}],
    ),
    (
        {"kind": "range", "field": "context.n", "highest": 5},
        [{"context": {"n": 5}}, {"context": {"n": "seven"}}, {"context": {}}],
        [{"context": {"n": 5.5}}, {"context": {"n": 10**400}}],
    ),
    (
        {"kind": "allowed", "field": "context.device", "allowed": ["phone", "it's"]},
        [{"context": {"device": "phone"}}, {"context": {"device": "it's"}}, {"context": {}}],
        [{"context": {"device": "toaster"}}, {"context": {"device": 7}}],
    ),
    (
        {"kind": "allowed", "field": "event_type", "allowed": ["view"], "stream": "default"},
        [{"event_type": "view"}],
        [{"event_type": "cart"}],
    ),
    (
        {"kind": "range", "field": "value", "lowest": 1, "highest": 5, "event_type": "rating"},
        [{"event_type": "rating", "value": 5.0}, {"event_type": "purchase", "value": 500.0}],
        [{"event_type": "rating", "value": 500.0}],
    ),
    (
        {"kind": "future", "seconds": 10},
        [{"occurred_at": NOW}],
        [{"occurred_at": NOW + timedelta(days=1)}],
    ),
    (
        {"kind": "expression", "expression": "value < 1000 or event_type <> 'rating' -- not too many stars"},
        [{"event_type": "rating", "value": 5.0}, {"event_type": "view", "value": 5000.0}, {"value": None}],
        [{"event_type": "rating", "value": 5000.0}],
    ),
    (
        {"kind": "expression", "expression": "exists (select from pg_type t where t.typname = event.user_id)"},
        [{"user_id": "int8"}],
        [{"user_id": "somebody"}],
    ),
]


@pytest.mark.parametrize(("rule", "good", "bad"), KINDS)
def test_each_kind_refuses_what_breaks_it_and_nothing_else(
    connection: psycopg.Connection[Any], rule: dict[str, Any], good: list[dict[str, Any]], bad: list[dict[str, Any]]
) -> None:
    connection.execute("delete from ingest.rules")
    add_rule(connection, "the rule's name", **rule)
    for event in (*good, *bad):
        insert(connection, VIEW | event)
    assert reasons(connection) == ["the rule's name"] * len(bad)
    assert accepted(connection) == len(good)


def test_an_item_must_be_in_the_catalogue(connection: psycopg.Connection[Any]) -> None:
    add_rule(connection, "item_id is not in the catalogue", "reference", field="item_id")
    connection.execute("insert into catalogue.items (item_id, adopted) values ('tea', false), ('rumour', true)")
    insert(connection, VIEW, VIEW | {"item_id": "rumour"}, VIEW | {"item_id": "nothing"})
    assert reasons(connection) == ["item_id is not in the catalogue"] * 2
    assert accepted(connection) == 1


def test_a_user_must_be_in_the_catalogue(connection: psycopg.Connection[Any]) -> None:
    add_rule(connection, "user_id is not in the catalogue", "reference", field="user_id", event_type="purchase")
    connection.execute("insert into catalogue.users (user_id) values ('a')")
    insert(connection, VIEW | {"event_type": "purchase"}, VIEW | {"user_id": "b"})
    insert(connection, VIEW | {"user_id": "b", "event_type": "purchase"})
    assert accepted(connection) == 2


def test_a_bot_is_stopped_within_one_statement_and_over_many(connection: psycopg.Connection[Any]) -> None:
    add_rule(connection, "more than 3 events in 10 s", "rate", seconds=10, most=3)
    insert(connection, *[at(second) for second in (0, 1, 2, 3)], at(0, user_id="b"))
    assert accepted(connection) == 4
    insert(connection, at(4))
    assert accepted(connection) == 4
    insert(connection, at(5, user_id="b"))
    insert(connection, at(20))
    assert accepted(connection) == 6
    assert reasons(connection) == ["more than 3 events in 10 s"] * 2


def test_a_duplicate_is_refused_within_one_statement_and_over_many(connection: psycopg.Connection[Any]) -> None:
    add_rule(connection, "the same within 5 s", "duplicate", seconds=5)
    insert(connection, at(0), at(3), at(3, item_id="milk"), at(3, event_type="click"), at(3, user_id="b"))
    insert(connection, at(7), at(20))
    insert(connection, at(12))  # the one at 7 s was refused, and is remembered all the same
    assert reasons(connection) == ["the same within 5 s"] * 3
    assert accepted(connection) == 5


def test_events_are_remembered_only_while_a_rule_needs_it(connection: psycopg.Connection[Any]) -> None:
    remembered = "select count(*) from ingest.recent_events"
    insert(connection, VIEW)
    assert one(connection, remembered) == 0
    add_rule(connection, "the same within 5 s", "duplicate", seconds=5)
    insert(connection, VIEW, VIEW | {"user_id": None})
    assert one(connection, remembered) == 1
    connection.execute("update ingest.rules set enabled = false where kind = 'duplicate'")
    insert(connection, VIEW)
    assert one(connection, remembered) == 1
    connection.execute("select ingest.forget('1 day')")
    assert one(connection, remembered) == 0


def test_a_warning_lets_the_event_stay_and_counts_once_a_statement(connection: psycopg.Connection[Any]) -> None:
    add_rule(connection, "a dear thing", "range", field="value", highest=100, severity="warn")
    add_rule(connection, "an unknown thing", "reference", field="item_id", severity="warn")
    insert(connection, VIEW | {"value": 500.0}, VIEW | {"value": 1.0}, VIEW | {"value": 600.0})
    insert(connection, VIEW | {"value": 700.0, "user_id": None})
    assert warnings(connection) == [("an unknown thing", 3), ("a dear thing", 2)]
    assert one(connection, "select example ->> 'value' from ingest.warnings where rule = 'a dear thing'") == "500"
    assert accepted(connection) == 3


def test_an_expression_that_raises_breaks_the_rule_and_not_the_writer(connection: psycopg.Connection[Any]) -> None:
    add_rule(connection, "half of it", "expression", expression="1 / (value - 5) > 0")
    insert(connection, VIEW | {"value": 6.0}, VIEW | {"value": 5.0}, VIEW | {"value": 4.0})
    assert reasons(connection) == ["rule half of it failed: division by zero", "half of it"]
    assert accepted(connection) == 1


@pytest.mark.parametrize(
    ("expression", "cause"),
    [
        ("value <", "syntax error"),
        ("vaule < 5", 'column "vaule" does not exist'),
        ("value + 1", "must be type boolean"),
        ("count(*) > 1", "aggregate functions are not allowed"),
    ],
)
def test_a_wrong_expression_fails_the_change_and_says_why(
    connection: psycopg.Connection[Any], expression: str, cause: str
) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=cause) as failed:
        add_rule(connection, "mine", "expression", expression=expression)
    assert 'rule "mine"' in str(failed.value)
    assert one(connection, "select count(*) from ingest.rules") == 1
    insert(connection, VIEW)
    assert accepted(connection) == 1


@pytest.mark.parametrize(
    ("constraint", "rule"),
    [
        ("kind_is_known", {"kind": "mood"}),
        ("severity_is_known", {"kind": "future", "seconds": 1, "severity": "shrug"}),
        ("type_is_of_a_context_key", {"kind": "type", "field": "value", "type": "number"}),
        ("type_is_of_a_context_key", {"kind": "type", "field": "context.n", "type": "poem"}),
        ("range_has_finite_bounds_on_a_number", {"kind": "range", "field": "value"}),
        ("range_has_finite_bounds_on_a_number", {"kind": "range", "field": "value", "lowest": 2, "highest": 1}),
        ("range_has_finite_bounds_on_a_number", {"kind": "range", "field": "value", "lowest": float("nan")}),
        ("range_has_finite_bounds_on_a_number", {"kind": "range", "field": "user_id", "lowest": 1}),
        ("allowed_has_values_of_a_text", {"kind": "allowed", "field": "event_type", "allowed": []}),
        ("reference_is_to_an_item_or_a_user", {"kind": "reference", "field": "stream"}),
        ("seconds_are_at_most_a_year", {"kind": "future"}),
        ("seconds_are_at_most_a_year", {"kind": "duplicate", "seconds": -1}),
        ("rate_has_a_limit", {"kind": "rate", "seconds": 5}),
        ("rate_has_a_limit", {"kind": "rate", "seconds": 5, "most": 0}),
        ("expression_is_given", {"kind": "expression"}),
        ("field_is_given_where_looked_at", {"kind": "future", "seconds": 5, "field": "value"}),
    ],
)
def test_a_rule_without_what_its_kind_needs_is_refused(
    connection: psycopg.Connection[Any], constraint: str, rule: dict[str, Any]
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match=constraint):
        add_rule(connection, "mine", **rule)


def test_without_rules_only_what_everything_relies_on_is_checked(connection: psycopg.Connection[Any]) -> None:
    connection.execute("delete from ingest.rules")
    insert(connection, VIEW | {"occurred_at": "2999-01-01"}, VIEW | {"occurred_at": "10000-01-01"})
    assert reasons(connection) == ["occurred_at must lie in the years 1 to 9999"]


def test_the_default_form_of_each_compiled_function_is_what_the_default_rules_compile_to(
    connection: psycopg.Connection[Any],
) -> None:
    sources = (
        "select proname, prosrc from pg_proc where pronamespace = 'ingest'::regnamespace"
        " and obj_description(oid, 'pg_proc') like 'Compiled%' order by 1"
    )
    shipped = connection.execute(sources).fetchall()
    assert len(shipped) == 5
    add_rule(connection, "a", "range", field="value", lowest=0)
    add_rule(connection, "b", "range", field="value", lowest=0, severity="warn")
    add_rule(connection, "c", "duplicate", seconds=5)
    add_rule(connection, "d", "expression", expression="value > 0")
    assert [before != after for before, after in zip(shipped, connection.execute(sources).fetchall(), strict=True)] == [
        True
    ] * 5
    connection.execute("delete from ingest.rules where name in ('a', 'b', 'c', 'd')")
    assert connection.execute(sources).fetchall() == shipped


def test_the_compiled_rules_are_inlined_into_a_scan(connection: psycopg.Connection[Any]) -> None:
    add_rule(connection, "a dear thing", "range", field="value", highest=100)
    plan = connection.execute(
        "explain (verbose, costs off) select ingest.broken_rule(stream, user_id, item_id, event_type, value,"
        " occurred_at, context, client_key),"
        " ingest.plain(user_id, item_id, event_type, value, occurred_at, context, client_key)"
        " from ingest.behaviour_events_default"
    ).fetchall()
    text = "\n".join(line for (line,) in plan)
    assert "broken_rule" not in text, text
    assert "plain" not in text, text


def keep_writing(database: Database, stop: threading.Event) -> None:
    """Insert until told to stop; an error ends up in the future that this runs in."""
    with database.connect(autocommit=True) as own:
        while not stop.is_set():
            insert(own, VIEW | {"value": 7.0})


def change_rules(database: Database, name: str) -> None:
    """Add and remove expressions."""
    with database.connect(autocommit=True) as own:
        for number in range(8):
            add_rule(own, f"{name} {number}", "expression", expression=f"value <> {number}")
            own.execute("delete from ingest.rules where name = %s", [f"{name} {number}"])


def test_rules_change_while_writers_run(database: Database, connection: psycopg.Connection[Any]) -> None:
    """No writer fails, and after the last change each writer obeys it, in connections that had older plans."""
    stop = threading.Event()
    insert(connection, VIEW | {"value": 7.0})  # this connection has a plan now
    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(keep_writing, database, stop) for _ in range(2)]
        changers = [pool.submit(change_rules, database, name) for name in ("one", "two")]
        for changer in changers:
            changer.result()
        stop.set()
        for writer in writers:
            writer.result()
    before = accepted(connection)
    add_rule(connection, "not seven", "expression", expression="value <> 7")
    insert(connection, VIEW | {"value": 7.0})
    assert accepted(connection) == before
    assert one(connection, "select count(*) from ingest.rules") == 2


def test_a_change_under_an_old_snapshot_is_refused(database: Database) -> None:
    with database.connect() as own:
        own.execute("set transaction isolation level repeatable read")
        with pytest.raises(psycopg.errors.RaiseException, match="READ COMMITTED"):
            add_rule(own, "mine", "future", seconds=5)


TEXTS = st.one_of(st.none(), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=300))
EVENTS = st.fixed_dictionaries(
    {
        "user_id": TEXTS,
        "item_id": TEXTS,
        "event_type": st.sampled_from(["view", "click", "cart", "purchase", "rating", "", "View", None]),
        "value": st.one_of(st.none(), st.floats()),
        "occurred_at": st.one_of(
            st.none(),
            st.sampled_from(["infinity", "-infinity", "0001-01-01 BC", "2024-02-29", "9999-12-31", "20000-01-01"]),
        ),
        "context": st.sampled_from([None, "{}", "[]", "null", '"x"', '{"a": 1}']),
        "client_key": TEXTS,
    }
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(event=EVENTS)
def test_what_passes_at_once_has_no_flaw(connection: psycopg.Connection[Any], event: dict[str, Any]) -> None:
    row = connection.execute(
        "select ingest.plain(%(user_id)s, %(item_id)s, %(event_type)s, %(value)s, %(occurred_at)s, %(context)s,"
        " %(client_key)s), ingest.flaw('default', %(user_id)s, %(item_id)s, %(event_type)s, %(value)s,"
        " %(occurred_at)s, %(context)s, %(client_key)s)",
        event,
    ).fetchone()
    assert row is not None
    assert row[0] is not True or row[1] is None
