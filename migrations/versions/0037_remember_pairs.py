"""Remember what was known of user-item pairs, window by window."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations import sql_objects

revision = "0037"
down_revision = "0036"

AMOUNTS = {
    "decayed_day": "Events, each halved every day, as of event_timestamp.",
    "decayed_week": "Events, each halved every seven days, as of event_timestamp.",
    "decayed_month": "Events, each halved every thirty days, as of event_timestamp.",
}


def upgrade() -> None:
    """Make their history, and let windows write it."""
    op.create_table(
        "user_item_activity_history",
        sa.Column("user_id", sa.Text(), nullable=False, comment="The user."),
        sa.Column("item_id", sa.Text(), nullable=False, comment="The item."),
        sa.Column(
            "event_timestamp",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="The row holds from just after this time.",
        ),
        sa.Column(
            "n_events", sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment="Events of the pair."
        ),
        *(
            sa.Column(name, sa.Float(precision=53), server_default=sa.text("0"), nullable=False, comment=comment)
            for name, comment in AMOUNTS.items()
        ),
        sa.Column("first_event_at", sa.DateTime(timezone=True), nullable=False, comment="Time of the earliest event."),
        sa.Column("position", sa.BigInteger(), nullable=False, comment="Position of the window that made the row."),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When the row was made.",
        ),
        sa.PrimaryKeyConstraint(
            "user_id", "item_id", "event_timestamp", "position", name=op.f("user_item_activity_history_pkey")
        ),
        schema="features",
        comment="Features of a user with an item after each of their moments, for point-in-time retrieval.",
    )
    op.create_index(
        "user_item_activity_history_position_idx", "user_item_activity_history", ["position"], schema="features"
    )
    sql_objects.install("functions", "features_record_pairs")
    sql_objects.install("functions", "features_materialise_window", 3)


def downgrade() -> None:
    """Forget them."""
    sql_objects.install("functions", "features_materialise_window", 2)
    op.execute("drop function features.record_pairs(bigint, bigint)")
    op.drop_table("user_item_activity_history", schema="features")
