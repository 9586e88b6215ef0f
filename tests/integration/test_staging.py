"""Feeds without types: whatever arrives as text is an event or a quarantined row, and never an error."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrations.sql_objects import body
from tests.support.events import VIEW, accepted, insert, reasons
from tests.support.learning import one
from tidegate import parse

RAW = "raw_events"
COPY = "copy ingest.raw_events (user_id, item_id, event_type, occurred_at, value, context) from stdin (format csv)"
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
READER = "set timezone = 'UTC'; set datestyle = 'ISO, YMD'"


def copy(connection: psycopg.Connection[Any], *lines: str) -> None:
    """COPY lines of CSV in one statement."""
    with connection.cursor() as cursor, cursor.copy(COPY.encode()) as stream:
        stream.write("".join(f"{line}\n" for line in lines))


def test_good_lines_become_typed_events(connection: psycopg.Connection[Any]) -> None:
    copy(connection, 'a,tea,purchase,2024-01-01T12:00:00+02:00,4.5,"{""page"": 7}"', "b,milk,view,,,")
    rows = connection.execute(
        "select user_id, event_type, value, occurred_at, context from ingest.behaviour_events order by event_id"
    ).fetchall()
    assert rows[0] == ("a", "purchase", 4.5, datetime(2024, 1, 1, 10, tzinfo=UTC), {"page": 7})
    assert rows[1][:3] == ("b", "view", None)
    assert datetime.now(UTC) - rows[1][3] < timedelta(minutes=1)
    assert accepted(connection) == 2
    assert one(connection, "select count(*) from ingest.raw_events") == 0


def test_a_bad_value_is_a_quarantined_row_with_its_reason_and_the_rest_goes_in(
    connection: psycopg.Connection[Any],
) -> None:
    copy(
        connection,
        "a,tea,view,soon,,",
        "a,tea,view,2024-13-45,,",
        "a,tea,view,01/02/2024,,",
        "a,tea,view,yesterday,,",
        "a,tea,view,,dear,",
        "a,tea,view,,,not json",
        "a,tea,stare,,,",
        "a,tea,view,,,",
    )
    assert reasons(connection) == [
        "occurred_at is not a time: soon",
        "occurred_at is not a time: 2024-13-45",
        "occurred_at is not a time: 01/02/2024",
        "occurred_at is not a time: yesterday",
        "value is not a number: dear",
        "context is not JSON: not json",
        "event_type must be view, click, cart, purchase or rating",
    ]
    assert accepted(connection) == 1
    assert one(connection, "select event from ingest.quarantined_events order by quarantine_id limit 1") == VIEW | {
        "occurred_at": "soon"
    }


@pytest.mark.parametrize(
    "written",
    [
        "2024-01-01T12:00:00Z",
        "2024-01-01 12:00:00",
        "2024-01-01T14:00:00+02:00",
        "20240101T120000Z",
        "1.7041104e9",
        "1704110400",
        "1704110400.0",
        "1704110400000",
        "1704110400000000",
        "1704110400000000000",
        " 1704110400 ",
    ],
)
def test_a_time_may_be_iso_or_an_epoch_in_any_unit(connection: psycopg.Connection[Any], written: str) -> None:
    connection.execute("set timezone = 'Asia/Tokyo'")  # the writer's own settings change nothing
    insert(connection, VIEW | {"occurred_at": written}, table=RAW)
    assert one(connection, "select occurred_at from ingest.behaviour_events") == datetime(2024, 1, 1, 12, tzinfo=UTC)


def test_a_column_that_is_added_goes_into_the_context(connection: psycopg.Connection[Any]) -> None:
    connection.execute("alter table ingest.raw_events add column campaign text, add column page text")
    insert(connection, VIEW | {"campaign": "autumn", "page": "", "context": '{"device": "phone"}'}, table=RAW)
    assert one(connection, "select context from ingest.behaviour_events") == {"campaign": "autumn", "device": "phone"}


def test_an_aborted_feed_leaves_nothing(connection: psycopg.Connection[Any]) -> None:
    with connection.transaction(force_rollback=True):
        copy(connection, "a,tea,view,,,", "a,tea,view,soon,,")
    for table in ("raw_events", "behaviour_events", "quarantined_events"):
        assert one(connection, f"select count(*) from ingest.{table}") == 0


def test_a_client_key_repeats_through_text_too(connection: psycopg.Connection[Any]) -> None:
    insert(connection, VIEW | {"client_key": "1"})
    insert(connection, VIEW | {"client_key": "1"}, VIEW | {"client_key": ""}, table=RAW)
    assert accepted(connection) == 2


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "user_id": TEXTS,
                "item_id": TEXTS,
                "event_type": st.sampled_from(["view", "stare"]),
                "value": st.one_of(TEXTS, st.floats().map(str), st.integers().map(str)),
                "occurred_at": st.one_of(
                    TEXTS, st.floats().map(str), st.integers().map(str), st.datetimes().map(str), st.dates().map(str)
                ),
                "context": st.one_of(TEXTS, st.sampled_from(["{}", "[]", '{"a": 1}', '"\\u0000"', "null"])),
                "client_key": TEXTS,
            }
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_text_is_an_event_a_repeat_or_a_quarantined_row(
    connection: psycopg.Connection[Any], rows: list[dict[str, Any]]
) -> None:
    connection.execute(
        "truncate ingest.behaviour_events, ingest.quarantined_events, ingest.client_keys, ingest.batches"
    )
    connection.execute("truncate ingest.warnings, features.unfolded_batches")
    insert(connection, *rows, table=RAW)
    repeats = one(connection, "select coalesce(sum(n), 0) from ingest.warnings")
    assert accepted(connection) + len(reasons(connection)) + repeats == len(rows)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    written=st.one_of(
        st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)).map(str),  # noqa: DTZ001
        st.integers(min_value=-(10**19), max_value=10**19).map(str),
        st.floats(min_value=-1e12, max_value=1e12).map(str),
    )
)
def test_sql_reads_a_time_as_python_does(connection: psycopg.Connection[Any], written: str) -> None:
    expected = None
    with suppress(parse.Flaw):
        expected = parse.moment(written, "occurred_at")
    connection.execute(READER)
    found = one(connection, "select ingest.as_moment(%s)", [written])
    assert (found is None) == (expected is None)
    assert found is None or abs(found - expected) < timedelta(milliseconds=1)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(written=st.one_of(TEXTS, st.floats().map(str), st.datetimes().map(str), st.just('{"a": 1}')))
def test_before_postgresql_16_validity_is_found_out_by_trying(
    connection: psycopg.Connection[Any], written: str
) -> None:
    source = body("functions", "ingest_reads_as", 1)
    fallback = re.search(
        r"else\s+create function ingest\.reads_as(.*?)\$\$;", source.replace("as $$", "as $q$", 2), re.S
    )
    assert fallback is not None
    tried = fallback[1].rpartition("as $q$")
    with connection.transaction(force_rollback=True):
        connection.execute(f"create function pg_temp.tries{tried[0]}as $q${tried[2]}$q$".encode())
        for kind in ("timestamptz", "double precision", "jsonb"):
            [[by_trying, by_asking]] = connection.execute(
                "select pg_temp.tries(%(w)s, %(k)s), pg_input_is_valid(%(w)s, %(k)s)", {"w": written, "k": kind}
            )
            assert by_trying == by_asking
