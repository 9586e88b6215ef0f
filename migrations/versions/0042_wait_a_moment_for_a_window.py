"""Have a claim wait a moment for a window that somebody holds: its task would be lost until the next nudge."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0042"
down_revision = "0041"


def upgrade() -> None:
    """Wait a second."""
    sql_objects.install("functions", "learning_claim_window", 3)


def downgrade() -> None:
    """Skip it."""
    op.execute("drop function learning.claim_window(text, text, interval)")
    sql_objects.install("functions", "learning_claim_window", 2)
