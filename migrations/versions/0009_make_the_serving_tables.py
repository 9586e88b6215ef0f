"""Make the tables of deployments, vectors and impressions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import Vector
from sqlalchemy.dialects import postgresql as pg

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "deployments",
        sa.Column(
            "deployment_id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="Name of the deployment.",
        ),
        sa.Column("stream", sa.Text(), nullable=False, comment="The stream."),
        sa.Column("version_id", sa.BigInteger(), nullable=False, comment="The version that is live."),
        sa.Column(
            "live_from",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="Since when.",
        ),
        sa.Column("live_until", sa.DateTime(timezone=True), nullable=True, comment="Until when; null: now."),
        sa.Column("reason", sa.Text(), nullable=False, comment="Why the pointer was moved."),
        sa.Column(
            "actor",
            sa.Text(),
            server_default=sa.text("current_user"),
            nullable=False,
            comment="Who moved it.",
        ),
        sa.CheckConstraint("live_until >= live_from", name=op.f("deployment_ends_after_it_began")),
        sa.ForeignKeyConstraint(["stream"], ["learning.streams.stream"], name=op.f("deployments_stream_fkey")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["learning.versions.version_id"], name=op.f("deployments_version_id_fkey")
        ),
        sa.PrimaryKeyConstraint("deployment_id", name=op.f("deployments_pkey")),
        schema="serving",
        comment="Which version is live. Promotion and rollback are one row ended and one begun.",
    )
    op.create_index(
        "deployments_one_live_per_stream_idx",
        "deployments",
        ["stream"],
        unique=True,
        schema="serving",
        postgresql_where=sa.text("live_until is null"),
    )
    op.create_table(
        "item_vectors",
        sa.Column("version_id", sa.BigInteger(), nullable=False, comment="The version."),
        sa.Column("item_id", sa.Text(), nullable=False, comment="The item."),
        sa.Column(
            "vector",
            Vector(),
            nullable=False,
            comment="Item vector: a score is its dot product with a user vector.",
        ),
        sa.ForeignKeyConstraint(
            ["version_id"],
            ["learning.versions.version_id"],
            name=op.f("item_vectors_version_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("version_id", "item_id", name=op.f("item_vectors_pkey")),
        schema="serving",
        comment="Item vectors of each version, written in the transaction that publishes it.",
    )
    op.create_table(
        "user_vectors",
        sa.Column("version_id", sa.BigInteger(), nullable=False, comment="The version."),
        sa.Column("user_id", sa.Text(), nullable=False, comment="The user."),
        sa.Column("vector", Vector(), nullable=False, comment="User vector as of as_of."),
        sa.Column(
            "as_of",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Time of the newest event that the vector has seen.",
        ),
        sa.ForeignKeyConstraint(
            ["version_id"],
            ["learning.versions.version_id"],
            name=op.f("user_vectors_version_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("version_id", "user_id", name=op.f("user_vectors_pkey")),
        schema="serving",
        comment="User vectors of each version for recently active users; newer events correct them at read.",
    )
    op.create_table(
        "impressions",
        sa.Column(
            "impression_id",
            sa.BigInteger(),
            sa.Identity(always=True, cache=32),
            nullable=False,
            comment="Name of the impression.",
        ),
        sa.Column("stream", sa.Text(), nullable=False, comment="The stream that was asked."),
        sa.Column("user_id", sa.Text(), nullable=False, comment="Who was shown it."),
        sa.Column(
            "version_id",
            sa.BigInteger(),
            nullable=True,
            comment="The version that answered; null: popularity alone.",
        ),
        sa.Column(
            "layer",
            sa.Text(),
            nullable=False,
            comment="personal, session or popularity: what the answer rests on.",
        ),
        sa.Column("items", pg.ARRAY(sa.Text()), nullable=False, comment="What was shown, in order of position."),
        sa.Column("scores", pg.ARRAY(sa.REAL()), nullable=False, comment="Their scores."),
        sa.Column(
            "source",
            sa.Text(),
            server_default=sa.text("'sql'"),
            nullable=False,
            comment="sql, http, python or cli.",
        ),
        sa.Column(
            "served_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When.",
        ),
        sa.CheckConstraint("layer in ('personal', 'session', 'popularity')", name=op.f("layer_known")),
        sa.CheckConstraint("cardinality(items) = cardinality(scores)", name=op.f("impression_has_a_score_per_item")),
        sa.PrimaryKeyConstraint("impression_id", name=op.f("impressions_pkey")),
        schema="serving",
        comment="Each answer that was given, so that its outcome can be joined to the version that gave it.",
    )


def downgrade() -> None:
    """Revert."""
    op.drop_table("impressions", schema="serving")
    op.drop_table("user_vectors", schema="serving")
    op.drop_table("item_vectors", schema="serving")
    op.drop_table("deployments", schema="serving")
