"""Make the tables of behaviour events, quarantine and ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "behaviour_events",
        sa.Column(
            "event_id",
            sa.BigInteger(),
            sa.Identity(always=True, cache=32),
            nullable=False,
            comment="Name of the event; cached by 32 so that a session's ids form runs.",
        ),
        sa.Column(
            "stream",
            sa.Text(),
            server_default=sa.text("'default'"),
            nullable=True,
            comment="Stream that learns from it.",
        ),
        sa.Column(
            "user_id",
            sa.Text(),
            nullable=True,
            comment="Who. Null, empty or longer than 256 characters: quarantined.",
        ),
        sa.Column(
            "item_id",
            sa.Text(),
            nullable=True,
            comment="What. Null, empty or longer than 256 characters: quarantined.",
        ),
        sa.Column(
            "event_type",
            sa.Text(),
            nullable=True,
            comment="view, click, cart, purchase or rating; anything else: quarantined.",
        ),
        sa.Column(
            "value",
            sa.Float(precision=53),
            nullable=True,
            comment="Amount of a purchase, stars of a rating; not a number or infinite: quarantined.",
        ),
        sa.Column(
            "occurred_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=True,
            comment="When it happened; later than five minutes from now: quarantined.",
        ),
        sa.Column(
            "ingested_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="Partition key: start of the writing transaction.",
        ),
        sa.Column(
            "context",
            pg.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="Whatever the application adds; null or an object.",
        ),
        sa.Column(
            "client_key",
            sa.Text(),
            nullable=True,
            comment="The application's own key of the event, handed on as it is.",
        ),
        sa.PrimaryKeyConstraint("event_id", "ingested_at", name=op.f("behaviour_events_pkey")),
        schema="ingest",
        comment="Append only. The one table that an application writes; a statement trigger cleans, counts and nudges.",
        postgresql_partition_by="RANGE (ingested_at)",
    )
    op.create_table(
        "quarantined_events",
        sa.Column(
            "quarantine_id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="Name of the row.",
        ),
        sa.Column("event", pg.JSONB(astext_type=sa.Text()), nullable=False, comment="The row as it was written."),
        sa.Column("reason", sa.Text(), nullable=False, comment="The rule that it broke."),
        sa.Column(
            "quarantined_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When.",
        ),
        sa.PrimaryKeyConstraint("quarantine_id", name=op.f("quarantined_events_pkey")),
        schema="ingest",
        comment="Events that broke a rule, with the rule. Nothing is lost silently.",
    )
    op.create_table(
        "batches",
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
        schema="ingest",
        comment="The ledger: batches of events that no window owns yet.",
        postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "20000"},
    )
    op.execute("create table ingest.behaviour_events_default partition of ingest.behaviour_events default")


def downgrade() -> None:
    """Revert."""
    op.drop_table("batches", schema="ingest")
    op.drop_table("quarantined_events", schema="ingest")
    op.drop_table("behaviour_events", schema="ingest")
