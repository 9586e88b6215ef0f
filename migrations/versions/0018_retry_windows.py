"""Let an operator retry a parked window."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations import sql_objects

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Remember when, and count attempts from then on."""
    op.add_column(
        "windows",
        sa.Column(
            "retried_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When an operator last asked for another round of attempts.",
        ),
        schema="learning",
    )
    sql_objects.install("functions", "learning_sweep", 2)
    sql_objects.install("functions", "learning_retry_window")


def downgrade() -> None:
    """Count all attempts again."""
    op.execute("drop function learning.retry_window(bigint)")
    op.execute("drop function learning.sweep(integer, interval)")
    sql_objects.install("functions", "learning_sweep")
    op.drop_column("windows", "retried_at", schema="learning")
