"""Find the few windows that the sweep looks for, however many there were before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0065"


def upgrade() -> None:
    """Index trained windows whose values are not in the online store."""
    op.create_index(
        "windows_not_online_idx",
        "windows",
        ["window_id"],
        schema="learning",
        postgresql_where=sa.text("state = 'trained' and online_at is null"),
    )


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("windows_not_online_idx", "windows", schema="learning")
