"""Live features, and the history that training reads."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, REAL

from tidegate.tables.columns import Time, amount, count, document, metadata, moment


def activity() -> list[Column[Any]]:
    """Return the columns that users and items share: counts by type, decayed counts and recency."""
    return [
        count("n_events", "Events of any type."),
        count("n_view", "Views."),
        count("n_click", "Clicks."),
        count("n_cart", "Additions to a cart."),
        count("n_purchase", "Purchases."),
        count("n_rating", "Ratings."),
        amount("decayed_day", "Events, each halved every day, as of last_event_at."),
        amount("decayed_week", "Events, each halved every seven days, as of last_event_at."),
        amount(
            "decayed_month",
            "Events, each halved every thirty days, as of last_event_at.",
        ),
        amount("spend", "Sum of the values of purchases."),
        amount("rating_sum", "Sum of the values of ratings."),
    ]


def activity_times() -> list[Column[Any]]:
    """Return when a user or an item was first and last seen."""
    return [
        moment("first_event_at", "Time of the earliest event."),
        moment("last_event_at", "Time of the latest event."),
    ]


# Rows here are updated all the time: room on the page keeps the updates in place.
LIVE = {"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.05"}

user_activity = Table(
    "user_activity",
    metadata,
    Column("user_id", Text, primary_key=True, comment="The user."),
    *activity(),
    *activity_times(),
    Column(
        "recent_items",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'"),
        comment="Items of the last 100 events, oldest first.",
    ),
    Column(
        "recent_types",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'"),
        comment="Types of the same events.",
    ),
    Column(
        "recent_times",
        ARRAY(Time),
        nullable=False,
        server_default=text("'{}'"),
        comment="Times of the same events.",
    ),
    document(
        "category_affinity",
        "Events by category, halved every thirty days, as of last_event_at; the twenty largest.",
    ),
    moment("folded_at", "When the keeper last touched the row.", now=True),
    schema="features",
    postgresql_with=LIVE,
    comment="Live features of a user. A read that must see its own write merges the batches not folded yet.",
)

item_activity = Table(
    "item_activity",
    metadata,
    Column("item_id", Text, primary_key=True, comment="The item."),
    *activity(),
    *activity_times(),
    moment("folded_at", "When the keeper last touched the row.", now=True),
    schema="features",
    postgresql_with=LIVE,
    comment="Live features of an item: its popularity by period.",
)

user_item_activity = Table(
    "user_item_activity",
    metadata,
    Column("user_id", Text, nullable=False, comment="The user."),
    Column("item_id", Text, nullable=False, comment="The item."),
    count("n_events", "Events of the pair."),
    amount("decayed_day", "Events, each halved every day, as of last_event_at."),
    amount("decayed_week", "Events, each halved every seven days, as of last_event_at."),
    amount("decayed_month", "Events, each halved every thirty days, as of last_event_at."),
    *activity_times(),
    PrimaryKeyConstraint("user_id", "item_id"),
    schema="features",
    postgresql_with=LIVE,
    comment="Live features of a user with an item: what repeat consumption is predicted from.",
)

clocks = Table(
    "clocks",
    metadata,
    Column("stream", Text, primary_key=True, comment="The stream."),
    moment("last_event_at", "Time of the newest event that was folded."),
    schema="features",
    comment="The present of each stream: the time of its newest event. A replay of last year has its own present.",
)

user_timelines = Table(
    "user_timelines",
    metadata,
    Column("user_id", Text, nullable=False, comment="The user."),
    Column("position", BigInteger, nullable=False, comment="Position of the window."),
    Column("stream", Text, nullable=False, comment="Stream of the window."),
    Column(
        "bucket",
        SmallInteger,
        nullable=False,
        comment="Hash of the user, 0 to 1023: replay draws users by it.",
    ),
    Column("n", Integer, nullable=False, comment="Number of events."),
    Column("item_ids", ARRAY(Text), nullable=False, comment="Items, in order of time."),
    Column(
        "event_types",
        ARRAY(SmallInteger),
        nullable=False,
        comment="0 view, 1 click, 2 cart, 3 purchase, 4 rating.",
    ),
    Column(
        "occurred",
        ARRAY(Float(53)),
        nullable=False,
        comment="Times, in seconds since 1970.",
    ),
    Column(
        "event_values",
        ARRAY(REAL),
        nullable=False,
        comment="Values; NaN where the event has none.",
    ),
    PrimaryKeyConstraint("user_id", "position"),
    Index("user_timelines_replay_idx", "position", "bucket"),
    schema="features",
    comment="One row a user and window: what a run reads as history. Immutable, so a run can be repeated exactly.",
)


def history(name: str, key: str, comment: str) -> Table:
    """Return a history table: the activity columns as they were just after each event_timestamp."""
    return Table(
        name,
        metadata,
        Column(key, Text, nullable=False, comment="The entity."),
        moment("event_timestamp", "The row holds from just after this time."),
        *activity(),
        moment("first_event_at", "Time of the earliest event."),
        Column(
            "position",
            BigInteger,
            nullable=False,
            comment="Position of the window that made the row.",
        ),
        moment("created_at", "When the row was made.", now=True),
        PrimaryKeyConstraint(key, "event_timestamp", "position"),
        Index(f"{name}_position_idx", "position"),
        schema="features",
        comment=comment,
    )


user_activity_history = history(
    "user_activity_history",
    "user_id",
    "User features after each moment of a user, for point-in-time retrieval.",
)
item_activity_history = history(
    "item_activity_history",
    "item_id",
    "Item features at the end of each day with an event, for point-in-time retrieval.",
)

user_item_activity_history = Table(
    "user_item_activity_history",
    metadata,
    Column("user_id", Text, nullable=False, comment="The user."),
    Column("item_id", Text, nullable=False, comment="The item."),
    moment("event_timestamp", "The row holds from just after this time."),
    count("n_events", "Events of the pair."),
    amount("decayed_day", "Events, each halved every day, as of event_timestamp."),
    amount("decayed_week", "Events, each halved every seven days, as of event_timestamp."),
    amount("decayed_month", "Events, each halved every thirty days, as of event_timestamp."),
    moment("first_event_at", "Time of the earliest event."),
    Column("position", BigInteger, nullable=False, comment="Position of the window that made the row."),
    moment("created_at", "When the row was made.", now=True),
    PrimaryKeyConstraint("user_id", "item_id", "event_timestamp", "position"),
    Index("user_item_activity_history_position_idx", "position"),
    schema="features",
    comment="Features of a user with an item after each of their moments, for point-in-time retrieval.",
)
