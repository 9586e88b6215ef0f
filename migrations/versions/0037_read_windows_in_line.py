"""Let a statement that reads a window be planned as one."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    """Install it; replacing would keep the setting."""
    op.execute("alter function learning.read_window(bigint) reset all")
    sql_objects.install("functions", "learning_read_window", 3)


def downgrade() -> None:
    """Read it apart."""
    sql_objects.install("functions", "learning_read_window", 2)
