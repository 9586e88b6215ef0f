"""Cut a window when what waits is new in kind."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Install the figures of what waits, and the cut that they cause."""
    sql_objects.install("functions", "learning_newest_events")
    sql_objects.install("functions", "learning_waiting_figures")
    sql_objects.install("functions", "learning_cut_changed")


def downgrade() -> None:
    """Count only."""
    op.execute("drop function learning.cut_changed()")
    op.execute("drop function learning.waiting_figures(text)")
    op.execute("drop function learning.newest_events(text, int8multirange, timestamptz, timestamptz, integer)")
