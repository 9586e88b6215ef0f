"""Let two keepers meet over a batch."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0052"
down_revision = "0038"


def upgrade() -> None:
    """Take the folder's lock, and skip what another has measured."""
    sql_objects.install("functions", "ingest_note_batches", 2)


def downgrade() -> None:
    """Measure without it."""
    op.execute("drop function ingest.note_batches(integer, integer)")
    sql_objects.install("functions", "ingest_note_batches")
