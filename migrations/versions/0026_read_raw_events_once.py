"""Make one document of each raw event instead of thirty."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    """Install the second version of the raw trigger's function."""
    sql_objects.install("functions", "ingest_receive_raw_events", 2)


def downgrade() -> None:
    """Put the first one back; it was written to be created, so the trigger goes and comes with it."""
    op.execute("drop trigger receive_raw_events on ingest.raw_events")
    op.execute("drop function ingest.receive_raw_events()")
    sql_objects.install("functions", "ingest_receive_raw_events")
    sql_objects.install("triggers", "ingest_receive_raw_events")
