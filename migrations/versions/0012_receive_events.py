"""Clean and count behaviour events as they arrive."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Install them."""
    sql_objects.install("functions", "ingest_flaw")
    sql_objects.install("functions", "ingest_receive_events")
    sql_objects.install("triggers", "ingest_receive_events")
    sql_objects.install("functions", "ingest_make_partitions")


def downgrade() -> None:
    """Drop them."""
    op.execute("drop function ingest.make_partitions(integer)")
    op.execute("drop trigger receive_events on ingest.behaviour_events")
    op.execute("drop function ingest.receive_events()")
    op.execute("drop function ingest.flaw(text, text, text, text, double precision, timestamptz, jsonb)")
