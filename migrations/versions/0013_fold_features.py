"""Fold events into the live features and merge at read."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Install them."""
    sql_objects.install("functions", "features_decay")
    sql_objects.install("functions", "features_fresh_events")
    sql_objects.install("functions", "features_merged_users")
    sql_objects.install("functions", "features_merged_items")
    sql_objects.install("functions", "features_merged_pairs")
    sql_objects.install("functions", "features_fold")
    sql_objects.install("functions", "features_user_features")
    sql_objects.install("functions", "features_user_pairs")


def downgrade() -> None:
    """Drop them."""
    op.execute("drop function features.user_pairs(text)")
    op.execute("drop function features.user_features(text)")
    op.execute("drop function features.fold()")
    op.execute("drop function features.merged_pairs(text)")
    op.execute("drop function features.merged_items()")
    op.execute("drop function features.merged_users(text)")
    op.execute("drop function features.fresh_events(text)")
    op.execute("drop function features.decay(interval, double precision)")
