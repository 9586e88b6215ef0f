"""Copy what is kept in a transaction before the drop: a snapshot from before both saw neither."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0065"
down_revision = "0052"


def upgrade() -> None:
    """Wait for such snapshots."""
    sql_objects.install("functions", "ingest_drop_partition", 2)


def downgrade() -> None:
    """Copy and drop in one transaction again."""
    op.execute("drop function ingest.drop_partition(text)")
    sql_objects.install("functions", "ingest_drop_partition")
