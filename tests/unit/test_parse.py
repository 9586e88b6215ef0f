"""What files and requests hold becomes what columns take, or names the rule that it breaks."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate import parse

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2024-01-01T12:00:00Z",
        "2024-01-01 12:00:00",
        "2024-01-01T14:00:00+02:00",
        "20240101T120000Z",
        "1.7041104e9",
        1704110400,
        "1704110400",
        1704110400.0,
        1704110400000,
        1704110400000000,
        1704110400000000000,
        datetime(2024, 1, 1, 12),  # noqa: DTZ001  # that is the point
        datetime(2024, 1, 1, 14, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_a_time_may_be_iso_or_an_epoch_in_any_unit(written: object) -> None:
    assert parse.moment(written, "occurred_at") == NOON


def test_a_date_is_its_midnight_in_utc() -> None:
    assert parse.moment(date(2024, 1, 1), "occurred_at") == datetime(2024, 1, 1, tzinfo=UTC)
    for written in ("2024-01-01", "20240101"):
        assert parse.moment(written, "occurred_at") == datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("written", ["yesterday", "2024-13-01", [], {}, True, "nan", "inf", -1e30, b"2024"])
def test_what_is_no_time_is_named_in_the_reason(written: object) -> None:
    with pytest.raises(parse.Flaw, match="occurred_at must be ISO 8601 or seconds since 1970, not"):
        parse.moment(written, "occurred_at")


@pytest.mark.parametrize(("written", "number"), [("4.5", 4.5), (" 7 ", 7.0), (Decimal("1.5"), 1.5), ("", None)])
def test_a_number_may_be_text(written: object, number: float | None) -> None:
    assert parse.number(written, "value") == number


@pytest.mark.parametrize("written", ["x", True, [1], 10**400])
def test_what_is_no_number_is_a_flaw(written: object) -> None:
    with pytest.raises(parse.Flaw, match="value must be a number"):
        parse.number(written, "value")


@pytest.mark.parametrize(("written", "text"), [(7, "7"), (7.0, "7"), ("7", "7"), (None, None), ("", "")])
def test_an_id_may_be_a_number(written: object, text: str | None) -> None:
    assert parse.text(written, "user_id") == text


@pytest.mark.parametrize("written", ["a\x00b", "\ud800", True, {"a": 1}])
def test_text_that_postgresql_cannot_hold_is_a_flaw(written: object) -> None:
    with pytest.raises(parse.Flaw, match="user_id"):
        parse.text(written, "user_id")


def test_a_document_may_be_an_object_or_its_text() -> None:
    assert json.loads(parse.document({"a": 1}, "context") or "") == {"a": 1}
    assert json.loads(parse.document('{"a": 1}', "context") or "") == {"a": 1}
    assert parse.document("null", "context") is None


@pytest.mark.parametrize("written", ["{", {"a": "\x00"}, '{"a": "\\u0000"}', {1: 2}, {"a": 2**70}])
def test_a_document_that_is_no_storable_json_is_a_flaw(written: object) -> None:
    with pytest.raises(parse.Flaw, match="context"):
        parse.document(written, "context")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(VALUES)
def test_whatever_is_written_is_read_or_a_flaw(value: object) -> None:
    for read in (parse.text, parse.number, parse.moment, parse.document, parse.flag):
        with suppress(parse.Flaw):
            read(value, "column")


@given(VALUES)
def test_every_row_can_be_kept_as_it_was_given(value: object) -> None:
    kept = parse.as_given({"event": value})
    assert "\x00" not in kept
    assert "\\u0000" not in kept
    json.loads(kept)
