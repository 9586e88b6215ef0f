"""Make the tables of weights, versions, evaluations and encoded texts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "weights",
        sa.Column("weights_hash", sa.Text(), nullable=False, comment="sha256 of the bytes, in hexadecimal."),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="A safetensors file."),
        sa.Column(
            "n_bytes",
            sa.BigInteger(),
            sa.Computed("octet_length(content)", persisted=True),
            nullable=True,
            comment="Size.",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When it was first stored.",
        ),
        sa.CheckConstraint("weights_hash = encode(sha256(content), 'hex')", name=op.f("weights_named_by_their_hash")),
        sa.PrimaryKeyConstraint("weights_hash", name=op.f("weights_pkey")),
        schema="learning",
        comment="Weights, addressed by what they contain: the same weights are stored once.",
    )
    op.create_table(
        "versions",
        sa.Column(
            "version_id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="Name of the version.",
        ),
        sa.Column("stream", sa.Text(), nullable=False, comment="Stream that it serves."),
        sa.Column("number", sa.Integer(), nullable=False, comment="1, 2, 3 … within the stream."),
        sa.Column("parent_id", sa.BigInteger(), nullable=True, comment="Version it was warm-started from."),
        sa.Column("window_id", sa.BigInteger(), nullable=False, comment="Window that it learned last."),
        sa.Column("run_id", sa.BigInteger(), nullable=False, comment="Run that made it."),
        sa.Column("weights_hash", sa.Text(), nullable=False, comment="Its weights."),
        sa.Column(
            "scoring",
            pg.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="The linear terms of the score, as serving.recommend reads them.",
        ),
        sa.Column(
            "manifest",
            pg.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="Parent, window, seed, settings, library versions, seconds of each step.",
        ),
        sa.Column("verdict", sa.Text(), nullable=False, comment="promote or refuse: what the gate said."),
        sa.Column("reason", sa.Text(), nullable=False, comment="Why the gate said so, with its figures."),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When it was published.",
        ),
        sa.CheckConstraint("verdict in ('promote', 'refuse')", name=op.f("verdict_known")),
        sa.ForeignKeyConstraint(["parent_id"], ["learning.versions.version_id"], name=op.f("versions_parent_id_fkey")),
        sa.ForeignKeyConstraint(["run_id"], ["learning.runs.run_id"], name=op.f("versions_run_id_fkey")),
        sa.ForeignKeyConstraint(["stream"], ["learning.streams.stream"], name=op.f("versions_stream_fkey")),
        sa.ForeignKeyConstraint(
            ["weights_hash"], ["learning.weights.weights_hash"], name=op.f("versions_weights_hash_fkey")
        ),
        sa.ForeignKeyConstraint(["window_id"], ["learning.windows.window_id"], name=op.f("versions_window_id_fkey")),
        sa.PrimaryKeyConstraint("version_id", name=op.f("versions_pkey")),
        sa.UniqueConstraint("run_id", name=op.f("versions_run_id_key")),
        sa.UniqueConstraint("stream", "number", name=op.f("versions_stream_number_key")),
        schema="learning",
        comment="Every model version that a gate has judged, promoted or refused.",
    )
    op.create_table(
        "evaluations",
        sa.Column("run_id", sa.BigInteger(), nullable=False, comment="Run that measured it."),
        sa.Column("subject", sa.Text(), nullable=False, comment="live, candidate, popularity or frequency."),
        sa.Column(
            "slice",
            sa.Text(),
            nullable=False,
            comment="window: all its events before training; holdout: what the gate looked at.",
        ),
        sa.Column("metric", sa.Text(), nullable=False, comment="recall@10, ndcg@10 …, events, users."),
        sa.Column("value", sa.Float(precision=53), nullable=False, comment="The figure."),
        sa.Column(
            "version_id",
            sa.BigInteger(),
            nullable=True,
            comment="Version that was scored; null for a baseline.",
        ),
        sa.CheckConstraint("slice in ('window', 'holdout')", name=op.f("slice_known")),
        sa.ForeignKeyConstraint(["run_id"], ["learning.runs.run_id"], name=op.f("evaluations_run_id_fkey")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["learning.versions.version_id"], name=op.f("evaluations_version_id_fkey")
        ),
        sa.PrimaryKeyConstraint("run_id", "subject", "slice", "metric", name=op.f("evaluations_pkey")),
        schema="learning",
        comment="What each run measured. Events are scored before anything has learned from them.",
    )
    op.create_table(
        "text_embeddings",
        sa.Column("encoder", sa.Text(), nullable=False, comment="Language model, by name and hash."),
        sa.Column("text_hash", sa.LargeBinary(), nullable=False, comment="sha256 of the text."),
        sa.Column("embedding", sa.LargeBinary(), nullable=False, comment="float32, little endian."),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When the text was encoded.",
        ),
        sa.PrimaryKeyConstraint("encoder", "text_hash", name=op.f("text_embeddings_pkey")),
        schema="learning",
        comment="What a frozen language model says of a text, so that each text is encoded once.",
    )


def downgrade() -> None:
    """Revert."""
    op.drop_table("text_embeddings", schema="learning")
    op.drop_table("evaluations", schema="learning")
    op.drop_table("versions", schema="learning")
    op.drop_table("weights", schema="learning")
