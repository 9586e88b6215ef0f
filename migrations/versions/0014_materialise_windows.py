"""Materialise windows into history."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Install them."""
    sql_objects.install("functions", "features_decayed_step")
    sql_objects.install("functions", "features_decayed")
    sql_objects.install("functions", "features_record_users")
    sql_objects.install("functions", "features_record_items")
    sql_objects.install("functions", "features_materialise_window")


def downgrade() -> None:
    """Drop them."""
    op.execute("drop function features.materialise_window(bigint)")
    op.execute("drop function features.record_items(bigint, bigint)")
    op.execute("drop function features.record_users(bigint, bigint)")
    op.execute("drop aggregate features.decayed(double precision, double precision)")
    op.execute("drop function features.decayed_step(double precision, double precision, double precision)")
