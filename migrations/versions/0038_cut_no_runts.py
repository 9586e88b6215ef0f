"""Have the sweep count again before it cuts."""

from __future__ import annotations

from migrations import sql_objects

revision = "0038"
down_revision = "0024"


def upgrade() -> None:
    """Install it."""
    sql_objects.install("functions", "learning_cut_due", 3)


def downgrade() -> None:
    """Trust the first count."""
    sql_objects.install("functions", "learning_cut_due", 2)
