"""Make the table of ingested files, so that an ingest that was killed goes on where it stopped."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "files",
        sa.Column("file_id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="Name of the row."),
        sa.Column("path", sa.Text(), nullable=False, comment="Where the file was when it was last read."),
        sa.Column("n_bytes", sa.BigInteger(), nullable=False, comment="Size."),
        sa.Column("content_hash", sa.Text(), nullable=False, comment="sha256 of the content, in hexadecimal."),
        sa.Column(
            "reading",
            pg.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="How it is read: kind, column mapping, constants. Another reading is another ingest.",
        ),
        sa.Column(
            "rows_done",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Rows that are committed, the quarantined ones included: the next ingest begins after them.",
        ),
        sa.Column(
            "rows_refused",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Rows of rows_done that were quarantined (events) or left out (catalogue).",
        ),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="When it was first read.",
        ),
        sa.Column(
            "finished_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When its last row was committed; null: not all of it is in.",
        ),
        sa.CheckConstraint("rows_refused between 0 and rows_done", name=op.f("refused_rows_are_done_rows")),
        sa.CheckConstraint("finished_at >= started_at", name=op.f("file_finished_after_it_started")),
        sa.PrimaryKeyConstraint("file_id", name=op.f("files_pkey")),
        sa.UniqueConstraint("content_hash", "reading", name=op.f("files_content_hash_reading_key")),
        schema="ingest",
        comment="Files that `tidegate ingest` has read, and how far: written in the transaction of each chunk.",
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("files", schema="ingest")
