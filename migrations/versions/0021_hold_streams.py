"""Hold streams that must not be cut now, and cut for more reasons."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Install them; the three arguments of before still work."""
    sql_objects.install("functions", "learning_stopped")
    sql_objects.install("functions", "learning_training_seconds")
    sql_objects.install("functions", "learning_hold")
    sql_objects.install("functions", "learning_due_by_rows")
    op.execute("drop function learning.cut_window(text, timestamptz, boolean)")
    sql_objects.install("functions", "learning_cut_window", 2)
    sql_objects.install("functions", "learning_cut_due")


def downgrade() -> None:
    """Cut by rows, age and hand, at once."""
    op.execute("drop function learning.cut_due()")
    op.execute("drop function learning.cut_window(text, timestamptz, boolean, text)")
    sql_objects.install("functions", "learning_cut_window")
    op.execute("drop function learning.due_by_rows(text)")
    op.execute("drop function learning.hold(text)")
    op.execute("drop function learning.training_seconds(text)")
    op.execute("drop function learning.stopped(text)")
