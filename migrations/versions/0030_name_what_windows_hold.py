"""Name what windows hold, and leave parked ones out of later features."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations import sql_objects

revision = "0030"
down_revision = "0029"

REPLACED = (
    ("features_record_users", "features.record_users(bigint, bigint)"),
    ("features_record_items", "features.record_items(bigint, bigint)"),
)
MANIFEST = "What it takes to train it again: parent, windows with their hashes, seed, settings, code, device."
MANIFEST_BEFORE = "Parent, window, seed, settings, library versions, seconds of each step."


def upgrade() -> None:
    """Hash windows and the texts of added items."""
    op.add_column(
        "windows",
        sa.Column(
            "content_hash",
            sa.Text(),
            nullable=True,
            comment="sha256 over its events, by learning.window_hash, taken when its features were materialised.",
        ),
        schema="learning",
    )
    op.add_column(
        "versions",
        sa.Column(
            "text_hashes",
            sa.LargeBinary(),
            server_default=sa.text(r"'\x'::bytea"),
            nullable=False,
            comment="sha256 of the text of each item that it added, 32 bytes each, in the order of its weights.",
        ),
        schema="learning",
    )
    op.alter_column("versions", "manifest", comment=MANIFEST, existing_comment=MANIFEST_BEFORE, schema="learning")
    sql_objects.install("functions", "learning_window_hash")
    sql_objects.install("functions", "learning_excluded_positions")
    for name, _ in REPLACED:
        sql_objects.install("functions", name, 2)


def downgrade() -> None:
    """Forget the hashes."""
    for name, signature in REPLACED:
        op.execute(f"drop function {signature}")
        sql_objects.install("functions", name)
    op.execute("drop function learning.excluded_positions(text)")
    op.execute("drop function learning.window_hash(bigint)")
    op.alter_column("versions", "manifest", comment=MANIFEST_BEFORE, existing_comment=MANIFEST, schema="learning")
    op.drop_column("versions", "text_hashes", schema="learning")
    op.drop_column("windows", "content_hash", schema="learning")
