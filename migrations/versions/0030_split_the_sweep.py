"""Give each part of the sweep a name of its own."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0030"
down_revision = "0018"


def upgrade() -> None:
    """Split it."""
    sql_objects.install("functions", "learning_cut_due")
    sql_objects.install("functions", "learning_free_leases")
    sql_objects.install("functions", "learning_park_failing")
    sql_objects.install("functions", "learning_repeat_nudges")
    sql_objects.install("functions", "learning_sweep", 3)


def downgrade() -> None:
    """Put it together again."""
    sql_objects.install("functions", "learning_sweep", 2)
    op.execute("drop function learning.repeat_nudges(interval)")
    op.execute("drop function learning.park_failing(integer)")
    op.execute("drop function learning.free_leases()")
    op.execute("drop function learning.cut_due()")
