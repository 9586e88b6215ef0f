"""Make partitions without waiting for writers."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Attach them."""
    sql_objects.install("functions", "ingest_make_partitions", 2)


def downgrade() -> None:
    """Create them in place again."""
    op.execute("drop function ingest.make_partitions(integer)")
    sql_objects.install("functions", "ingest_make_partitions")
