"""Find the window of an event by an index."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    """Index what the windows hold."""
    op.create_index("windows_ids_idx", "windows", ["ids"], schema="learning", postgresql_using="gist")
    sql_objects.install("functions", "learning_window_of")


def downgrade() -> None:
    """Drop both."""
    op.execute("drop function learning.window_of(bigint)")
    op.drop_index("windows_ids_idx", "windows", schema="learning")
