"""Cut windows, read them, claim them, sweep."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Install them."""
    sql_objects.install("functions", "learning_cut_window")
    sql_objects.install("functions", "learning_read_window")
    sql_objects.install("functions", "learning_claim_window")
    sql_objects.install("functions", "learning_sweep")


def downgrade() -> None:
    """Drop them."""
    op.execute("drop function learning.sweep(integer, interval)")
    op.execute("drop function learning.claim_window(text, text, interval)")
    op.execute("drop function learning.read_window(bigint)")
    op.execute("drop function learning.cut_window(text, timestamptz, boolean)")
