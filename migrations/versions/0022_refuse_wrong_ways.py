"""Refuse changes of state that no window and no run can go through."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Watch them."""
    for subject in ("window", "run"):
        sql_objects.install("functions", f"learning_check_{subject}_transition")
        sql_objects.install("triggers", f"learning_check_{subject}_transition")


def downgrade() -> None:
    """Trust the writers."""
    for subject in ("run", "window"):
        op.execute(f"drop trigger check_{subject}_transition on learning.{subject}s")
        op.execute(f"drop function learning.check_{subject}_transition()")
