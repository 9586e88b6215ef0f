"""Let windows say why they were cut, and be skipped."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

# What changes: name, condition before, condition from now on.
CHANGED = (
    (
        "window_state_known",
        "state in ('cut', 'ready', 'trained', 'parked')",
        "state in ('cut', 'ready', 'trained', 'parked', 'skipped')",
    ),
    (
        "materialised_window_has_position",
        "state in ('cut', 'parked') or position is not null",
        "state not in ('ready', 'trained') or position is not null",
    ),
    (
        "finished_at_iff_finished",
        "(state in ('trained', 'parked')) = (finished_at is not null)",
        "(state in ('trained', 'parked', 'skipped')) = (finished_at is not null)",
    ),
)
NEW = {
    "window_cause_known": "cause in ('rows', 'age', 'new_items', 'mix', 'schedule', 'hand')",
    "cut_window_has_no_position": "state <> 'cut' or position is null",
    "ready_window_has_ready_at": "state <> 'ready' or ready_at is not null",
    "parked_or_skipped_iff_reason": "(state in ('parked', 'skipped')) = (reason is not null)",
}
COMMENTS = (
    ("state", sa.Text(), "cut, ready, trained or parked.", "cut, ready, trained, parked or skipped."),
    ("reason", sa.Text(), "Why it is parked.", "Why it is parked or skipped."),
    (
        "finished_at",
        sa.DateTime(timezone=True),
        "When it was trained or parked.",
        "When it was trained, parked or skipped.",
    ),
)


def upgrade() -> None:
    """Add the cause, the state and what each state must have."""
    op.add_column(
        "windows",
        sa.Column(
            "cause",
            sa.Text(),
            comment="Why it was cut: rows, age, new_items, mix, schedule or hand; null: before causes were kept.",
        ),
        schema="learning",
    )
    for name, _, condition in CHANGED:
        replace_check(name, condition)
    op.drop_constraint(op.f("parked_window_has_reason"), "windows", schema="learning")
    for name, condition in NEW.items():
        op.create_check_constraint(op.f(name), "windows", condition, schema="learning")
    for name, kind, before, after in COMMENTS:
        op.alter_column("windows", name, existing_type=kind, comment=after, existing_comment=before, schema="learning")
    op.create_check_constraint(
        op.f("succeeded_run_has_no_error"), "runs", "state <> 'succeeded' or error is null", schema="learning"
    )
    # Holds ask for the last windows of a stream, and for the runs of the last hour, at every cut.
    op.create_index("windows_stream_idx", "windows", ["stream", "window_id"], schema="learning")
    op.create_index(
        "windows_parked_idx",
        "windows",
        ["stream", "window_id"],
        schema="learning",
        postgresql_where=sa.text("state = 'parked'"),
    )
    op.create_index("runs_finished_at_idx", "runs", ["finished_at"], schema="learning")


def downgrade() -> None:
    """Go back; a window that was skipped is parked again."""
    op.drop_index("runs_finished_at_idx", "runs", schema="learning")
    op.drop_index("windows_parked_idx", "windows", schema="learning")
    op.drop_index("windows_stream_idx", "windows", schema="learning")
    op.drop_constraint(op.f("succeeded_run_has_no_error"), "runs", schema="learning")
    op.execute("update learning.windows set state = 'parked' where state = 'skipped'")
    for name, kind, before, after in COMMENTS:
        op.alter_column("windows", name, existing_type=kind, comment=before, existing_comment=after, schema="learning")
    for name in reversed(NEW):
        op.drop_constraint(op.f(name), "windows", schema="learning")
    op.create_check_constraint(
        op.f("parked_window_has_reason"), "windows", "(state = 'parked') = (reason is not null)", schema="learning"
    )
    for name, condition, _ in CHANGED:
        replace_check(name, condition)
    op.drop_column("windows", "cause", schema="learning")


def replace_check(name: str, condition: str) -> None:
    """Put another condition under a name."""
    op.drop_constraint(op.f(name), "windows", schema="learning")
    op.create_check_constraint(op.f(name), "windows", condition, schema="learning")
