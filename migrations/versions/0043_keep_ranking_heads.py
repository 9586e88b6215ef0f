"""Keep the ranking heads of versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0043"
down_revision = "0042"


def upgrade() -> None:
    """Make their table."""
    op.create_table(
        "ranking_heads",
        sa.Column("version_id", sa.BigInteger(), nullable=False, comment="Version whose vectors it reads."),
        sa.Column("service", sa.Text(), nullable=False, comment="Feature service that it reads."),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="A safetensors file."),
        sa.Column(
            "scoring",
            pg.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="Its weights, task by task; null where a hidden layer stands between.",
        ),
        sa.Column(
            "manifest",
            pg.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="Its settings, and what its training reported: rows, losses, calibration.",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When it was published.",
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["learning.versions.version_id"], name=op.f("ranking_heads_version_id_fkey")
        ),
        sa.PrimaryKeyConstraint("version_id", name=op.f("ranking_heads_pkey")),
        schema="learning",
        comment="What says how probable it is that a user takes an item, for versions that were trained with it.",
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("ranking_heads", schema="learning")
