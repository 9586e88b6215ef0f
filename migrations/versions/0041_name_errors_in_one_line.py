"""Name an error by the line of its traceback that says it, and not by what the database adds."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0041"
down_revision = "0023"


def upgrade() -> None:
    """Park windows with that line."""
    sql_objects.install("functions", "learning_error_line")
    sql_objects.install("functions", "learning_park_exhausted", 2)
    sql_objects.install("functions", "learning_fail_materialisation", 2)


def downgrade() -> None:
    """Park them with the last line."""
    op.execute("drop function learning.fail_materialisation(bigint, text)")
    sql_objects.install("functions", "learning_fail_materialisation")
    op.execute("drop function learning.park_exhausted(bigint)")
    sql_objects.install("functions", "learning_park_exhausted")
    op.execute("drop function learning.error_line(text)")
