"""Serve live features by key, fresh at commit, to Feast's online store."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0040"
down_revision = "0039"


def upgrade() -> None:
    """Make the look-ups."""
    sql_objects.install("functions", "features_users_now")
    sql_objects.install("functions", "features_items_now")


def downgrade() -> None:
    """Drop them."""
    op.execute("drop function features.items_now(text[])")
    op.execute("drop function features.users_now(text[])")
