"""Schedules of streams: cron with five fields, in UTC.

The cut itself is SQL, where `next_cut_at` has passed. What SQL cannot do is read a schedule, so that is all that
happens here: the keeper works out when each is due next. One that came due while no keeper ran is due still, once.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg
from cronsim import CronSim, CronSimError

from tidegate.errors import UnreadableSchedule
from tidegate.queries import queries

FIELDS = 5  # the library takes six, and then the first is seconds: a sweep each second would not keep them


def next_time(schedule: str, after: datetime) -> datetime:
    """Return the first time of a schedule later than `after`, in UTC. Raises UnreadableSchedule."""
    if len(schedule.split(" ")) != FIELDS:
        raise UnreadableSchedule(f"The schedule {schedule!r} does not have five fields with a blank between them.")
    try:
        return next(CronSim(schedule, after.astimezone(UTC)))
    except CronSimError as error:
        raise UnreadableSchedule(f"The schedule {schedule!r} cannot be read: {str(error).lower()}.") from None
    except StopIteration:
        raise UnreadableSchedule(f"The schedule {schedule!r} is never due.") from None


def flaw(schedule: str | None) -> str | None:
    """Return why a schedule cannot be read; None where it can, or where there is none."""
    try:
        if schedule is not None:
            next_time(schedule, datetime.now(UTC))
    except UnreadableSchedule as error:
        return error.cause
    return None


def plan(connection: psycopg.Connection[Any]) -> dict[str, UnreadableSchedule]:
    """Work out when schedules are due that nobody has worked out yet; return the unreadable ones by stream."""
    unreadable = {}
    for stream, schedule in connection.execute(queries["unplanned_schedules"]).fetchall():
        try:
            at = next_time(schedule, datetime.now(UTC))
        except UnreadableSchedule as error:
            unreadable[stream] = error
        else:
            connection.execute(queries["plan_cut"], {"stream": stream, "schedule": schedule, "at": at})
    return unreadable
