"""Show pairs and what models say as rows of features."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0039"
down_revision = "0038"

VIEWS = (
    "serving.deployed_versions",
    "serving.deployed_item_vectors",
    "serving.deployed_user_vectors",
    "serving.live_versions",
    "serving.live_item_vectors",
    "serving.live_user_vectors",
    "serving.shown_scores",
)


def upgrade() -> None:
    """Make the views."""
    sql_objects.install("functions", "features_pairs_now")
    for name in VIEWS:
        sql_objects.install("views", name.replace(".", "_"))


def downgrade() -> None:
    """Drop them."""
    for name in reversed(VIEWS):
        op.execute(f"drop view {name}")
    op.execute("drop function features.pairs_now(text[], text[])")
