"""Serve the live version's scores by key to Feast's online store."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0041"
down_revision = "0040"


def upgrade() -> None:
    """Make the look-up."""
    sql_objects.install("functions", "serving_scores_now")


def downgrade() -> None:
    """Drop it."""
    op.execute("drop function serving.scores_now(text[], text[], text[])")
