"""Make the history tables that training reads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "user_timelines",
        sa.Column("user_id", sa.Text(), nullable=False, comment="The user."),
        sa.Column("position", sa.BigInteger(), nullable=False, comment="Position of the window."),
        sa.Column("stream", sa.Text(), nullable=False, comment="Stream of the window."),
        sa.Column(
            "bucket",
            sa.SmallInteger(),
            nullable=False,
            comment="Hash of the user, 0 to 1023: replay draws users by it.",
        ),
        sa.Column("n", sa.Integer(), nullable=False, comment="Number of events."),
        sa.Column("item_ids", pg.ARRAY(sa.Text()), nullable=False, comment="Items, in order of time."),
        sa.Column(
            "event_types",
            pg.ARRAY(sa.SmallInteger()),
            nullable=False,
            comment="0 view, 1 click, 2 cart, 3 purchase, 4 rating.",
        ),
        sa.Column(
            "occurred",
            pg.ARRAY(sa.Float(precision=53)),
            nullable=False,
            comment="Times, in seconds since 1970.",
        ),
        sa.Column(
            "event_values",
            pg.ARRAY(sa.REAL()),
            nullable=False,
            comment="Values; NaN where the event has none.",
        ),
        sa.PrimaryKeyConstraint("user_id", "position", name=op.f("user_timelines_pkey")),
        schema="features",
        comment="One row a user and window: what a run reads as history. Immutable, so a run can be repeated exactly.",
    )
    op.create_index(
        "user_timelines_replay_idx", "user_timelines", ["position", "bucket"], unique=False, schema="features"
    )
    op.create_table(
        "user_activity_history",
        sa.Column("user_id", sa.Text(), nullable=False, comment="The entity."),
        sa.Column(
            "event_timestamp",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="The row holds from just after this time.",
        ),
        sa.Column(
            "n_events",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Events of any type.",
        ),
        sa.Column("n_view", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="Views."),
        sa.Column("n_click", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="Clicks."),
        sa.Column(
            "n_cart",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Additions to a cart.",
        ),
        sa.Column("n_purchase", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="Purchases."),
        sa.Column("n_rating", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="Ratings."),
        sa.Column(
            "decayed_day",
            sa.Float(precision=53),
            server_default=sa.text("0"),
            nullable=False,
            comment="Events, each halved every day, as of last_event_at.",
        ),
        sa.Column(
            "decayed_week",
            sa.Float(precision=53),
            server_default=sa.text("0"),
            nullable=False,
            comment="Events, each halved every seven days, as of last_event_at.",
        ),
        sa.Column(
            "decayed_month",
            sa.Float(precision=53),
            server_default=sa.text("0"),
            nullable=False,
            comment="Events, each halved every thirty days, as of last_event_at.",
        ),
        sa.Column(
            "spend",
            sa.Float(precision=53),
            server_default=sa.text("0"),
            nullable=False,
            comment="Sum of the values of purchases.",
        ),
        sa.Column(
            "rating_sum",
            sa.Float(precision=53),
            server_default=sa.text("0"),
            nullable=False,
            comment="Sum of the values of ratings.",
        ),
        sa.Column(
            "first_event_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Time of the earliest event.",
        ),
        sa.Column("position", sa.BigInteger(), nullable=False, comment="Position of the window that made the row."),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When the row was made.",
        ),
        sa.PrimaryKeyConstraint("user_id", "event_timestamp", "position", name=op.f("user_activity_history_pkey")),
        schema="features",
        comment="User features after each moment of a user, for point-in-time retrieval.",
    )
    op.create_index(
        "user_activity_history_position_idx",
        "user_activity_history",
        ["position"],
        unique=False,
        schema="features",
    )
    op.create_table(
        "item_activity_history",
        sa.Column("item_id", sa.Text(), nullable=False, comment="The entity."),
        sa.Column(
            "event_timestamp",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="The row holds from just after this time.",
        ),
        sa.Column(
            "n_events",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Events of any type.",
        ),
        sa.Column("n_view", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="Views."),
        sa.Column("n_click", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="Clicks."),
        sa.Column(
            "n_cart",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Additions to a cart.",
        ),
        sa.Column("n_purchase", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="Purchases."),
        sa.Column("n_rating", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="Ratings."),
        sa.Column(
            "decayed_day",
            sa.Float(precision=53),
            server_default=sa.text("0"),
            nullable=False,
            comment="Events, each halved every day, as of last_event_at.",
        ),
        sa.Column(
            "decayed_week",
            sa.Float(precision=53),
            server_default=sa.text("0"),
            nullable=False,
            comment="Events, each halved every seven days, as of last_event_at.",
        ),
        sa.Column(
            "decayed_month",
            sa.Float(precision=53),
            server_default=sa.text("0"),
            nullable=False,
            comment="Events, each halved every thirty days, as of last_event_at.",
        ),
        sa.Column(
            "spend",
            sa.Float(precision=53),
            server_default=sa.text("0"),
            nullable=False,
            comment="Sum of the values of purchases.",
        ),
        sa.Column(
            "rating_sum",
            sa.Float(precision=53),
            server_default=sa.text("0"),
            nullable=False,
            comment="Sum of the values of ratings.",
        ),
        sa.Column(
            "first_event_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Time of the earliest event.",
        ),
        sa.Column("position", sa.BigInteger(), nullable=False, comment="Position of the window that made the row."),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When the row was made.",
        ),
        sa.PrimaryKeyConstraint("item_id", "event_timestamp", "position", name=op.f("item_activity_history_pkey")),
        schema="features",
        comment="Item features at the end of each day with an event, for point-in-time retrieval.",
    )
    op.create_index(
        "item_activity_history_position_idx",
        "item_activity_history",
        ["position"],
        unique=False,
        schema="features",
    )


def downgrade() -> None:
    """Revert."""
    op.drop_table("item_activity_history", schema="features")
    op.drop_table("user_activity_history", schema="features")
    op.drop_table("user_timelines", schema="features")
