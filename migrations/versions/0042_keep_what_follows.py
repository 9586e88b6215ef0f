"""Keep what is taken after an item, and let it count in a ranking."""

from __future__ import annotations

from alembic import op

from migrations import sql_objects

revision = "0042"
down_revision = "0041"

COMMENTS = {
    "followers": "Items that are taken after this one, as far as the version counted them.",
    "follow_weights": "How much each of the followers follows, comparable between items.",
}


def upgrade() -> None:
    """Add the followers of items, and replace the ranking."""
    op.execute("alter table serving.item_vectors add column followers text[], add column follow_weights real[]")
    op.execute(
        "alter table serving.item_vectors add constraint item_vectors_followers_have_weights"
        " check (cardinality(followers) is not distinct from cardinality(follow_weights))"
    )
    for column, comment in COMMENTS.items():
        op.execute(f"comment on column serving.item_vectors.{column} is '{comment}'")
    sql_objects.install("functions", "serving_rank", 2)


def downgrade() -> None:
    """Rank without followers, and drop them."""
    op.execute("drop function serving.rank(text, integer, text)")
    sql_objects.install("functions", "serving_rank", 1)
    op.execute("alter table serving.item_vectors drop column followers, drop column follow_weights")
