"""Let a statement that reads a window be planned as one."""

from __future__ import annotations

from migrations import sql_objects

revision = "0037"
down_revision = "0051"


def upgrade() -> None:
    """Install it."""
    sql_objects.install("functions", "learning_read_window", 3)


def downgrade() -> None:
    """Read it apart."""
    sql_objects.install("functions", "learning_read_window", 2)
