"""Send Celery tasks from SQL."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Install them."""
    sql_objects.install("functions", "learning_send_task")


def downgrade() -> None:
    """Drop them."""
    op.execute("drop function learning.send_task(text, text, jsonb)")
