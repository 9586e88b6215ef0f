"""Say how long things live, seal days that are over and let go of what is past."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations import sql_objects

revision = "0028"
down_revision = "0027"

FUNCTIONS = (
    "ingest_partitions",
    "ingest_needed",
    "ingest_retention_plan",
    "ingest_keep_events",
    "ingest_drop_partition",
    "ingest_trim_default",
    "ingest_trim_quarantine",
    "ingest_seal_partition",
    "serving_trim_impressions",
)


def upgrade() -> None:
    """Make the table with its one row, and what obeys it."""
    op.create_table(
        "lifetime",
        sa.Column(
            "one_row",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="True: there is one lifetime for all events.",
        ),
        sa.Column(
            "keep_events",
            sa.Interval(),
            nullable=True,
            comment="Days older than this are dropped whole; null: never. Live features and timelines outlive them.",
        ),
        sa.Column(
            "keep_quarantine",
            sa.Interval(),
            server_default=sa.text("interval '90 days'"),
            nullable=True,
            comment="Long enough for an operator to find, explain and redrive what was refused; null: for ever.",
        ),
        sa.Column(
            "keep_impressions",
            sa.Interval(),
            nullable=True,
            comment="The lineage of every answer, and the base of live click rates; null: for ever.",
        ),
        sa.Column(
            "seal_after",
            sa.Interval(),
            server_default=sa.text("interval '1 hour'"),
            nullable=False,
            comment="A day is indexed so long after its end: transactions that began in it have ended.",
        ),
        sa.CheckConstraint("one_row", name=op.f("lifetime_is_one_row")),
        # A shorter one would drop the day that is being written.
        sa.CheckConstraint("keep_events >= interval '1 day'", name=op.f("events_are_kept_for_a_day")),
        sa.CheckConstraint("keep_quarantine > interval '0'", name=op.f("keep_quarantine_positive")),
        sa.CheckConstraint("keep_impressions > interval '0'", name=op.f("keep_impressions_positive")),
        sa.CheckConstraint("seal_after >= interval '0'", name=op.f("seal_after_not_negative")),
        sa.PrimaryKeyConstraint("one_row", name=op.f("lifetime_pkey")),
        schema="ingest",
        comment="How long events, quarantine and impressions are kept. The keeper obeys it once an hour.",
    )
    op.execute("insert into ingest.lifetime default values")
    for name in FUNCTIONS:
        sql_objects.install("functions", name)


def downgrade() -> None:
    """Keep everything for ever."""
    op.execute("drop function serving.trim_impressions(integer)")
    op.execute("drop function ingest.seal_partition(text)")
    op.execute("drop function ingest.trim_quarantine(integer)")
    op.execute("drop function ingest.trim_default(integer)")
    op.execute("drop function ingest.drop_partition(text)")
    op.execute("drop function ingest.keep_events(timestamptz, timestamptz)")
    op.execute("drop function ingest.retention_plan()")
    op.execute("drop function ingest.needed()")
    op.execute("drop function ingest.partitions()")
    op.drop_table("lifetime", schema="ingest")
