"""Deploy versions and recommend."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Install them."""
    sql_objects.install("types", "serving_recommendation")
    sql_objects.install("functions", "serving_live_version")
    sql_objects.install("functions", "learning_deploy")
    sql_objects.install("functions", "serving_rank")
    sql_objects.install("functions", "serving_recommend")


def downgrade() -> None:
    """Drop them."""
    op.execute("drop function serving.recommend(text, integer, text, text)")
    op.execute("drop function serving.rank(text, integer, text)")
    op.execute("drop function learning.deploy(bigint, text)")
    op.execute("drop function serving.live_version(text)")
    op.execute("drop type serving.recommendation")
