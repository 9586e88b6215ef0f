"""Make the live feature tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "unfolded_batches",
        sa.Column("stream", sa.Text(), nullable=False, comment="Stream of the batch."),
        sa.Column("n", sa.Integer(), nullable=False, comment="Number of events."),
        sa.Column("lo", sa.BigInteger(), nullable=False, comment="Smallest event_id."),
        sa.Column("hi", sa.BigInteger(), nullable=False, comment="Largest event_id."),
        sa.Column(
            "ids",
            pg.INT8MULTIRANGE(),
            nullable=True,
            comment="The event ids, where they are not all of lo to hi.",
        ),
        sa.Column("t0", sa.DateTime(timezone=True), nullable=False, comment="Smallest ingested_at."),
        sa.Column("t1", sa.DateTime(timezone=True), nullable=False, comment="Largest ingested_at."),
        schema="features",
        comment="Batches that the keeper has not folded into the live features yet.",
        postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "20000"},
    )
    op.create_table(
        "user_activity",
        sa.Column("user_id", sa.Text(), nullable=False, comment="The user."),
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
        sa.Column("last_event_at", sa.DateTime(timezone=True), nullable=False, comment="Time of the latest event."),
        sa.Column(
            "recent_items",
            pg.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="Items of the last 100 events, oldest first.",
        ),
        sa.Column(
            "recent_types",
            pg.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="Types of the same events.",
        ),
        sa.Column(
            "recent_times",
            pg.ARRAY(sa.DateTime(timezone=True)),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="Times of the same events.",
        ),
        sa.Column(
            "category_affinity",
            pg.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="Events by category, halved every thirty days, as of last_event_at; the twenty largest.",
        ),
        sa.Column(
            "folded_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When the keeper last touched the row.",
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("user_activity_pkey")),
        schema="features",
        comment="Live features of a user. A read that must see its own write merges the batches not folded yet.",
        postgresql_with={"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.05"},
    )
    op.create_table(
        "item_activity",
        sa.Column("item_id", sa.Text(), nullable=False, comment="The item."),
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
        sa.Column("last_event_at", sa.DateTime(timezone=True), nullable=False, comment="Time of the latest event."),
        sa.Column(
            "folded_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When the keeper last touched the row.",
        ),
        sa.PrimaryKeyConstraint("item_id", name=op.f("item_activity_pkey")),
        schema="features",
        comment="Live features of an item: its popularity by period.",
        postgresql_with={"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.05"},
    )
    op.create_table(
        "user_item_activity",
        sa.Column("user_id", sa.Text(), nullable=False, comment="The user."),
        sa.Column("item_id", sa.Text(), nullable=False, comment="The item."),
        sa.Column(
            "n_events",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Events of the pair.",
        ),
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
            "first_event_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Time of the earliest event.",
        ),
        sa.Column("last_event_at", sa.DateTime(timezone=True), nullable=False, comment="Time of the latest event."),
        sa.PrimaryKeyConstraint("user_id", "item_id", name=op.f("user_item_activity_pkey")),
        schema="features",
        comment="Live features of a user with an item: what repeat consumption is predicted from.",
        postgresql_with={"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.05"},
    )
    op.create_table(
        "clocks",
        sa.Column("stream", sa.Text(), nullable=False, comment="The stream."),
        sa.Column(
            "last_event_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Time of the newest event that was folded.",
        ),
        sa.PrimaryKeyConstraint("stream", name=op.f("clocks_pkey")),
        schema="features",
        comment="The present of each stream: the time of its newest event. A replay of last year has its own present.",
    )


def downgrade() -> None:
    """Revert."""
    op.drop_table("clocks", schema="features")
    op.drop_table("user_item_activity", schema="features")
    op.drop_table("item_activity", schema="features")
    op.drop_table("user_activity", schema="features")
    op.drop_table("unfolded_batches", schema="features")
