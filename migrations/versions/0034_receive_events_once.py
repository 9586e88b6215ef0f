"""Receive events by rules that are rows, and each client key and batch key once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations import sql_objects

revision = "0034"
down_revision = "0033"

TYPES = "double precision, timestamptz, jsonb"
COMMENTS = {
    "client_key": (
        "The application's own key of the event, handed on as it is.",
        "The application's own key of the event: a repeat within the horizon is dropped. Null or empty: none.",
    ),
    "occurred_at": (
        "When it happened; later than five minutes from now: quarantined.",
        "When it happened; a rule says how far from the future it may be.",
    ),
}


def upgrade() -> None:
    """Install the new trigger function and what it calls."""
    op.execute(f"drop function ingest.flaw(text, text, text, text, {TYPES})")
    sql_objects.install("functions", "ingest_flaw", 2)
    for function in ("plain", "refuse", "warn", "begin_batch", "forget"):
        sql_objects.install("functions", f"ingest_{function}")
    sql_objects.install("functions", "ingest_receive_events", 2)
    comment_columns(new=True)


def downgrade() -> None:
    """Put the old one back."""
    op.execute("drop trigger receive_events on ingest.behaviour_events")
    op.execute("drop function ingest.receive_events()")
    op.execute("drop function ingest.forget(interval)")
    op.execute("drop function ingest.begin_batch(text)")
    op.execute("drop function ingest.warn(text, bigint[], timestamptz, timestamptz)")
    op.execute("drop function ingest.refuse(bigint[], text[], timestamptz, timestamptz)")
    op.execute(f"drop function ingest.plain(text, text, text, {TYPES}, text)")
    op.execute(f"drop function ingest.flaw(text, text, text, text, {TYPES}, text)")
    sql_objects.install("functions", "ingest_flaw")
    sql_objects.install("functions", "ingest_receive_events")
    sql_objects.install("triggers", "ingest_receive_events")
    comment_columns(new=False)


def comment_columns(*, new: bool) -> None:
    """Say what the columns mean."""
    for column, comments in COMMENTS.items():
        op.alter_column(
            "behaviour_events",
            column,
            comment=comments[new],
            existing_type=sa.Text() if column == "client_key" else sa.DateTime(timezone=True),
            existing_comment=comments[not new],
            schema="ingest",
        )
