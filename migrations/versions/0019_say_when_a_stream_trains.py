"""Give streams more reasons to train, reasons not to, and a policy for parked windows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations import sql_objects

revision = "0019"
down_revision = "0018"


def columns() -> tuple[sa.Column, ...]:
    """Return the new columns."""
    return (
        sa.Column(
            "new_item_share",
            sa.Float(53),
            comment="A window is cut when this share of the waiting events is about items that are new; null: never.",
        ),
        sa.Column(
            "mix_drift",
            sa.Float(53),
            comment="A window is cut when the mix of event types is so far (0 to 1) from before; null: never.",
        ),
        sa.Column(
            "schedule", sa.Text(), comment="A window is cut at these times: cron with five fields, in UTC; null: never."
        ),
        sa.Column(
            "next_cut_at",
            sa.DateTime(timezone=True),
            comment="When the schedule is due next; the keeper works it out.",
        ),
        sa.Column(
            "min_interval",
            sa.Interval(),
            comment="No window is cut sooner after the one before: a burst becomes one larger window; null: at once.",
        ),
        sa.Column(
            "budget_seconds",
            sa.Integer(),
            comment="No window is cut while the last hour has seen so many seconds of training; null: no limit.",
        ),
        sa.Column(
            "max_attempts",
            sa.Integer(),
            server_default=sa.text("3"),
            nullable=False,
            comment="A window is parked after so many attempts.",
        ),
        sa.Column(
            "on_parked",
            sa.Text(),
            server_default=sa.text("'continue'"),
            nullable=False,
            comment="continue: later windows train without a parked one; stop: they wait for an operator.",
        ),
    )


CHECKS = {
    "new_item_share_is_a_share": "new_item_share > 0 and new_item_share <= 1",
    "mix_drift_is_a_distance": "mix_drift > 0 and mix_drift <= 1",
    "schedule_has_five_fields": r"schedule ~ '^\S+( \S+){4}$'",
    "next_cut_needs_a_schedule": "next_cut_at is null or schedule is not null",
    "min_interval_positive": "min_interval > interval '0'",
    "budget_positive": "budget_seconds > 0",
    "max_attempts_positive": "max_attempts > 0",
    "on_parked_known": "on_parked in ('continue', 'stop')",
}


def upgrade() -> None:
    """Add the columns, and have a new schedule forget when the old one was due."""
    for column in columns():
        op.add_column("streams", column, schema="learning")
    for name, condition in CHECKS.items():
        op.create_check_constraint(op.f(name), "streams", condition, schema="learning")
    sql_objects.install("functions", "learning_forget_next_cut")
    sql_objects.install("triggers", "learning_forget_next_cut")


def downgrade() -> None:
    """Train by rows, age and hand only."""
    op.execute("drop trigger forget_next_cut on learning.streams")
    op.execute("drop function learning.forget_next_cut()")
    for name in CHECKS:
        op.drop_constraint(op.f(name), "streams", schema="learning")
    for column in reversed(columns()):
        op.drop_column("streams", column.name, schema="learning")
