"""Keep the events of some streams' windows past retention."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

from migrations import sql_objects

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Make the place for them, and read windows from both."""
    op.add_column(
        "streams",
        sa.Column(
            "keep_events",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Whether its windows' events outlive retention, so that a replay can read them.",
        ),
        schema="learning",
    )
    op.create_table(
        "kept_events",
        sa.Column("event_id", sa.BigInteger(), nullable=False, comment="Name of the event."),
        sa.Column("stream", sa.Text(), nullable=True, comment="Stream that learned from it."),
        sa.Column("user_id", sa.Text(), nullable=True, comment="Who."),
        sa.Column("item_id", sa.Text(), nullable=True, comment="What."),
        sa.Column("event_type", sa.Text(), nullable=True, comment="view, click, cart, purchase or rating."),
        sa.Column("value", sa.Float(precision=53), nullable=True, comment="Amount of a purchase, stars of a rating."),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=True, comment="When it happened."),
        sa.Column("ingested_at", sa.DateTime(timezone=True), nullable=False, comment="When it was written."),
        sa.Column("context", pg.JSONB(astext_type=sa.Text()), nullable=True, comment="What the application added."),
        sa.Column("client_key", sa.Text(), nullable=True, comment="The application's own key of the event."),
        sa.PrimaryKeyConstraint("event_id", name=op.f("kept_events_pkey")),
        schema="ingest",
        comment="Events past retention of streams that keep theirs: the columns of behaviour_events, in their order.",
    )
    sql_objects.install("functions", "learning_read_window", 2)
    sql_objects.install("functions", "learning_window_is_whole")


def downgrade() -> None:
    """Read the live events only; what was kept is dropped."""
    op.execute("drop function learning.window_is_whole(bigint)")
    op.execute("drop function learning.read_window(bigint)")
    sql_objects.install("functions", "learning_read_window")
    op.drop_table("kept_events", schema="ingest")
    op.drop_column("streams", "keep_events", schema="learning")
