"""Look up features as they were at a moment."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    """Install the lookups."""
    sql_objects.install("functions", "features_as_of")
    sql_objects.install("functions", "features_item_as_of")
    sql_objects.install("functions", "features_pairs_as_of")


def downgrade() -> None:
    """Drop them."""
    op.execute("drop function features.pairs_as_of(text, timestamptz)")
    op.execute("drop function features.item_as_of(text, timestamptz)")
    op.execute("drop function features.as_of(text, timestamptz)")
