"""Take events as text, and let quarantined ones go again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations import sql_objects

revision = "0036"
down_revision = "0035"

COLUMNS = {
    "stream": "Stream that learns from it; empty: default.",
    "user_id": "Who.",
    "item_id": "What.",
    "event_type": "view, click, cart, purchase or rating.",
    "value": "A number.",
    "occurred_at": "ISO 8601, or seconds, milli-, micro- or nanoseconds since 1970; empty: now.",
    "context": "JSON.",
    "client_key": "The application's own key of the event.",
}
FUNCTIONS = (
    "as_text(jsonb)",
    "as_number(text)",
    "as_json(text)",
    "as_moment(text)",
    "complaint(text, text, jsonb)",
    "typed(jsonb)",
    "receive_raw_events()",
    "redrive(bigint[])",
    "rule_needs(ingest.rules)",
    "explain(bigint)",
    "test_rule(text, integer)",
)


def upgrade() -> None:
    """Make the table of text, and what reads it."""
    op.create_table(
        "raw_events",
        *(sa.Column(name, sa.Text(), comment=comment) for name, comment in COLUMNS.items()),
        schema="ingest",
        comment="Events as text, for feeds without types: a trigger types them and hands them on."
        " Empty after each commit. A column that you add goes into the context.",
        prefixes=["UNLOGGED"],
        postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "5000"},
    )
    op.add_column(
        "lifetime",
        sa.Column(
            "keep_keys",
            sa.Interval(),
            server_default=sa.text("interval '7 days'"),
            nullable=False,
            comment="How long client keys and batch keys are known, and warnings kept: a repeat after that counts.",
        ),
        schema="ingest",
    )
    op.create_check_constraint(op.f("keep_keys_positive"), "lifetime", "keep_keys > interval '0'", schema="ingest")
    for function in FUNCTIONS:
        sql_objects.install("functions", f"ingest_{function.partition('(')[0]}")
    sql_objects.install("triggers", "ingest_receive_raw_events")


def downgrade() -> None:
    """Drop them."""
    op.drop_table("raw_events", schema="ingest")
    for function in reversed(FUNCTIONS):
        op.execute(f"drop function ingest.{function}")
    op.drop_constraint(op.f("keep_keys_positive"), "lifetime", schema="ingest")
    op.drop_column("lifetime", "keep_keys", schema="ingest")
