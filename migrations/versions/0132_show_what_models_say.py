"""Show what models say as rows of features."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0132"
down_revision = "0131"

VIEWS = ("deployed_versions", "deployed_item_vectors", "deployed_user_vectors", "shown_scores")


def upgrade() -> None:
    """Make the views."""
    for name in VIEWS:
        sql_objects.install("views", f"serving_{name}")


def downgrade() -> None:
    """Drop them."""
    for name in reversed(VIEWS):
        op.execute(f"drop view serving.{name}")
