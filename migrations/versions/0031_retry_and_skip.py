"""Let a retried window train as if it came now, and a parked one be skipped."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    """Install them."""
    sql_objects.install("functions", "learning_retry_window", 2)
    sql_objects.install("functions", "learning_skip_window")


def downgrade() -> None:
    """Leave a retried window where it was."""
    op.execute("drop function learning.skip_window(bigint)")
    op.execute("drop function learning.retry_window(bigint)")
    sql_objects.install("functions", "learning_retry_window")
