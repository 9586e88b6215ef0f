"""Schedules are cron with five fields, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tidegate.errors import UnreadableSchedule
from tidegate.schedules import next_time

MONDAY = datetime(2026, 3, 2, 12, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "due"),
    [
        ("* * * * *", datetime(2026, 3, 2, 12, 31, tzinfo=UTC)),
        ("0 3 * * *", datetime(2026, 3, 3, 3, 0, tzinfo=UTC)),
        ("*/20 * * * *", datetime(2026, 3, 2, 12, 40, tzinfo=UTC)),
        ("0 0 * * SUN", datetime(2026, 3, 8, tzinfo=UTC)),
        ("0 0 29 2 *", datetime(2028, 2, 29, tzinfo=UTC)),
    ],
)
def test_the_next_time_is_later_than_now(schedule: str, due: datetime) -> None:
    assert next_time(schedule, MONDAY) == due


def test_a_moment_in_another_zone_is_the_same_moment() -> None:
    there = MONDAY.astimezone(timezone(timedelta(hours=9)))
    assert next_time("0 13 * * *", there) == datetime(2026, 3, 2, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ("", "five fields"),
        ("0 3 * *", "five fields"),
        ("0 0 3 * * *", "five fields"),
        ("0  3 * * *", "five fields"),
        ("61 * * * *", "bad minute"),
        ("0 3 * * funday", "bad day-of-week"),
        ("0 0 30 2 *", "bad day-of-month"),
    ],
)
def test_an_unreadable_schedule_says_what_is_wrong_and_what_to_write(schedule: str, why: str) -> None:
    with pytest.raises(UnreadableSchedule, match=why) as caught:
        next_time(schedule, MONDAY)
    assert "'0 3 * * *'" in caught.value.next_step
