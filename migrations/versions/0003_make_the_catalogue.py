"""Make the tables of users and items."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "users",
        sa.Column("user_id", sa.Text(), nullable=False, comment="The application's own name of the user."),
        sa.Column(
            "attributes",
            pg.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="Whatever the application knows; not read by the recommender yet.",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When the row was made.",
        ),
        sa.CheckConstraint("length(user_id) between 1 and 256", name=op.f("user_id_has_1_to_256_characters")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("users_pkey")),
        schema="catalogue",
        comment="Known users. Optional: events of users that are not here are learned from all the same.",
    )
    op.create_table(
        "items",
        sa.Column("item_id", sa.Text(), nullable=False, comment="The application's own name of the item."),
        sa.Column("title", sa.Text(), nullable=True, comment="First part of the text that the language model reads."),
        sa.Column(
            "category",
            sa.Text(),
            nullable=True,
            comment="Second part of the text; also the key of category affinity.",
        ),
        sa.Column(
            "price",
            sa.Float(precision=53),
            nullable=True,
            comment="Current price, in the application's currency.",
        ),
        sa.Column(
            "attributes",
            pg.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="Further text for the language model: values in the order of their keys.",
        ),
        sa.Column(
            "available",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="False hides the item from every recommendation from this commit on.",
        ),
        sa.Column(
            "adopted",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="True while the item is known from events only; cleared when the catalogue names it.",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When the row was made.",
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When the row last changed.",
        ),
        sa.CheckConstraint("length(item_id) between 1 and 256", name=op.f("item_id_has_1_to_256_characters")),
        sa.CheckConstraint("price >= 0", name=op.f("price_not_negative")),
        sa.PrimaryKeyConstraint("item_id", name=op.f("items_pkey")),
        schema="catalogue",
        comment="What can be recommended. An item that only events know is adopted here by the keeper, without text.",
    )


def downgrade() -> None:
    """Revert."""
    op.drop_table("items", schema="catalogue")
    op.drop_table("users", schema="catalogue")
